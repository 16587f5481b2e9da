"""Places on a grid: nothing is lost, nothing is far from its cell, and the 180th meridian is no edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pydantic", reason="needs photoseek[web]")

from retrieval.web.facets.map_cells import MOST_CELLS, box_around, cells_in

FIJI = np.array([(-17.7, 179.9), (-17.5, -179.8), (-18.0, 178.0)])
PLACES = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(places=PLACES)
def test_every_place_is_in_a_cell_of_the_box_around_all(places: list[tuple[float, float]]) -> None:
    drawn = np.array(places)
    box = box_around(drawn)
    assert box is not None
    south, west, north, east = box
    cells = cells_in(drawn, box)
    assert sum(cell.count for cell in cells) == len(places) and len(cells) <= MOST_CELLS
    width = east - west if west <= east else east - west + 360
    for cell in cells:
        assert south - 1e-6 <= cell.lat <= north + 1e-6
        assert (cell.lon - west) % 360 <= width + 1e-5 or (west - cell.lon) % 360 < 1e-5


def test_a_box_that_rounds_to_the_whole_circle_keeps_its_places() -> None:
    places = np.array([(0.0, 0.0), (0.0, 180.0), (0.0, np.nextafter(-180.0, 0.0))])
    box = box_around(places)
    assert box is not None and sum(cell.count for cell in cells_in(places, box)) == 3


def test_no_places_have_no_box() -> None:
    assert box_around(np.empty((0, 2))) is None


def test_one_place_stays_where_it_is() -> None:
    [cell] = cells_in(np.array([(48.858, 2.294)] * 5), (48.858, 2.294, 48.858, 2.294))
    assert (cell.lat, cell.lon, cell.count) == (48.858, 2.294, 5)


def test_a_box_goes_over_the_180th_meridian_where_that_is_shorter() -> None:
    box = box_around(FIJI)
    assert box == (-18.0, 178.0, -17.5, -179.8)
    cells = cells_in(FIJI, box)
    assert sorted((round(cell.lon, 1), cell.count) for cell in cells) == [(-179.8, 1), (178.0, 1), (179.9, 1)]
    assert box_around(np.array([(0.0, -120.0), (0.0, 174.0), (0.0, 10.0)])) == (0.0, -120.0, 0.0, 174.0)


def test_only_what_lies_in_the_box_is_counted() -> None:
    places = np.array([(10.0, 10.0), (10.0, 11.0), (20.0, 10.0), (10.0, -10.0)])
    assert sum(cell.count for cell in cells_in(places, (9.0, 9.0, 11.0, 12.0))) == 2
    assert sum(cell.count for cell in cells_in(places, (-90.0, -180.0, 90.0, 180.0))) == 4


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 40.0, 2.0), (0.0, 0.0, 2.0, 100.0), (-80.0, -180.0, 80.0, 180.0), (5.0, 0.0, 5.0, 60.0)]
)
def test_a_full_box_uses_most_cells_and_never_too_many(box: tuple[float, float, float, float]) -> None:
    draw = np.random.default_rng(5)
    south, west, north, east = box
    places = np.column_stack([draw.uniform(south, north, 40_000), draw.uniform(west, east, 40_000)])
    cells = cells_in(places, box)
    assert MOST_CELLS * 0.7 <= len(cells) <= MOST_CELLS
    assert sum(cell.count for cell in cells) == len(places)


def test_a_cell_names_its_latest_picture() -> None:
    places = np.array([(10.0, 10.0), (10.0, 10.0), (50.0, 50.0)])
    box = box_around(places)
    assert box is not None
    cells = cells_in(places, box, np.array([7, 9, 8]))
    assert {(cell.lat, cell.count, cell.image_id) for cell in cells} == {(10.0, 2, 9), (50.0, 1, 8)}
    assert {cell.image_id for cell in cells_in(places, box)} == {None}

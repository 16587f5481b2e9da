"""Circles on the globe: known distances, boxes that hold their circle everywhere, and what is no place."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.filters.places import EARTH_KM, Near, great_circle_km, parse_near
from tests.retrieval.filter_oracle import km_between

QUARTER = math.pi / 2 * EARTH_KM


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (0, 90), QUARTER),
        ((0, 0), (90, 33), QUARTER),
        ((-90, 12), (90, -170), 2 * QUARTER),
        ((0, 179.5), (0, -179.5), QUARTER / 90),
        ((89.5, 0), (89.5, 180), QUARTER / 90),
        ((48.858, 2.294), (51.5007, -0.1246), 340.6),  # Eiffel Tower to Big Ben
        ((10, 20), (10, 20.000001), 0.0001095),
    ],
)
def test_known_distances(here: tuple[float, float], there: tuple[float, float], km: float) -> None:
    found = great_circle_km(*here, *there)
    assert found == pytest.approx(km, rel=5e-4, abs=1e-9)
    assert found == pytest.approx(km_between(here, there), abs=1e-6)


def test_an_unknown_place_has_no_distance() -> None:
    assert great_circle_km(None, None, 0, 0) is None


def in_box(circle: Near, latitude: float, longitude: float) -> bool:
    low, high, ranges = circle.box()
    return low <= latitude <= high and any(west <= longitude <= east for west, east in ranges)


PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(centre=PLACES, km=st.floats(0.001, 25000), bearing=st.floats(0, 2 * math.pi), share=st.floats(0, 0.999999))
def test_the_box_holds_every_point_of_its_circle(
    centre: tuple[float, float], km: float, bearing: float, share: float
) -> None:
    """Points are made from the centre by bearing and distance, the formula that the box does not use."""
    circle, angle = Near(*centre, km), share * min(km, 2 * QUARTER) / EARTH_KM
    here, east = (math.radians(x) for x in centre)
    high = math.asin(
        max(-1.0, min(1.0, math.sin(here) * math.cos(angle) + math.cos(here) * math.sin(angle) * math.cos(bearing)))
    )
    turn = math.atan2(
        math.sin(bearing) * math.sin(angle) * math.cos(here), math.cos(angle) - math.sin(here) * math.sin(high)
    )
    latitude, longitude = math.degrees(high), (math.degrees(east + turn) + 540) % 360 - 180
    if (great_circle_km(latitude, longitude, *centre) or 0) <= km:
        assert in_box(circle, latitude, longitude)


def test_a_box_is_small_where_it_can_be_and_whole_at_the_poles() -> None:
    low, high, ((west, east),) = Near(60, 10, 111.195).box()
    assert (low, high) == pytest.approx((59, 61), abs=1e-4)
    assert (west, east) == pytest.approx((8, 12), abs=2e-3)
    assert Near(89.9, 10, 50).box()[2] == ((-180, 180),)
    assert len(Near(0, 179.99, 10).box()[2]) == 2 and len(Near(0, -179.99, 10).box()[2]) == 2


def test_what_people_write_is_a_place() -> None:
    assert parse_near("48.858,2.294,5km") == Near(48.858, 2.294, 5)
    assert parse_near(" -17.5 , 179.9 , 500 m ") == Near(-17.5, 179.9, 0.5)
    assert parse_near("0,0,1MI").km == pytest.approx(1.609344)
    assert parse_near(str(Near(1e-7, -0.5, 1e-5))) == Near(1e-7, -0.5, 1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("paris", "no comma"),
        ("48,858,2,294,5km", "5 parts"),
        ("48.858,2.294", "radius '2.294'"),
        ("48.858,5km", "2 parts"),
        ("Paris,,5km", "not the name of a place"),
        ("Paris,0km", "radius 0"),
        ("Paris,five km", "radius 'five'"),
        ("x,2.294,5km", "latitude 'x'"),
        ("48.858,nan,5km", "longitude 'nan'"),
        ("48.858,2.294,km", "radius ''"),
        ("48.858,2.294,5", "'5'"),
        ("48.858,2.294,5 miles", "'5 miles'"),
        ("90.001,0,5km", "latitude 90.001"),
        ("0,-180.5,5km", "longitude -180.5"),
        ("0,0,0km", "radius 0"),
        ("0,0,-3km", "radius -3"),
        ("0,0,infkm", "'infkm'"),
    ],
)
def test_what_is_no_place_is_told_by_its_part(text: str, words: str) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        parse_near(text)
    assert "Paris" in caught.value.hint

"""Bursts: which pictures are one scene, what is counted, and that groups do not depend on how far one reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.base import Vectors
from retrieval.catalog.batch import Batch
from retrieval.encoders.base import unit
from retrieval.filters import Filter
from retrieval.search.bursts import ALIKE
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query, Term
from tests.retrieval.lists.made import Row, made_gallery
from tests.retrieval.rows import encoder_spec

DIM = 8
NOON = datetime(2024, 5, 1, 12)
FIVE = Listing(group_minutes=5)


def vector(*numbers: float) -> Vectors:
    return unit(np.array([[*numbers, *[0.0] * (DIM - len(numbers))]], np.float32))[0]


def frame(name: str, minutes: float | None, *numbers: float, folder: str = "/photos", **facts: Any) -> Row:
    taken = {} if minutes is None else {"taken_at": (NOON + timedelta(minutes=minutes)).isoformat()}
    return Row(folder, name, vector(*numbers), {**taken, **facts})


def listed(place: Path, rows: list[Row], query: Query, listing: Listing = FIVE) -> list[tuple[str, int]]:
    with QueryEngine(made_gallery(place / "gallery", encoder_spec(dim=DIM), rows)) as engine:
        return named(find_page(engine, query, listing).hits)


def named(hits: tuple[Hit, ...]) -> list[tuple[str, int]]:
    return [(Path(hit.image.path).name, hit.burst) for hit in hits]


def like(number: int, **more: Any) -> Query:
    return Query((Term("id", number),), **more)


def test_the_best_frame_stands_for_the_burst(tmp_path: Path) -> None:
    rows = [frame("best", 1, 1), frame("second", 0, 1, 0.2), frame("third", 4, 1, 0.3), frame("other", 2, 0.3, 1)]
    assert listed(tmp_path, rows, like(1)) == [("best", 2), ("other", 0)]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([frame("a", 0, 1), frame("b", 5.1, 1)], "too late"),
        ([frame("a", 0, 1), frame("b", 1, 1, 0.6)], "looks different"),
        ([frame("a", 0, 1), frame("b", None, 1)], "no date"),
        ([frame("a", None, 1), frame("b", None, 1)], "no dates"),
        ([frame("a", 0, 1, folder="/x"), frame("b", 1, 1, folder="/y")], "another folder, no camera"),
        ([frame("a", 0, 1, folder="/x", camera="One"), frame("b", 1, 1, folder="/y", camera="Two")], "two cameras"),
    ],
)
def test_what_is_no_burst(tmp_path: Path, rows: list[Row], why: str) -> None:
    assert listed(tmp_path, rows, like(1)) == [("a", 0), ("b", 0)], why


@pytest.mark.parametrize(
    "rows",
    [
        [frame("a", 0, 1), frame("b", 5, 1)],
        [frame("a", 0, 1), frame("b", -5, 1, 0.45)],
        [frame("a", 0, 1, folder="/x", camera="One"), frame("b", 1, 1, folder="/y", camera="One")],
        [frame("a", 0, 1, camera="One"), frame("b", 1, 1, camera="Two")],
        [frame("a", 0, 1, taken_offset_minutes=120), frame("b", 1, 1)],
    ],
    ids=["last minute", "earlier", "one camera", "one folder", "only one knows its time zone"],
)
def test_what_is_a_burst(tmp_path: Path, rows: list[Row]) -> None:
    assert listed(tmp_path, rows, like(1)) == [("a", 1)]


def test_a_chain_of_scenes_does_not_run_through(tmp_path: Path) -> None:
    """Each is near the next, but the last is far from what stands for the first."""
    rows = [frame(str(n), 4 * n, 1, 0.01 * n) for n in range(4)]
    assert listed(tmp_path, rows, like(1)) == [("0", 1), ("2", 1)]


def test_a_picture_counts_for_the_better_of_two(tmp_path: Path) -> None:
    rows = [frame("left", -4, 1), frame("middle", 0, 1, 0.3), frame("right", 4, 1, 0.2)]
    assert listed(tmp_path, rows, like(1)) == [("left", 1), ("right", 0)]


def test_groups_come_before_the_limit(tmp_path: Path) -> None:
    """Twenty frames of one scene would fill the answer."""
    rows = [frame(f"burst-{n}", n / 10, 1, 0.001 * n) for n in range(20)]
    rows += [frame(f"single-{n}", 60 * (n + 1), 1, 1 + n) for n in range(4)]
    found = listed(tmp_path, rows, like(1, k=3))
    assert found == [("burst-0", 19), ("single-0", 0), ("single-1", 0)]


def test_others_are_counted_if_they_pass_the_filter(tmp_path: Path) -> None:
    rows = [frame("a", 0, 1), frame("wide", 1, 1, 0.1, width=900), frame("b", 2, 1, 0.2)]
    assert listed(tmp_path, rows, like(1, where=Filter(min_width=900))) == [("wide", 0)]
    assert listed(tmp_path / "2", rows, like(1, min_score=0.999)) == [("a", 2)]


def test_what_is_left_out_is_not_counted(tmp_path: Path) -> None:
    rows = [frame("a", 0, 1), frame("b", 1, 1, 0.1), frame("c", 2, 1, 0.2)]
    with QueryEngine(made_gallery(tmp_path / "gallery", encoder_spec(dim=DIM), rows)) as engine:
        assert named(find_page(engine, like(1), FIVE, leave_out=1).hits) == [("b", 1)]


def test_retired_pictures_are_not_counted(tmp_path: Path) -> None:
    rows = [frame("a", 0, 1), frame("b", 1, 1, 0.1), frame("c", 2, 1, 0.2)]
    gallery = made_gallery(tmp_path / "gallery", encoder_spec(dim=DIM), rows)
    with gallery.writer() as catalog:
        catalog.commit(Batch(retired=[2]), 1)
    with QueryEngine(gallery) as engine:
        assert named(find_page(engine, like(1), FIVE).hits) == [("a", 1)]


def test_dates_at_the_ends_of_the_calendar(tmp_path: Path) -> None:
    rows = [Row("/p", "a", vector(1), {"taken_at": "0001-01-01T00:00:00"}),
            Row("/p", "b", vector(1), {"taken_at": "9999-12-31T23:59:59"})]  # fmt: skip
    assert listed(tmp_path, rows, like(1)) == [("a", 0), ("b", 0)]


def brute_force(rows: list[Row], order: list[int], minutes: float) -> list[tuple[int, int]]:
    """(id, burst) by comparing every picture with every other, in the order of the ranking."""
    stands: list[int] = []
    member_of: dict[int, int] = {}
    for this in order:
        at = rows[this - 1].facts.get("taken_at")
        for other in stands:
            then, a, b = rows[other - 1].facts.get("taken_at"), rows[this - 1], rows[other - 1]
            if at is None or then is None:
                continue
            apart = abs(datetime.fromisoformat(at) - datetime.fromisoformat(then))
            camera = a.facts.get("camera")
            near = a.folder == b.folder or (camera is not None and camera == b.facts.get("camera"))
            if apart <= timedelta(minutes=minutes) and near and float(a.vector @ b.vector) >= ALIKE:
                member_of[this] = other
                break
        else:
            stands.append(this)
    return [(one, sum(1 for other in member_of.values() if other == one)) for one in stands]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), minutes=st.sampled_from([1.0, 4.0, 30.0]), k=st.integers(1, 12))
def test_groups_are_what_comparing_everything_finds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, minutes: float, k: int
) -> None:
    rng = np.random.default_rng(seed)
    scenes = unit(rng.standard_normal((5, DIM)) + 1)
    rows = []
    for number in range(40):
        facts: dict[str, Any] = {"camera": rng.choice(["One", "Two", None])}
        if rng.random() < 0.9:
            facts["taken_at"] = (NOON + timedelta(seconds=int(rng.integers(0, 3600)))).isoformat()
        close = unit((scenes[rng.integers(5)] + 0.1 * rng.standard_normal(DIM))[None])[0]
        rows.append(Row(f"/photos/{rng.integers(3)}", f"{number}.jpg", close, facts))
    gallery = made_gallery(tmp_path_factory.mktemp("bursts") / "gallery", encoder_spec(dim=DIM), rows)
    with QueryEngine(gallery) as engine:
        order = [hit.image.id for hit in engine.search(like(1, k=40))]
        expected = brute_force(rows, order, minutes)
        listing = Listing(group_minutes=minutes)
        found = find_page(engine, like(1, k=k), listing).hits
        assert [(hit.image.id, hit.burst) for hit in found] == expected[:k]
        second = find_page(engine, like(1, k=k), replace(listing, page=2)).hits
        assert [(hit.image.id, hit.burst) for hit in second] == expected[k : 2 * k]

"""Order and paging: pages put together are the long list, ties and all; a cursor knows its question and its gallery."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.catalog.batch import Batch
from retrieval.encoders.base import unit
from retrieval.errors import PageExpired, QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.search import pages, ranking
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.pages import Listing, Page, find_page
from retrieval.search.query import Query, Term
from tests.retrieval.lists.made import Row, made_gallery
from tests.retrieval.rows import encoder_spec

DIM = 8
COUNT = 60
DAY = datetime(2024, 5, 1, 12)
QUERY = Query((Term("id", 1),))


def rows() -> list[Row]:
    """Sixty pictures: a third without a date, many with equal dates, names and vectors, some in bursts."""
    rng = np.random.default_rng(3)
    made = []
    vectors = unit(rng.standard_normal((20, DIM)) + 1.0)
    for number in range(COUNT):
        taken = None if number % 3 == 0 else (DAY + timedelta(minutes=int(rng.integers(0, 40)) * 2)).isoformat()
        vector = vectors[rng.integers(0, 20)] if number % 2 else unit(rng.standard_normal((1, DIM)) + 0.5)[0]
        facts = {"taken_at": taken, "camera": ("One", None)[number % 2], "width": 40 + number}
        made.append(Row(f"/photos/{number % 4}", f"{'aB'[number % 2]}{number % 7}-{number // 4}.jpg", vector, facts))
    return made


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return made_gallery(tmp_path_factory.mktemp("pages") / "gallery", encoder_spec(dim=DIM), rows())


@pytest.fixture(scope="module")
def engine(gallery: Gallery) -> Iterator[QueryEngine]:
    with QueryEngine(gallery) as opened:
        yield opened


def ids(hits: tuple[Hit, ...] | list[Hit]) -> list[int]:
    return [hit.image.id for hit in hits]


def by_number(engine: QueryEngine, query: Query, listing: Listing, leave_out: int | None) -> list[Hit]:
    """Every page, put together."""
    found: list[Hit] = []
    for number in range(1, 100):
        page = find_page(engine, query, replace(listing, page=number), leave_out=leave_out)
        found += page.hits
        if page.next is None:
            beyond = find_page(engine, query, replace(listing, page=number + 1), leave_out=leave_out)
            assert beyond.hits == ()
            return found
        assert len(page.hits) == query.k
    raise AssertionError("no end")


def by_cursor(engine: QueryEngine, query: Query, listing: Listing, leave_out: int | None) -> list[Hit]:
    page = find_page(engine, query, listing, leave_out=leave_out)
    found = list(page.hits)
    while page.next is not None:
        page = find_page(engine, query, replace(listing, cursor=page.next), leave_out=leave_out)
        assert page.hits
        found += page.hits
    return found


listings = st.builds(
    Listing,
    sort=st.sampled_from(["score", "date", "name"]),
    reverse=st.booleans(),
    group_minutes=st.sampled_from([None, None, 3.0, 30.0]),
)
queries = st.builds(
    Query,
    terms=st.tuples(st.builds(Term, kind=st.just("id"), value=st.integers(1, COUNT))),
    where=st.sampled_from([None, Filter(min_width=60), Filter(glob=("2/",))]),
    k=st.integers(4, 25),
    min_score=st.sampled_from([None, -1.0, 0.2, 0.6]),
)


@settings(max_examples=40, deadline=None)
@given(query=queries, listing=listings, leave_out=st.sampled_from([None, 1, 7]))
def test_pages_put_together_are_the_long_list(
    engine: QueryEngine, query: Query, listing: Listing, leave_out: int | None
) -> None:
    if (listing.sort != "score" or listing.reverse) and query.min_score is None:
        query = replace(query, min_score=-1.0)
    whole = find_page(engine, replace(query, k=COUNT + 5), listing, leave_out=leave_out)
    assert whole.next is None
    assert [hit.rank for hit in whole.hits] == list(range(1, len(whole.hits) + 1))
    assert len(set(ids(whole.hits))) == len(whole.hits)
    assert by_number(engine, query, listing, leave_out) == list(whole.hits)
    assert by_cursor(engine, query, listing, leave_out) == list(whole.hits)
    if listing.group_minutes is None:
        plain = engine.ranked(engine.direction(query), replace(query, k=COUNT))
        assert set(ids(whole.hits)) == set(ids(plain)) - {leave_out}


@settings(max_examples=40, deadline=None)
@given(query=queries, listing=listings)
def test_the_order_is_the_one_that_was_asked_for(engine: QueryEngine, query: Query, listing: Listing) -> None:
    found = find_page(engine, replace(query, k=COUNT, min_score=-1.0), listing).hits
    if listing.sort == "score":
        keys = [(hit.score if listing.reverse else -hit.score, hit.image.id) for hit in found]
        assert keys == sorted(keys)
    elif listing.sort == "name":
        names = [(Path(hit.image.path).name.casefold(), hit.image.path) for hit in found]
        assert names == sorted(names, reverse=listing.reverse)
    else:
        dates = [hit.image.taken_at for hit in found]
        known = [date for date in dates if date is not None]
        assert known == sorted(known, reverse=not listing.reverse)
        assert dates[: len(known)] == known  # unknown ones last, either way
        same = [(a.image.id, b.image.id) for a, b in pairwise(found)
                if a.image.taken_at == b.image.taken_at]  # fmt: skip
        assert all(first < second for first, second in same)


def test_a_plain_first_page_is_the_search(engine: QueryEngine) -> None:
    query = replace(QUERY, k=9)
    assert list(find_page(engine, query, Listing()).hits) == engine.search(query)
    assert Listing().is_plain() and not Listing(page=1).is_plain()


def test_without_a_cut_the_best_are_sorted(engine: QueryEngine) -> None:
    query = replace(QUERY, k=8)
    page = find_page(engine, query, Listing(sort="date"))
    assert set(ids(page.hits)) == set(ids(engine.search(query)))
    assert (page.next, page.total) == (None, None)
    for listing in (Listing(sort="date", page=2), Listing(reverse=True, page=3)):
        with pytest.raises(QueryError, match="one page"):
            find_page(engine, query, listing)


def test_with_a_cut_everything_that_qualifies_is_sorted(engine: QueryEngine) -> None:
    query = replace(QUERY, k=5, min_score=0.5)
    page = find_page(engine, query, Listing(sort="date"))
    everything = engine.search(replace(query, k=COUNT))
    assert page.total == len(everything) > 5
    newest = max(hit.image.taken_at for hit in everything if hit.image.taken_at)
    assert page.hits[0].image.taken_at == newest


@pytest.mark.parametrize(
    "bad",
    [{"sort": "size"}, {"page": 0}, {"page": 2, "cursor": "p1.x"}, {"group_minutes": 0.0},
     {"group_minutes": float("nan")}, {"group_minutes": 1e9}],
)  # fmt: skip
def test_listings_that_cannot_be(bad: dict[str, object]) -> None:
    with pytest.raises(QueryError) as caught:
        Listing(**bad)  # type: ignore[arg-type]
    assert caught.value.hint


def test_depth_is_bounded(
    engine: QueryEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (pages, ranking):
        monkeypatch.setattr(module, "MAX_DEPTH", 20)
    query = replace(QUERY, k=8)
    second = find_page(engine, query, Listing(page=2))
    assert len(second.hits) == 8 and second.next is None  # a third would be refused
    assert not caplog.messages, "a page of a list says nothing of its length"
    with pytest.raises(QueryError, match="limited to 20"):
        find_page(engine, query, Listing(page=3))
    asked = []
    real = engine.index.search

    def search(vectors: object, k: int, **more: object) -> object:
        asked.append(k)
        return real(vectors, k, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.index, "search", search)
    find_page(engine, replace(query, min_score=-1.0), Listing(sort="name"))
    assert max(asked) <= 20
    assert caplog.messages == ["more than 20 pictures qualify; the best of them are listed"]


def test_a_page_asks_the_index_for_no_more_than_its_depth(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = engine.index.search

    def search(vectors: object, k: int, **more: object) -> object:
        asked.append(k)
        return real(vectors, k, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.index, "search", search)
    find_page(engine, replace(QUERY, k=7), Listing(page=3))
    assert len(asked) == 1 and 21 < asked[0] <= 24


# Cursors


def first(engine: QueryEngine, query: Query = QUERY, listing: Listing | None = None) -> Page:
    return find_page(engine, replace(query, k=5), listing or Listing())


def test_a_cursor_of_another_question_is_refused(engine: QueryEngine) -> None:
    cursor = first(engine).next
    assert cursor is not None
    others: list[tuple[Query, Listing]] = [
        (Query((Term("id", 2),)), Listing(cursor=cursor)),
        (replace(QUERY, min_score=0.1), Listing(cursor=cursor)),
        (replace(QUERY, where=Filter(min_width=60)), Listing(cursor=cursor)),
        (QUERY, Listing(cursor=cursor, group_minutes=3)),
    ]
    for query, listing in others:
        with pytest.raises(QueryError, match="another search"):
            first(engine, query, listing)
    with pytest.raises(QueryError, match="another search"):
        find_page(engine, QUERY, Listing(cursor=cursor), leave_out=1)
    assert len(find_page(engine, replace(QUERY, k=30), Listing(cursor=cursor)).hits) == 30  # pages may change size


def _encoded(text: str) -> str:
    return "p1." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    ["", "p1.", "x", "p1.@@@", "p2.WzEsMV0", _encoded("[1,2]"), _encoded('[-1,2,"a",3]'), _encoded('[1,true,"a",3]'),
     _encoded('[1,2,"a",1e3]'), _encoded("[" * 100_000), "p1." + "A" * 10_000, "p1.\u00e9"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(engine: QueryEngine, text: str) -> None:
    with pytest.raises(QueryError, match="not a valid cursor") as caught:
        first(engine, QUERY, Listing(cursor=text))
    assert not isinstance(caught.value, PageExpired)


def test_a_changed_gallery_is_told(tmp_path: Path) -> None:
    gallery = made_gallery(tmp_path / "gallery", encoder_spec(dim=DIM), rows())
    with QueryEngine(gallery) as engine:
        cursor = first(engine).next
        with gallery.writer() as catalog:
            catalog.commit(Batch(retired=[3]), 1)
        with pytest.raises(PageExpired, match="changed") as caught:
            first(engine, QUERY, Listing(cursor=cursor))
        assert caught.value.exit_code == 2 and "first page" in caught.value.hint


def test_a_changed_selection_is_told(tmp_path: Path) -> None:
    """A new tag is no new change number, but another list where it is asked for."""
    gallery = made_gallery(tmp_path / "gallery", encoder_spec(dim=DIM), rows())
    wanted = replace(QUERY, where=Filter(untagged=True))
    with QueryEngine(gallery) as engine:
        plain, untagged = first(engine).next, first(engine, wanted).next
        path = engine.reader.records([9])[0].path
        edit_labels(gallery, [path], LabelEdit(tags=("mine",)))
        with pytest.raises(QueryError, match="another search"):
            first(engine, wanted, Listing(cursor=untagged))
        assert first(engine, QUERY, Listing(cursor=plain)).hits


def test_a_file_that_changes_between_pages_shifts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = made_gallery(tmp_path / "gallery", encoder_spec(dim=DIM), rows())
    with QueryEngine(gallery) as engine:
        whole = ids(find_page(engine, replace(QUERY, k=COUNT), Listing()).hits)
        page = first(engine)
        gone = page.hits[2].image
        Path(tmp_path / "changed.jpg").write_bytes(b"another picture")
        real = engine.reader.records
        moved = replace(gone, path=str(tmp_path / "changed.jpg"))
        monkeypatch.setattr(
            engine.reader, "records", lambda wanted: [moved if r.id == gone.id else r for r in real(wanted)]
        )
        after = first(engine, QUERY, Listing(cursor=page.next))
        assert ids(after.hits) == whole[5:10]

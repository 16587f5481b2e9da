"""A conversation: more continues after the last hits, feedback changes the query, filters are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.search.engine import QueryEngine
from retrieval.search.feedback import rocchio
from retrieval.search.pages import Listing, browse
from retrieval.search.query import Query, Term
from retrieval.shell.session import Session
from tests.fakes import ColourEncoder

RED = (Term("text", "red"),)


@pytest.fixture
def engine(indexed: Gallery, encoder: ColourEncoder) -> Iterator[QueryEngine]:
    with QueryEngine(indexed, encoder, remember_texts=False) as engine:
        yield engine


def test_more_goes_on(engine: QueryEngine) -> None:
    session = Session(engine, 2)
    pages = [session.ask(RED), session.more(), session.more(), session.more()]
    assert [len(page) for page in pages] == [2, 2, 2, 0]
    everything = [hit for page in pages for hit in page]
    assert everything == engine.search(Query(RED, k=10))
    assert [session.hit(number) for number in range(1, 7)] == everything


def test_judgements_are_rocchios(engine: QueryEngine) -> None:
    session = Session(engine, 6)
    first = session.ask(RED)
    liked, not_liked = first[3].image.id, first[0].image.id
    hits = session.judge(relevant=[4])
    hits = session.judge(not_relevant=[next(hit.rank for hit in hits if hit.image.id == not_liked)])
    vectors = engine.reader.vectors([liked, not_liked], engine.encoder_row)
    direction = rocchio(engine.direction(Query(RED)), vectors[:1], vectors[1:])
    wanted = [hit for hit in engine.ranked(direction, Query(RED, k=6)) if hit.image.id != not_liked]
    assert hits == [replace(hit, rank=rank) for rank, hit in enumerate(wanted, 1)]
    assert len(hits) == 5 and session.more() == []
    # A change of mind.
    hits = session.judge(relevant=[hits[-1].rank], not_relevant=[hits[0].rank])
    assert not_liked not in [hit.image.id for hit in hits]
    # A new query starts afresh.
    assert session.ask(RED) == first


def test_similar_and_the_filter(engine: QueryEngine) -> None:
    session = Session(engine, 3)
    first = session.ask(RED)
    assert session.similar(1) == engine.similar(first[0].image.id, 3)
    assert [hit.image.format for hit in session.filter(Filter(format=("PNG",)))] == ["PNG", "PNG"]
    assert {hit.image.format for hit in session.ask(RED)} == {"PNG"}
    assert {hit.image.format for hit in session.ask(RED, Filter(format=("JPEG",)))} == {"JPEG"}
    assert {hit.image.format for hit in session.ask(RED)} == {"PNG"}
    session.filter(None)
    assert session.ask(RED) == first
    session.reset()
    assert session.filter(Filter(format=("PNG",))) == [] and session.query is None


def test_without_words_pictures_are_listed(engine: QueryEngine) -> None:
    session = Session(engine, 2)
    everything = [hit.image.id for hit in browse(engine, None, Listing(), 10).hits]
    pages = [session.ask(()), session.more(), session.more(), session.more()]
    assert [[hit.image.id for hit in page] for page in pages] == [everything[at : at + 2] for at in (0, 2, 4, 6)]
    assert [hit.rank for hit in session.shown] == [1, 2, 3, 4, 5, 6] and session.query is None
    found = session.ask((), Filter(format=("PNG",)), 5)
    assert {hit.image.format for hit in found} == {"PNG"} and len(found) == 2
    with pytest.raises(QueryError, match="there is no search yet"):
        session.judge(not_relevant=[1])
    assert session.shown == found
    assert len(session.filter(None, 6)) == 6  # the list again, without a filter
    liked, other = session.hit(3).image.id, session.hit(5).image.id
    hits = session.judge(relevant=[3], not_relevant=[5])
    assert hits[0].image.id == liked and other not in [hit.image.id for hit in hits] and len(hits) == 5
    session.reset()
    assert session.filter(None) == []


def test_what_fails_changes_nothing(engine: QueryEngine) -> None:
    session = Session(engine, 2)
    for wrong in (session.more, lambda: session.judge([1]), lambda: session.similar(1), lambda: session.hit(1)):
        with pytest.raises(QueryError):
            wrong()
    first = session.ask(RED)
    for wrong in (
        lambda: session.hit(3),
        lambda: session.judge(relevant=[1, 9]),
        lambda: session.filter(Filter(camera=("zzz",))),
        lambda: session.ask(RED, Filter(format=("TIFF",))),
        lambda: session.ask((Term("text", "red"), Term("text", "red", -1.0))),
    ):
        with pytest.raises(QueryError):
            wrong()
    assert session.where is None and session.shown == first
    assert session.more() == engine.search(Query(RED, k=4))[2:]
    assert np.array_equal(engine.direction(Query(RED)), engine.direction(session.query or Query(RED)))

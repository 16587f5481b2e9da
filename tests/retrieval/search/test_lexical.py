"""Searches by what pictures show and by what they are called: which matches count, how ranks are fused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.access import Rows
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.lexemes import Word
from retrieval.search import lexical
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.lexical import DEPTH, RRF_K, Found, lexical_matches, reciprocal_ranks
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query, Term
from tests.retrieval.lists.made import Row, WordEncoder, made_gallery

PICTURES = (
    *(("/photos/garden", f"IMG_{n}.jpg", "dog") for n in range(4)),
    ("/photos/garden", "bakery-receipt.jpg", "paper"),
    *(("/photos/town", f"DSC_{n}.jpg", "paper") for n in range(4)),
    ("/photos/town", "Receipt.jpg", "cat"),
    ("/photos/Bakery", "one.jpg", "house"),
)
"""(folder, name, what is shown), ids from 1."""


@pytest.fixture
def words() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def made(tmp_path: Path, words: WordEncoder) -> Gallery:
    rows = [Row(folder, name, words.picture_of(thing, n)) for n, (folder, name, thing) in enumerate(PICTURES)]
    return made_gallery(tmp_path / "gallery", words.spec, rows)


@pytest.fixture
def engine(made: Gallery, words: WordEncoder) -> Iterator[QueryEngine]:
    with QueryEngine(made, words, remember_texts=False) as opened:
        yield opened


def ids(hits: Sequence[Hit]) -> list[int]:
    return [hit.image.id for hit in hits]


def visual(engine: QueryEngine, text: str, k: int = 20) -> list[Hit]:
    return engine.search(replace(Query.text(text, k=k), only="visual"))


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert reciprocal_ranks({1: 2.0, 2: 1.0}) == {1: 1 / 61, 2: 1 / 62}
    shared = reciprocal_ranks(dict.fromkeys(range(3), 1.0) | {9: 0.5})
    assert (shared[0], shared[9]) == (1 / 62, 1 / 64)
    assert max(reciprocal_ranks(dict.fromkeys(range(5000), 1.0)).values()) < 1 / (RRF_K + DEPTH)


def test_the_order_is_that_of_the_sum_of_reciprocal_ranks(engine: QueryEngine) -> None:
    hits = engine.search(Query.text("receipt from the bakery", k=20))
    ranks = {hit.image.id: rank for rank, hit in enumerate(visual(engine, "receipt from the bakery"), 1)}
    matches = lexical_matches(engine.reader, Query.text("receipt from the bakery").terms)
    assert matches is not None
    fused = {i: matches.gains.get(i, 0.0) + 1 / (RRF_K + rank) for i, rank in ranks.items()}
    assert ids(hits) == sorted(fused, key=lambda i: (-fused[i], ranks[i]))
    assert hits[0].image.id == 5, "the only one with both words"
    assert hits[0].reason is not None
    assert hits[0].reason.words == {"name": ("receipt", "bakery")}
    scores = {hit.image.id: hit.score for hit in visual(engine, "receipt from the bakery")}
    assert {hit.image.id: hit.score for hit in hits} == pytest.approx(scores), "scores stay cosines"


def test_all_words_together_weigh_more_than_some(engine: QueryEngine) -> None:
    matches = lexical_matches(engine.reader, Query.text("bakery receipt").terms)
    assert matches is not None
    assert matches.complete == {5}
    assert matches.gains[5] > 4 * max(gain for i, gain in matches.gains.items() if i != 5) * 0.9
    one = lexical_matches(engine.reader, Query.text("receipt").terms)
    assert one is not None
    assert one.complete == {5, 10}


def test_words_may_be_found_in_several_sources(made: Gallery, engine: QueryEngine) -> None:
    edit_labels(made, [7], LabelEdit(tags=("bakery",), caption="A receipt"))
    [first, *_] = engine.search(Query.text("bakery receipt", k=3))
    found = {hit.image.id: hit.reason for hit in engine.search(Query.text("bakery receipt", k=20))}
    assert first.reason is not None
    reason = found[7]
    assert reason is not None
    assert reason.words == {"tag": ("bakery",), "caption": ("receipt",)}
    assert reason.by == ("visual", "tag", "caption")


def test_where_no_word_is_found_the_list_is_the_one_by_cosine(engine: QueryEngine) -> None:
    hits = engine.search(Query.text("a dog", k=20))
    assert hits == visual(engine, "a dog")
    assert all(hit.reason is None for hit in hits)
    assert find_page(engine, Query.text("a dog", k=20), Listing(page=1)).hits == tuple(hits)


def test_a_folder_of_many_moves_nothing(tmp_path: Path, words: WordEncoder) -> None:
    rows = [Row("/p/dogs", f"{n}.jpg", words.picture_of("house", n)) for n in range(700)]
    rows += [Row("/p/other", f"{n}.jpg", words.picture_of("dog", 1000 + n)) for n in range(5)]
    with QueryEngine(made_gallery(tmp_path / "g", words.spec, rows), words, remember_texts=False) as engine:
        hits = engine.search(Query.text("dog", k=5))
        assert set(ids(hits)) == set(range(701, 706))
        assert all(hit.reason is None for hit in hits)


def test_what_a_negative_term_names_is_not_found_by_words(engine: QueryEngine) -> None:
    terms = (Term("text", "bakery"), Term("text", "receipt", -1.0))
    matches = lexical_matches(engine.reader, terms)
    assert matches is not None
    assert set(matches.gains) == {11}


def test_filters_come_before_ranks(engine: QueryEngine, made: Gallery) -> None:
    town = Filter(under=made.path.parent / "photos/town")
    hits = engine.search(Query.text("receipt", k=20, where=town))
    assert sorted(ids(hits)) == [6, 7, 8, 9, 10]
    assert hits[0].reason is not None
    assert [i for i in ids(hits) if i == 10] == [10]
    matches = lexical_matches(engine.reader, Query.text("receipt").terms, engine.selection(town).ids)
    assert matches is not None
    assert matches.gains == {10: 1 / 61}


def test_a_longer_list_begins_with_a_shorter_one(tmp_path: Path, words: WordEncoder) -> None:
    rows = [Row("/p", f"{'dog' if n % 7 == 0 else 'img'}{n}.jpg", words.picture_of("dog", n)) for n in range(600)]
    with QueryEngine(made_gallery(tmp_path / "g", words.spec, rows), words, remember_texts=False) as engine:
        every = ids(engine.search(Query.text("dog", k=600)))
        assert sorted(every) == list(range(1, 601))
        for k in (1, 10, 100, 300, 599):
            assert ids(engine.search(Query.text("dog", k=k))) == every[:k]
            assert ids(find_page(engine, Query.text("dog", k=k), Listing(page=1)).hits) == every[:k]
        cursor, read = None, list[int]()
        while len(read) < 600:
            page = find_page(engine, Query.text("dog", k=70), Listing(cursor=cursor))
            read += ids(page.hits)
            cursor = page.next
        assert read == every


def test_several_queries_at_once_are_answered_as_each(engine: QueryEngine) -> None:
    queries = [Query.text(text, k=7) for text in ("receipt", "a dog", "bakery receipt")]
    queries.append(replace(Query.text("bakery", k=3), only="names"))
    together = engine.search_many(queries)
    assert [ids(hits) for hits in together] == [ids(engine.search(query)) for query in queries]
    assert [hits[0].reason is None for hits in together] == [False, True, False, False]


def test_names_only_asks_no_model(made: Gallery, words: WordEncoder, engine: QueryEngine) -> None:
    hits = engine.search(replace(Query.text("bakery receipt", k=20), only="names"))
    assert words.encoded == []
    assert hits[0].image.id == 5
    assert sorted(ids(hits)) == [5, 10, 11]
    assert all(np.isnan(hit.score) for hit in hits)
    assert all(hit.reason is not None and hit.reason.by == ("name",) for hit in hits)
    page = find_page(engine, replace(Query.text("bakery receipt", k=2), only="names"), Listing(page=2))
    assert (ids(page.hits), page.total) == (ids(hits)[2:], 3)
    by_name = find_page(engine, replace(Query.text("bakery receipt"), only="names"), Listing(sort="name"))
    assert ids(by_name.hits) == [5, 11, 10]
    assert engine.search(replace(Query.text("zebra"), only="names")) == []


def test_what_cannot_be_asked_of_words_is_refused(engine: QueryEngine) -> None:
    with pytest.raises(QueryError, match="only"):
        replace(Query.text("x"), only="smell")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="no scores"):
        Query((Term("text", "x"),), min_score=0.1, only="names")
    with pytest.raises(QueryError, match="by pictures"):
        Query((Term("id", 1),), only="text")
    with pytest.raises(QueryError, match="relevance"):
        find_page(engine, replace(Query.text("bakery"), only="names"), Listing(relevant=True))


def test_the_lowest_score_keeps_the_fused_order(engine: QueryEngine) -> None:
    every = engine.search(Query.text("receipt", k=20))
    lowest = sorted(hit.score for hit in every)[4]
    expected = [hit.image.id for hit in every if hit.score >= lowest]
    assert ids(engine.search(replace(Query.text("receipt", k=20), min_score=lowest))) == expected
    backwards = find_page(engine, replace(Query.text("receipt", k=20), min_score=lowest), Listing(reverse=True))
    assert ids(backwards.hits) == expected[::-1]


def test_what_has_every_word_is_relevant(engine: QueryEngine) -> None:
    page = find_page(engine, Query.text("receipt", k=20), Listing(relevant=True))
    assert {5, 10} <= set(ids(page.hits))
    assert page.nearest is None


def test_files_that_are_gone_are_skipped_and_made_up_for(made: Gallery, engine: QueryEngine) -> None:
    (made.path.parent / "photos/garden/bakery-receipt.jpg").unlink()
    hits = engine.search(Query.text("bakery receipt", k=3))
    assert len(hits) == 3
    assert 5 not in ids(hits)


def test_a_damaged_index_leaves_the_list_by_cosine(
    engine: QueryEngine, made: Gallery, caplog: pytest.LogCaptureFixture
) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(made.catalog_path)) as other:
        other.execute("DELETE FROM lexical_index_data")
        other.commit()
    assert engine.search(Query.text("receipt", k=20)) == visual(engine, "receipt")
    assert "names and captions cannot be searched" in caplog.text


def test_a_source_is_one_row_and_one_function(engine: QueryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(rows: Rows, word: Word) -> list[Found]:
        return [Found("sign", 2, 1.0)] if word == ("dog",) else []

    monkeypatch.setitem(lexical.SOURCES, "sign", "text")
    monkeypatch.setattr(lexical, "LISTERS", (*lexical.LISTERS, read))
    monkeypatch.setattr("retrieval.search.engine.is_any_known", lambda rows, texts: True)
    [first, *_] = engine.search(Query.text("dog"))
    assert (first.image.id, first.reason and first.reason.words) == (2, {"sign": ("dog",)})
    assert ids(engine.search(replace(Query.text("dog"), only="text"))) == [2]
    assert engine.search(replace(Query.text("dog"), only="names")) == []

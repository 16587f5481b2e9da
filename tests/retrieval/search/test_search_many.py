"""Many queries at once give what each alone gives; files of queries, their errors, and blocks."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from indexes.base import Vectors
from retrieval.encoders.cache import CACHE_NAME
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.search import many
from retrieval.search.engine import QueryEngine
from retrieval.search.many import answer_lines
from retrieval.search.query import Query, Term
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder

LIKE = Query.text("x", k=3)


class BatchEncoder(ColourEncoder):
    """Notes how many texts came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(len(texts))
        return super().encode_texts(texts)


@pytest.fixture
def batching() -> BatchEncoder:
    return BatchEncoder()


@pytest.fixture
def engine(indexed: Gallery, batching: BatchEncoder) -> Iterator[QueryEngine]:
    with QueryEngine(indexed, batching, remember_texts=False) as opened:
        yield opened


def mixed(photos: Path) -> list[Query]:
    green = Term("image", photos / "green.jpg", 0.5)
    return [
        Query.text("red", k=2),
        Query.text("blue", "green"),
        Query((Term("text", "yellow"), Term("text", "red", -0.9))),
        Query((Term("text", "red", 2.0), green), k=2),
        Query((Term("id", 2),)),
        Query.text("red", where=Filter(under=(photos / "trip",))),
        Query.text("white", where=Filter(under=(photos / "trip",)), k=2),
        Query.text("red", where=Filter(after=datetime(1990, 1, 1))),
        Query((Term("text", "red"),), min_score=0.9),
        Query((Term("text", "red"),), min_score=1.0),
        Query.text("red", k=2),
        Query.text("green", k=500),
    ]


def test_each_gets_what_it_would_get_alone(engine: QueryEngine, batching: BatchEncoder, photos: Path) -> None:
    queries = mixed(photos)
    alone = [engine.search(query) for query in queries]
    batching.calls.clear()
    together = engine.search_many(queries)
    assert together == alone
    assert batching.calls == [5], "one call of the text tower, every text once"
    assert any(len(hits) == 6 for hits in together) and [] in together
    assert engine.search_many([]) == []


def test_ties_come_by_id_there_too(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    for number in (3, 1, 2):
        shutil.copy(photos / "green.jpg", photos / f"same-{number}.jpg")
    Indexer(gallery, encoder).run(photos)
    with QueryEngine(gallery, encoder) as engine:
        queries = [Query.text(text, k=k) for text in ("green", "red", "green blue") for k in (1, 2, 4, 9)]
        found = engine.search_many(queries)
        assert found == [engine.search(query) for query in queries]
        assert len({hit.score for hit in found[2]}) == 1
        assert [hit.image.id for hit in found[2]] == sorted(hit.image.id for hit in found[2])


def test_changed_files_are_left_out_and_others_move_up(
    engine: QueryEngine, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = [Path(hit.image.path).name for hit in engine.search(Query.text("red"))]
    for name in PHOTOS:
        if Path(name).name in full[:3]:
            os.utime(photos / name, ns=(1, 1))
    queries = [Query.text(text, k=k) for text in ("red", "blue", "yellow") for k in (1, 2, 6)]
    with caplog.at_level(logging.WARNING, "photoseek"):
        together = engine.search_many([queries[2], queries[5]])
    told = "3 pictures are skipped: changed since they were indexed; run: photoseek index"
    assert [record.getMessage() for record in caplog.records] == [told], "each file is counted once"
    assert [Path(hit.image.path).name for hit in together[0]] == full[3:]
    assert engine.search_many(queries) == [engine.search(query) for query in queries]


def test_real_texts_give_the_same_pictures(indexed_examples: Path) -> None:
    texts = ["a dog", "a red bird on a branch", "2 cats", "a bicycle", "a dog", "ein Hund", "a very long line " * 20]
    with QueryEngine(Gallery(indexed_examples), remember_texts=False) as engine:
        alone = [engine.search(Query.text(text)) for text in texts]
        together = engine.search_many([Query.text(text) for text in texts])
    for one, other in zip(alone, together, strict=True):
        assert [hit.image.id for hit in one] == [hit.image.id for hit in other]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=2e-6)


def test_a_long_list_is_not_remembered(indexed: Gallery, encoder: ColourEncoder) -> None:
    with QueryEngine(indexed, encoder) as engine:
        engine.search_many([Query.text("red"), Query.text("blue")])
    assert not (indexed.path / CACHE_NAME).exists()


def test_a_file_is_answered_line_by_line(engine: QueryEngine, tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_bytes("\ufeffred\r\n2:blue\nyellow und grün".encode())
    out = io.StringIO()
    assert answer_lines(engine, str(file), LIKE, out) == 3
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["query"] for row in rows] == ["red", "2:blue", "yellow und grün"]
    for row, text in zip(rows, ("red", "blue", "yellow und grün"), strict=True):
        expected = engine.search(Query.text(text, k=3))
        assert [hit["path"] for hit in row["hits"]] == [hit.image.path for hit in expected]
        assert [hit["rank"] for hit in row["hits"]] == [1, 2, 3]
    assert answer_lines(engine, str(file), replace(LIKE, min_score=1.0), out) == 0


def test_a_line_of_conditions_lists_what_passes_them(engine: QueryEngine, tmp_path: Path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("name:green\nred\nname:nothing\nname:blue -name:trip\n\n")
    out, refused = io.StringIO(), []
    answer_lines(engine, str(file), replace(LIKE, k=50), out, refused=lambda what, _: refused.append(what))
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    names = [{Path(hit["path"]).name for hit in row["hits"]} for row in rows]
    assert names[0] == {name for name in map(os.path.basename, PHOTOS) if "green" in name}
    assert len(rows[1]["hits"]) == len(PHOTOS) and names[2] == set()
    assert all("blue" in name for name in names[3])
    assert all(hit["score"] is None for hit in rows[0]["hits"]) and refused == ["line 5"]
    out = io.StringIO()
    answer_lines(engine, str(file), replace(LIKE, min_score=0.1), out, refused=lambda what, _: refused.append(what))
    assert "without a query there are no scores" in out.getvalue()


def test_blocks_keep_memory_bounded(
    engine: QueryEngine, batching: BatchEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "BLOCK", 4)
    file = tmp_path / "queries.txt"
    file.write_text("".join(f"red {number}\n" for number in range(10)))
    out = io.StringIO()
    answer_lines(engine, str(file), LIKE, out)
    assert batching.calls == [4, 4, 2]
    assert [json.loads(line)["query"] for line in out.getvalue().splitlines()] == [f"red {n}" for n in range(10)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"red\n\nblue\n", "line 2: the query is empty"),
        (b"red\n0:blue\n", "line 2: a weight of 0"),
        (b"red\nblue\n\xff\xfe\n", "line 3: it is not UTF-8"),
        (b"red\n" + b"x" * 100_000, "line 2 is longer than 64 KiB"),
    ],
)
def test_an_error_names_its_line(engine: QueryEngine, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "queries.txt"
    file.write_bytes(content)
    with pytest.raises(QueryError, match=words):
        answer_lines(engine, str(file), LIKE, io.StringIO())


def test_files_that_cannot_be_read(engine: QueryEngine, tmp_path: Path) -> None:
    for bad in (tmp_path, tmp_path / "gone.txt"):
        with pytest.raises(QueryError, match="cannot read"):
            answer_lines(engine, str(bad), LIKE, io.StringIO())

"""One damaged row of the catalog costs one picture, and that until the next run."""

from __future__ import annotations

import io
import logging
import math
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog.stored import damaged_images
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.overview import write_overview
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query, Term
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.retrieval.states import check_agreement, embedded, found, rows


def write(gallery: Gallery, sql: str, *values: object) -> None:
    """Damage that went past the library: no change number moves."""
    with closing(sqlite3.connect(gallery.catalog_path)) as connection, connection:
        assert connection.execute(sql, values).rowcount > 0


def half(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}e", *numbers)


def vector_of(gallery: Gallery, image: int) -> bytes:
    return bytes(rows(gallery, "SELECT vector FROM embeddings WHERE image_id = ?", (image,))[0][0])


def damaged_vectors(whole: bytes) -> dict[str, object]:
    return {
        "NaN": half(math.nan) + whole[2:],
        "infinite": half(math.inf) + whole[2:],
        "zeros": bytes(len(whole)),
        "cut": whole[:-2],
        "odd": whole[:-1],
        "longer": whole + whole,
        "empty": b"",
        "twice as long": struct.pack(f"<{len(whole) // 2}e", *(2 * x for (x,) in struct.iter_unpack("<e", whole))),
        "fraction": bytes([whole[0] ^ 0x08]) + whole[1:],  # as long as before, and another picture's
        "exponent": whole[:-1] + bytes([whole[-1] ^ 0x40]),
        "text": "not a vector",
        "a number": 7,
    }


KINDS = sorted(damaged_vectors(bytes(8)))


@pytest.mark.parametrize(("kind", "index"), [*((kind, "saved") for kind in KINDS), ("NaN", "gone"), ("cut", "gone")])
def test_a_damaged_embedding_costs_one_picture_until_the_next_run(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, kind: str, index: str
) -> None:
    before = embedded(indexed, encoder)
    everything = sorted(found(indexed, encoder))
    write(indexed, "UPDATE embeddings SET vector = ? WHERE image_id = 3", damaged_vectors(vector_of(indexed, 3))[kind])
    if index == "gone":
        for path in (indexed.path / "index").rglob("*.*"):
            path.unlink()
    name = rows(indexed, "SELECT name FROM images WHERE id = 3")[0][0]
    others = [other for other in everything if other != name]
    assert sorted(found(indexed, encoder)) == others
    with indexed.reader() as reader:
        assert damaged_images(reader, reader.encoders()[0]) == [3]
        said = io.StringIO()
        write_overview(indexed, reader, said)
    assert "1 in the catalog (photoseek index reads their pictures again)" in said.getvalue()
    report = Indexer(indexed, encoder).run(photos)
    assert (report.damaged, report.encoded, report.unchanged) == (1, 1, len(PHOTOS) - 1)
    assert report.as_dict()["damaged"] == 1
    assert embedded(indexed, encoder) == before
    assert sorted(found(indexed, encoder)) == everything
    check_agreement(indexed, encoder)
    assert Indexer(indexed, encoder).run(photos).damaged == 0


@pytest.mark.parametrize(
    "damage",
    [
        "content_hash = x'00'",
        "content_hash = 'text'",
        "size = x'01'",
        "mtime_ns = 'then'",
        "width = x'ff'",
        "format = x'ff'",
        "taken_at = 'some day'",
        "taken_at = x'ff'",
    ],
)
def test_a_damaged_record_costs_one_picture_until_the_next_run(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, damage: str
) -> None:
    before = embedded(indexed, encoder)
    everything = sorted(found(indexed, encoder))
    name = rows(indexed, "SELECT name FROM images WHERE id = 3")[0][0]
    write(indexed, f"UPDATE images SET {damage} WHERE id = 3")
    is_shown = damage == "content_hash = x'00'"  # which no search looks at
    assert sorted(found(indexed, encoder)) == [other for other in everything if is_shown or other != name]
    assert Indexer(indexed, encoder).run(photos).damaged == 1
    assert embedded(indexed, encoder) == before
    assert sorted(found(indexed, encoder)) == everything
    check_agreement(indexed, encoder)


@pytest.mark.parametrize("garbage", ["x'ff00fe'", "CAST(x'7265642dff2e6a7067' AS TEXT)", "'a' || char(0) || 'b'", "7"])
@pytest.mark.parametrize(("table", "column"), [("images", "name"), ("folders", "path")])
def test_a_garbled_name_is_a_file_that_is_not_there(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, table: str, column: str, garbage: str
) -> None:
    before = embedded(indexed, encoder)
    everything = sorted(found(indexed, encoder))
    at = rows(indexed, f"SELECT max(id) FROM {table}")[0][0]
    write(indexed, f"UPDATE {table} SET {column} = {garbage} WHERE id = ?", at)
    assert set(found(indexed, encoder)) >= set(everything[:1])
    with QueryEngine(indexed, encoder) as engine:
        assert len(engine.search(Query.text("red", k=100))) >= len(everything) - 2
    Indexer(indexed, encoder).run(photos)
    assert embedded(indexed, encoder) == before
    assert sorted(found(indexed, encoder)) == everything


def test_damage_in_the_catalog_is_not_taken_for_damage_of_the_index(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    whole = vector_of(indexed, 2)
    write(indexed, "UPDATE embeddings SET vector = ? WHERE image_id = 2", whole[:2] + bytes([whole[2] ^ 2]) + whole[3:])
    found(indexed, encoder)
    assert "index" not in caplog.text
    assert Indexer(indexed, encoder).run(photos).damaged == 1
    assert vector_of(indexed, 2) == whole


def test_similar_to_a_picture_with_a_damaged_embedding_reads_its_file(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    with QueryEngine(indexed, encoder) as engine:
        wanted = [(hit.image.id, round(hit.score, 2)) for hit in engine.similar(photos / "red-1.jpg", 3)]
        own = engine.known_id(Term("image", photos / "red-1.jpg"))
    write(indexed, "UPDATE embeddings SET vector = ? WHERE image_id = ?", b"", own)
    with QueryEngine(indexed, encoder) as engine:
        assert [(hit.image.id, round(hit.score, 2)) for hit in engine.similar(photos / "red-1.jpg", 3)] == wanted


def test_a_damaged_embedding_is_not_taken_over_for_a_copy(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "copy.jpg").write_bytes((photos / "red-1.jpg").read_bytes())
    write(indexed, "UPDATE embeddings SET vector = zeroblob(length(vector))")
    with caplog.at_level(logging.WARNING, "photoseek"):
        assert found(indexed, encoder) == []
    report = Indexer(indexed, encoder).run(photos)
    assert (report.damaged, report.counts.added) == (len(PHOTOS), 1)
    check_agreement(indexed, encoder)
    assert len(found(indexed, encoder)) == len(PHOTOS) + 1

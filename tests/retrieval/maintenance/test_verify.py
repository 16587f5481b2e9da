"""Every kind of damage is found, what can be repaired is, and nothing of a person's is lost on the way."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import GalleryError, GalleryLocked, GalleryNotFound, GalleryOutdated, RetrievalError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.maintenance.verify import Finding, verify
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.fakes import ColourEncoder
from tests.page_damage import KINDS, damaged
from tests.pictures import save_picture
from tests.retrieval.maintenance.test_backup import tag, tags
from tests.test_cli import Run, run  # noqa: F401 - a fixture


def states(gallery: Gallery, *, repair: bool = False) -> dict[str, str]:
    return {finding.part: finding.state for finding in verify(gallery, repair=repair)}


def execute(gallery: Gallery, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        connection.execute(sql, values)
        connection.commit()


def found_red(gallery: Gallery, encoder: ColourEncoder) -> bool:
    with QueryEngine(gallery, encoder) as engine:
        return engine.search(Query.text("red", k=1))[0].image.path.rpartition("/")[2].startswith("red")


def test_a_sound_gallery(indexed: Gallery) -> None:
    assert states(indexed) == {"catalog": "sound", "embeddings": "sound", "index": "sound", "files": "sound"}


@pytest.mark.parametrize("vector", [b"x", bytes(16), np.full(8, np.nan, "<f2").tobytes(), None])
def test_a_damaged_embedding_is_dropped_and_made_again(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, vector: bytes | None
) -> None:
    tag(indexed, "holiday")
    if vector is None:
        execute(indexed, "UPDATE embeddings SET crc = crc + 1 WHERE image_id = 2")
    else:
        execute(indexed, "UPDATE embeddings SET vector = ? WHERE image_id = 2", vector)
    assert states(indexed)["embeddings"] == "damaged"
    assert states(indexed, repair=True)["embeddings"] == "repaired"
    assert states(indexed)["embeddings"] == "sound"
    assert Indexer(indexed, encoder).run(photos).encoded == 1
    assert set(states(indexed).values()) == {"sound"}
    assert tags(indexed) == {"holiday"}


def test_a_change_without_a_name_is_found_and_repaired(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    tag(indexed, "holiday")
    execute(indexed, "DELETE FROM revisions")
    shutil.rmtree(indexed.path / "index")
    save_picture(photos / "one more.jpg", "blue", seed=77)
    assert states(indexed)["catalog"] == "damaged"
    execute(indexed, "DROP TRIGGER name_the_change")
    with pytest.raises(GalleryError, match="no name"):
        Indexer(indexed, encoder).run(photos)
    assert states(indexed, repair=True)["catalog"] == "repaired"
    Indexer(indexed, encoder).run(photos)
    assert set(states(indexed).values()) == {"sound"}
    assert tags(indexed) == {"holiday"} and found_red(indexed, encoder)


def test_every_damaged_byte_of_an_index_is_found(indexed: Gallery, encoder: ColourEncoder) -> None:
    folder = next(path for path in (indexed.path / "index").iterdir() if path.is_dir())
    kept = indexed.path.parent / "kept"
    shutil.copytree(folder, kept)
    rng = np.random.default_rng(3)
    for path in sorted(kept.iterdir()):
        if path.name == "tuning.json" or not path.stat().st_size:
            continue
        for _ in range(6):
            content = bytearray(path.read_bytes())
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
            (folder / path.name).write_bytes(content)
            assert states(indexed)["index"] == "damaged", path.name
            assert states(indexed, repair=True)["index"] == "repaired"
            assert states(indexed)["index"] == "sound" and found_red(indexed, encoder)
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)


def test_a_damaged_cache_is_removed(indexed: Gallery) -> None:
    for name in ("thumbnails.sqlite", "text-cache.sqlite"):
        (indexed.path / name).write_bytes(b"SQLite format 3\0" + b"x" * 5000)
        assert states(indexed)[name] == "damaged"
        assert states(indexed, repair=True)[name] == "repaired"
        assert not (indexed.path / name).exists()


def test_files_that_changed_are_no_damage(indexed: Gallery, photos: Path) -> None:
    (photos / "red-1.jpg").unlink()
    save_picture(photos / "green.jpg", "blue", seed=77)
    (finding,) = (each for each in verify(indexed) if each.part == "files")
    assert finding.state == "note" and "4 as indexed, 1 changed, 1 missing" in finding.message


def test_a_reference_to_nothing_is_found(indexed: Gallery, encoder: ColourEncoder) -> None:
    with closing(sqlite3.connect(indexed.catalog_path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM images WHERE id = 2")
        connection.commit()
    (first, *_) = verify(indexed)
    assert first.state == "damaged" and "belong to rows that are not there" in first.message
    assert states(indexed, repair=True)["catalog"] == "repaired"
    assert set(states(indexed).values()) <= {"sound"} and found_red(indexed, encoder)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of 150 pictures with tags, in one file without a log."""
    place = tmp_path_factory.mktemp("large")
    for number in range(150):
        save_picture(place / "photos" / f"{number}.png", ("red", "green", "blue")[number % 3], seed=number)
    gallery = Gallery(place / "gallery")
    Indexer(gallery, ColourEncoder()).run(place / "photos")
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        for number in range(150):
            connection.execute(
                "INSERT INTO tags (image_id, tag, source) VALUES (?, ?, 'user')", (number + 1, f"tag{number}")
            )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return place


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pages(large: Path, tmp_path: Path, kind: str, seed: int) -> None:
    """After a repair, or a refusal that keeps everything, nothing shows another picture's row or vector."""
    gallery = Gallery(tmp_path / "gallery")
    shutil.copytree(large / "gallery", gallery.path)
    truth = contents(gallery)
    where = damaged(gallery.catalog_path, kind, np.random.default_rng([seed, KINDS.index(kind)]))
    wounded = gallery.catalog_path.read_bytes()
    try:
        first = list(verify(gallery))
        if all(finding.state == "sound" for finding in first):
            return  # free space, or a value that may be right
        repaired = list(verify(gallery, repair=True))
    except RetrievalError:  # its version cannot be read, or is another one
        assert gallery.catalog_path.read_bytes() == wounded, where
        return
    catalog = repaired[0]
    if catalog.state == "damaged":
        assert gallery.catalog_path.read_bytes() == wounded and "backup" in catalog.message, where
        return
    if catalog.state == "repaired":
        (kept,) = gallery.path.glob("damaged-*.sqlite")
        assert kept.read_bytes() == wounded, where
        assert {finding.state for finding in verify(gallery)} <= {"sound", "note", "damaged"}, where
    if kind not in ("value", "bit", "bytes", "run"):  # what changes a value inside a page changes that value
        found = contents(gallery)
        assert found.items() <= truth.items(), where
    Indexer(gallery, ColourEncoder()).run(large / "photos")
    with gallery.reader() as reader:
        assert reader.count() == 150, where
    left = [finding for finding in verify(gallery) if finding.state not in ("sound", "note")]
    assert left == [], where


def contents(gallery: Gallery) -> dict[str, tuple[object, ...]]:
    """Name -> content hash, vector, tag of each picture."""
    sql = """SELECT i.name, i.content_hash, e.vector, t.tag FROM images AS i JOIN embeddings AS e ON e.image_id = i.id
             JOIN tags AS t ON t.image_id = i.id"""
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        return {row[0]: row[1:] for row in connection.execute(sql)}


def test_a_lost_page_costs_its_own_rows_only(large: Path, tmp_path: Path) -> None:
    gallery = Gallery(tmp_path / "gallery")
    shutil.copytree(large / "gallery", gallery.path)
    truth = contents(gallery)
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        (page,) = (
            connection.execute("SELECT pageno FROM dbstat WHERE name = 'tags' AND pagetype = 'leaf' LIMIT 1").fetchone()
            if _has_dbstat(connection)
            else pytest.skip("SQLite without dbstat")
        )
    content = bytearray(gallery.catalog_path.read_bytes())
    content[(page - 1) * 8192 : page * 8192] = bytes(8192)
    gallery.catalog_path.write_bytes(content)
    told: list[Finding] = list(verify(gallery, repair=True))
    assert told[0].state == "repaired" and "tags" in told[0].message and "images" not in told[0].message
    with closing(sqlite3.connect(gallery.catalog_path)) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (150,)
        left = connection.execute("SELECT tag FROM tags").fetchall()
    assert {tag for (tag,) in left} <= {str(row[2]) for row in truth.values()}


def _has_dbstat(connection: sqlite3.Connection) -> bool:
    return any(row[0] == "ENABLE_DBSTAT_VTAB" for row in connection.execute("PRAGMA compile_options"))


def test_who_may_not(indexed: Gallery, tmp_path: Path) -> None:
    with pytest.raises(GalleryNotFound):
        list(verify(Gallery(tmp_path / "none")))
    execute(indexed, "UPDATE alembic_version SET version_num = '0003'")
    with pytest.raises(GalleryOutdated):
        list(verify(indexed, repair=True))


def test_a_writer_is_waited_for_by_nobody(indexed: Gallery) -> None:
    execute(indexed, "UPDATE embeddings SET crc = crc + 1 WHERE image_id = 2")
    with indexed.locked(), pytest.raises(GalleryLocked):
        list(verify(indexed, repair=True))


def test_the_command(run: Run, indexed: Gallery) -> None:  # noqa: F811
    assert run("verify", gallery=indexed.path)[0] == 0
    execute(indexed, "UPDATE embeddings SET crc = crc + 1 WHERE image_id = 2")
    code, out, _ = run("verify", "--json", "--no-files", gallery=indexed.path)
    assert code == 3 and [each["state"] for each in json.loads(out)] == ["sound", "damaged", "damaged"], (
        "and the index holds what the catalog cannot show"
    )
    code, out, _ = run("verify", "--repair", gallery=indexed.path)
    assert code == 0 and "removed; run: photoseek index FOLDER" in out
    with pytest.raises(GalleryError):
        list(verify(Gallery(indexed.path.parent / "none")))

"""The tables, and how a file is brought to them: migrations, versions, a creation that is cut off."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

from retrieval.catalog import schema
from retrieval.catalog.batch import Batch
from retrieval.catalog.reader import CATALOG_VERSION, CatalogReader
from retrieval.catalog.writer import Catalog
from retrieval.errors import GalleryError, GalleryNotFound, GalleryOutdated, GalleryTooNew
from retrieval.gallery import Gallery
from tests.retrieval.rows import encoder_spec, filled, image


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def plain(found: list[Any] | dict[str, Any]) -> list[str]:
    """What is known of columns or indexes, without the addresses of the conditions of partial indexes."""
    several = found if isinstance(found, list) else [found]
    for each in several:
        for name, value in each.get("dialect_options", {}).items():
            each["dialect_options"][name] = str(value)
    return sorted(map(repr, several))


def test_migrations_make_exactly_the_tables_of_the_metadata(tmp_path: Path) -> None:
    Catalog(tmp_path / "migrated").close()
    created = create_engine(f"sqlite:///{tmp_path / 'created'}")
    schema.metadata.create_all(created)
    with created.begin() as connection:  # no table of SQLAlchemy's
        connection.exec_driver_sql(
            "CREATE VIRTUAL TABLE text_index USING fts5 (folded, content = 'picture_texts', content_rowid = 'id')"
        )
        connection.exec_driver_sql("CREATE VIRTUAL TABLE lexical_index USING fts5 (words, content = 'lexical')")
    migrated = create_engine(f"sqlite:///{tmp_path / 'migrated'}")
    try:
        want, have = inspect(created), inspect(migrated)
        names = set(want.get_table_names())
        assert set(have.get_table_names()) == names | {"alembic_version"}
        for name in names:
            for facts in ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints"):
                expected, found = (getattr(i, f"get_{facts}")(name) for i in (want, have))
                assert plain(found) == plain(expected), (name, facts)
    finally:
        created.dispose()
        migrated.dispose()


def test_the_autogenerator_finds_nothing_to_migrate(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def include_name(name: str | None, _kind: str, _parents: object) -> bool:
        return not str(name).startswith(("text_index", "lexical_index"))  # of FTS5

    catalog = Catalog(tmp_path / "catalog.sqlite")
    catalog.close()
    engine = schema.open_engine(tmp_path / "catalog.sqlite")
    options = {"include_name": include_name}
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata)
    engine.dispose()
    assert differences == []


def test_the_reader_knows_the_newest_migration() -> None:
    versions = sorted(path.stem[:4] for path in (schema.MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert versions[-1] == CATALOG_VERSION
    assert versions == [f"{number:04}" for number in range(1, len(versions) + 1)]


def at_version(path: Path, version: str) -> None:
    """A catalog as an older photoseek left it, with one picture, a change number and nothing newer."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    engine = schema.open_engine(path)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.exec_driver_sql("INSERT INTO folders (id, path, is_root, is_mount) VALUES (1, '/photos', 1, 0)")
        connection.exec_driver_sql(
            """INSERT INTO images (folder_id, name, size, mtime_ns, content_hash, format, width, height, added_at,
               is_retired, change) VALUES (1, 'old.jpg', 7, 1000, zeroblob(32), 'JPEG', 4, 3, '2024-01-01', 0, 1)"""
        )
        connection.exec_driver_sql("UPDATE state SET change = 1")
    engine.dispose()


OLDER = [f"{number:04}" for number in range(1, int(CATALOG_VERSION))]


@pytest.mark.parametrize("version", OLDER)
def test_an_older_catalog_is_brought_up_to_date_by_the_writer_with_its_rows(tmp_path: Path, version: str) -> None:
    path = tmp_path / "catalog.sqlite"
    at_version(path, version)
    with pytest.raises(GalleryError, match="older photoseek"):
        CatalogReader(path)
    catalog = Catalog(path)
    folder, encoder = catalog.folder_id("/photos"), catalog.register_encoder(encoder_spec())
    catalog.commit(Batch(indexed=[image(folder, "new.jpg", colour=0x102030)]), encoder)
    catalog.close()
    with closing(CatalogReader(path)) as reader:
        assert reader.change() == 2
        assert [(record.path, record.colour) for record in reader.records([1, 2])] == [
            ("/photos/old.jpg", None),
            ("/photos/new.jpg", 0x102030),
        ]


@pytest.mark.parametrize("version", OLDER)
def test_a_gallery_is_brought_up_to_date_without_a_run(tmp_path: Path, version: str) -> None:
    at_version(tmp_path / "catalog.sqlite", version)
    gallery = Gallery(tmp_path)
    gallery.bring_up_to_date()
    with gallery.reader() as reader:
        assert [record.path for record in reader.records([1])] == ["/photos/old.jpg"]
    before = gallery.catalog_path.read_bytes()
    gallery.bring_up_to_date()
    assert gallery.catalog_path.read_bytes() == before
    Gallery(tmp_path / "none").bring_up_to_date()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("version", ["0001", OLDER[-1]])
def test_who_reads_an_older_gallery_needs_no_run_before(tmp_path: Path, version: str) -> None:
    at_version(tmp_path / "catalog.sqlite", version)
    gallery = Gallery(tmp_path)
    with pytest.raises(GalleryOutdated, match="older photoseek"), gallery.reader(upgrades=False):
        pass
    with gallery.locked(), pytest.raises(GalleryOutdated, match="is being written by process"), gallery.reader():
        pass
    with gallery.reader() as reader:
        assert [record.path for record in reader.records([1])] == ["/photos/old.jpg"]


def test_an_older_gallery_that_cannot_be_upgraded_says_why(tmp_path: Path) -> None:
    at_version(tmp_path / "catalog.sqlite", OLDER[-1])
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")  # its later tables are in the way
    with pytest.raises(GalleryOutdated, match="cannot be upgraded"), Gallery(tmp_path).reader():
        pass


def test_opening_again_changes_nothing_and_keeps_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    filled(path, ["a.jpg", "b.jpg"])[0].close()
    schema_before = tables(path)
    engine = schema.open_engine(path)
    schema.upgrade(engine)
    engine.dispose()
    Catalog(path).close()
    with closing(CatalogReader(path)) as reader:
        assert (reader.count(), reader.change()) == (2, 1)
    assert tables(path) == schema_before


def test_an_id_is_not_used_again_after_the_last_row_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog, folder, encoder = filled(path, ["a.jpg", "b.jpg"])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM embeddings WHERE image_id = 2")
        connection.execute("DELETE FROM images WHERE id = 2")
    catalog.commit(Batch(indexed=[image(folder, "c.jpg")]), encoder)
    catalog.close()
    with closing(CatalogReader(path)) as reader:
        assert [record.id for record in reader.records([1, 2, 3])] == [1, 3]


def test_a_newer_catalog_is_refused_by_reader_and_writer_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    filled(path, ["a.jpg"])[0].close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(GalleryTooNew):
        CatalogReader(path)
    with pytest.raises(GalleryTooNew):
        Catalog(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (1,)


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from retrieval.catalog import schema
statements = 0
engine = schema.open_engine(Path(sys.argv[1]))
@event.listens_for(engine, "before_cursor_execute")
def count(*_):
    global statements
    statements += 1
    if statements == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
schema.upgrade(engine)
"""


@pytest.mark.parametrize("statement", [2, 6, 11])
def test_a_creation_that_is_killed_leaves_nothing_half(tmp_path: Path, statement: int) -> None:
    path = tmp_path / "catalog.sqlite"
    command = [sys.executable, "-c", KILLED, str(path), str(statement)]
    root = Path(schema.__file__).parents[1]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(root)}, cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert tables(path) == []
    with pytest.raises(GalleryNotFound):
        CatalogReader(path)
    filled(path, ["a.jpg"])[0].close()
    with closing(CatalogReader(path)) as reader:
        assert reader.count() == 1


def test_a_file_that_is_no_catalog_is_a_gallery_error_for_the_writer(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"not a database " * 100)
    with pytest.raises(GalleryError, match="not a database"), Gallery(tmp_path).writer():
        pass
    (tmp_path / "catalog.sqlite").unlink()
    with Gallery(tmp_path).writer() as catalog:
        assert catalog.mounts() == []


@pytest.mark.parametrize("name", ["what?mode=memory", "100%41", "a#b", "a b", "café", os.fsdecode(b"caf\xe9")])
def test_any_folder_name_can_hold_a_catalog(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    filled(folder / "catalog.sqlite", ["a.jpg"])[0].close()
    assert (folder / "catalog.sqlite").stat().st_size > 0
    with closing(CatalogReader(folder / "catalog.sqlite")) as reader:
        assert reader.count() == 1


def test_names_of_an_older_catalog_are_folded_and_its_tags_get_one_spelling(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    at_version(path, "0003")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            """UPDATE images SET name = 'Фото.JPG', camera = 'Müller ẞ', taken_at = '2024-01-02T03:04:05',
               taken_offset_minutes = 60"""
        )
        connection.executemany(
            "INSERT INTO tags (image_id, tag, source) VALUES (1, ?, ?)",
            [("straße", "user"), ("strasse", "user"), ("strasse", "xmp"), ("φίλος", "user")],
        )
        connection.execute(
            """INSERT INTO failures (folder_id, name, size, mtime_ns, reason, is_transient, failed_at)
               VALUES (1, 'x.tif', 1, 1, 'damaged TIFF file', 0, '')"""
        )
    Catalog(path).close()
    with closing(sqlite3.connect(path)) as connection:
        keys = connection.execute("SELECT name_key, camera_key, lens_key, taken_instant FROM images").fetchall()
        assert keys == [("фото.jpg", "müller ss", None, 1_704_161_045_000_000)]
        assert sorted(connection.execute("SELECT tag, source FROM tags")) == [
            ("strasse", "user"),
            ("strasse", "xmp"),
            ("φίλος", "user"),
        ]
        assert dict(connection.execute("SELECT tag_key, tag FROM tag_spellings")) == {
            "strasse": "strasse",
            "φίλοσ": "φίλος",
        }
        assert connection.execute("SELECT is_transient FROM failures").fetchall() == [(1,)]

"""Values that the catalog never wrote are told as damage where the database is damaged, and only there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.errors import GalleryError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.overview import overview
from tests.fakes import ColourEncoder
from tests.page_damage import spoil_the_schema


def give_pages_of(gallery: Gallery, giver: str, taker: str) -> None:
    """As if a disk had put the pages of one table in the place of another's."""
    with closing(sqlite3.connect(gallery.catalog_path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (giver,)).fetchone()
        connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (root, taker))


def test_a_table_with_the_pages_of_another_is_damage(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    give_pages_of(indexed, "images", "exclusions")
    with pytest.raises(GalleryError, match="damaged") as told, indexed.reader() as reader:
        overview(indexed, reader)
    assert told.value.exit_code == 3 and "backup" in told.value.hint
    with pytest.raises(GalleryError, match="damaged"):
        Indexer(indexed, encoder).run(photos)


@pytest.mark.parametrize("fault", [TypeError("x"), ValueError("x"), KeyError("x"), ZeroDivisionError("x")])
def test_a_fault_over_a_sound_catalog_stays_what_it_is(indexed: Gallery, fault: Exception) -> None:
    with pytest.raises(type(fault)) as read, indexed.reader():
        raise fault
    with pytest.raises(type(fault)) as written, indexed.writer():
        raise fault
    assert read.value is fault and written.value is fault


def test_a_schema_that_is_no_text_is_damage(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    spoil_the_schema(indexed.catalog_path)
    with pytest.raises(GalleryError, match="damaged"), indexed.reader():
        pass
    with pytest.raises(GalleryError, match="damaged"):
        Indexer(indexed, encoder).run(photos)
    with pytest.raises(GalleryError, match="damaged"), indexed.writer():
        pass

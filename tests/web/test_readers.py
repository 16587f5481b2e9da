"""The catalog's readers beside the engine."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog.reader import CatalogReader
from retrieval.errors import Busy, GalleryNotFound
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.web.readers import Readers
from retrieval.web.settings import Settings
from tests.fakes import ColourEncoder
from tests.pictures import save_picture


@contextmanager
def readers_of(gallery: Gallery, **settings: Any) -> Iterator[Readers]:
    readers = Readers(gallery, Settings(**settings))
    try:
        yield readers
    finally:
        assert readers.close(600)


def test_two_read_at_once_with_a_reader_each(indexed: Gallery) -> None:
    both = threading.Barrier(2)

    def read(reader: CatalogReader) -> tuple[int, int]:
        both.wait(600)  # would break if they took turns
        return reader.count(), id(reader)

    async def asked(readers: Readers) -> list[tuple[int, int]]:
        return await asyncio.gather(readers.run(read), readers.run(read))

    with readers_of(indexed, reader_threads=2) as readers:
        answers = asyncio.run(asked(readers))
    assert [count for count, _ in answers] == [6, 6]
    assert len({reader for _, reader in answers}) == 2


def test_they_read_while_an_indexer_writes(indexed: Gallery, photos: Path) -> None:
    with readers_of(indexed) as readers:
        with indexed.writer():  # holds the lock
            assert asyncio.run(readers.run(lambda reader: reader.count())) == 6
        save_picture(photos / "new.jpg", "white", seed=99)
        Indexer(indexed, ColourEncoder()).run(photos)
        assert asyncio.run(readers.run(lambda reader: reader.count())) == 7


def test_no_gallery_then_one_then_another(gallery: Gallery, indexed: Gallery, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    indexed.path.rename(moved)
    with readers_of(gallery) as readers:
        with pytest.raises(GalleryNotFound):
            asyncio.run(readers.run(lambda reader: reader.count()))
        shutil.copytree(moved, gallery.path)
        first = asyncio.run(readers.run(lambda reader: reader.last_run()))
        shutil.rmtree(gallery.path)
        with pytest.raises(GalleryNotFound):
            asyncio.run(readers.run(lambda reader: reader.count()))
        moved.rename(gallery.path)
        assert asyncio.run(readers.run(lambda reader: reader.last_run())) == first


def test_an_error_is_the_answer_of_one_question_only(indexed: Gallery) -> None:
    def broken(_reader: CatalogReader) -> None:
        raise KeyError("mine")

    with readers_of(indexed, reader_threads=1) as readers:
        with pytest.raises(KeyError, match="mine"):
            asyncio.run(readers.run(broken))
        assert asyncio.run(readers.run(lambda reader: reader.count())) == 6


def test_one_too_many_is_refused(indexed: Gallery) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(_reader: CatalogReader) -> bool:
        begun.set()
        return go_on.wait(600)

    async def asked(readers: Readers) -> list[Any]:
        running = asyncio.ensure_future(readers.run(hold))
        assert await asyncio.to_thread(begun.wait, 600)  # it waits no more
        waiting = [asyncio.ensure_future(readers.run(lambda reader: reader.count())) for _ in range(3)]
        await asyncio.sleep(0)
        go_on.set()
        return [await running, *await asyncio.gather(*waiting, return_exceptions=True)]

    with readers_of(indexed, reader_threads=1, max_readers_waiting=2) as readers:
        running, first, second, third = asyncio.run(asked(readers))
    assert (running, first, second) == (True, 6, 6)
    assert isinstance(third, Busy)


def test_who_has_left_makes_room(indexed: Gallery) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(_reader: CatalogReader) -> bool:
        begun.set()
        return go_on.wait(600)

    async def asked(readers: Readers) -> int:
        running = asyncio.ensure_future(readers.run(hold))
        assert await asyncio.to_thread(begun.wait, 600)
        leaving = asyncio.ensure_future(readers.run(lambda reader: reader.count()))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        staying = asyncio.ensure_future(readers.run(lambda reader: reader.count()))
        await asyncio.sleep(0)
        go_on.set()
        await running
        return await staying

    with readers_of(indexed, reader_threads=1, max_readers_waiting=1) as readers:
        assert asyncio.run(asked(readers)) == 6

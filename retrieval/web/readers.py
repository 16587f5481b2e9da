"""Threads that read the catalog, for everything that needs only SQL, JSON or the disk."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from retrieval.catalog.reader import CatalogReader
from retrieval.gallery import Gallery
from retrieval.server.job_queue import Job, JobQueue, finish
from retrieval.web.front.metrics import QueueMeter
from retrieval.web.settings import Settings

T = TypeVar("T")


class Readers:
    """A few threads with a :class:`CatalogReader` each, which is reopened if the catalog at its path was replaced.

    Args:
        gallery: with or without a catalog.
        settings: ``reader_threads`` and ``max_readers_waiting``.
    """

    def __init__(self, gallery: Gallery, settings: Settings) -> None:
        self._gallery = gallery
        self._queue = JobQueue(
            "readers", self._work, settings.reader_threads, settings.max_readers_waiting, QueueMeter()
        )
        self._queue.start()

    async def run(self, do: Callable[[CatalogReader], T]) -> T:
        """The result of ``do`` on a reader that is used by nobody else during the call.

        Raises:
            GalleryNotFound: nothing is indexed yet.
            Busy: too many jobs are waiting already.
        """
        result: T = await self._queue.done(Job(do))
        return result

    def close(self, within_s: float = 5.0) -> bool:
        """Let running jobs finish for up to ``within_s``; False if some still run."""
        return self._queue.close(within_s)

    def _work(self) -> None:
        reader = _Following(self._gallery)
        try:
            while (job := self._queue.next()) is not None:
                finish(job, reader.current)
        finally:
            reader.close()


class _Following:
    """One thread's reader of the catalog that is currently at the path."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._reader: CatalogReader | None = None
        self._opened: Hashable | None = None

    def current(self) -> CatalogReader:
        identity = self._gallery.catalog_identity()
        if self._reader is None or identity != self._opened:
            self.close()
            self._reader = self._gallery.open_reader()
            self._opened = identity
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

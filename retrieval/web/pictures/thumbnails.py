"""Thumbnails: from the cache, or made by a few threads, each only once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from retrieval.catalog.faces import Box
from retrieval.catalog.records import ImageRecord
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.gallery import Gallery
from retrieval.rendering.portraits import portrait, portrait_key
from retrieval.rendering.thumbnail_store import ThumbnailStore
from retrieval.rendering.thumbnails import as_webp, look_at, side_of, thumbnail_key
from retrieval.server.job_queue import Job, JobQueue, finish
from retrieval.web.front.metrics import QueueMeter, stage
from retrieval.web.settings import Settings

VIEW = 2048
"""Pixels of the longer side of the replacement for a picture that browsers cannot display."""

_MOST_THREADS = 4  # each may hold a decoded picture
_LARGE_PIXELS = 50_000_000  # such pictures are decoded one at a time: 200 MB and more
_MOST_WAITING = 256


@dataclass
class _UnderWay:
    """A thumbnail that is being made or waiting to be made; and how many requests wait for it."""

    job: Job
    result: asyncio.Future[bytes]
    waiting: int = 0


class Thumbnails:
    """The thumbnails of one gallery.

    Args:
        gallery: where the thumbnails are stored.
        settings: ``thumbnail_bytes``.
    """

    def __init__(self, gallery: Gallery, settings: Settings) -> None:
        self._store = ThumbnailStore(gallery.path, settings.thumbnail_bytes)
        self._under_way: dict[tuple[bytes, int], _UnderWay] = {}  # used on the event loop only
        self._large = threading.Lock()
        threads = max(1, min(_MOST_THREADS, available_cpus()))
        self._queue = JobQueue("thumbnails", self._work, threads, _MOST_WAITING, QueueMeter())
        self._queue.start()

    def find(self, image: ImageRecord, side: int, box: Box | None = None) -> bytes | None:
        """A thumbnail that was made before, as WebP; reads the disk, so do not call it on the event loop.

        Args:
            box: of a face, for its portrait.
        """
        return self._store.find(small_key(image, box), side_of(image, side))

    async def make(self, image: ImageRecord, side: int, box: Box | None = None) -> bytes:
        """A thumbnail as WebP, from the file; simultaneous requests for the same one share it.

        If all clients have disconnected before it was begun, it is not made.

        Args:
            box: of a face, for its portrait.

        Raises:
            FileChanged: the file has changed since it was indexed.
            OSError: there is no file, or it cannot be read.
            UnreadableImage: it can no longer be decoded.
            Busy: too many are waiting already.
        """
        key = small_key(image, box), side_of(image, side)
        making = self._under_way.get(key)
        if making is None:
            making = self._under_way[key] = self._begun(image, key, box)
        making.waiting += 1
        try:
            return await asyncio.shield(making.result)
        finally:
            making.waiting -= 1
            if making.waiting == 0 and making.job.future.cancel():
                self._forget(key, making)

    def close(self) -> None:
        """Make no more thumbnails; one in progress is not waited for."""
        self._queue.close(0)
        self._store.close()

    def _begun(self, image: ImageRecord, key: tuple[bytes, int], box: Box | None) -> _UnderWay:
        job = Job(lambda _: self._made(image, key, box))
        making = _UnderWay(job, asyncio.wrap_future(self._queue.put(job)))
        making.result.add_done_callback(lambda _: self._forget(key, making))
        return making

    def _forget(self, key: tuple[bytes, int], making: _UnderWay) -> None:
        if self._under_way.get(key) is making:
            del self._under_way[key]
        if making.result.done() and not making.result.cancelled():
            making.result.exception()  # there may be no request left to see it, which is not an error

    # On the threads

    def _work(self) -> None:
        while (job := self._queue.next()) is not None:
            finish(job, _nothing)

    def _made(self, image: ImageRecord, key: tuple[bytes, int], box: Box | None) -> bytes:
        known = self._store.find(*key)  # made since the request arrived
        if known is not None:
            return known
        with stage("thumbnail"):
            is_large = image.width * image.height > _LARGE_PIXELS
            with self._large if is_large else nullcontext(), stage("decode"):
                picture = look_at(image, key[1]) if box is None else portrait(image, box, key[1])
            data = as_webp(picture)
            self._store.add(*key, data)
        return data


def small_key(image: ImageRecord, box: Box | None) -> bytes:
    """32 bytes by which a thumbnail is kept, or, with the place of a face in the picture, the portrait of that."""
    return thumbnail_key(image) if box is None else portrait_key(image.content_hash, box)


def _nothing() -> Any:
    return None

"""One run over contents: several processes, results written every few seconds, the gallery locked only meanwhile."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from retrieval.catalog.records import ImageRecord
from retrieval.catalog.transaction import Transaction
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import GalleryLocked
from retrieval.gallery import Gallery

COMMIT_SECONDS = 2.0
"""Time between commits; a killed run loses the results since the last one."""

_MOST_WORKERS = 4
_AT_ONCE = 512
_WAIT_SECONDS = 60.0  # at the end, for another process that is writing to the gallery

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Worker(Protocol[T_co]):
    """Works on one file at a time, for one thread at a time."""

    def read(self, path: str, content_hash: bytes, width: int, height: int) -> T_co | None:
        """The result; None if the file is missing or has changed, or the worker was closed."""

    def close(self) -> None:
        """End :meth:`read` early; may be called by another thread."""

    def end(self) -> None:
        """Close it, and wait until its process has ended."""


class Run(Generic[T]):
    """Work through the contents of a gallery.

    Args:
        make: makes a worker.
        write: writes results, each with its content hash.
        stop: called several times a second; once true, pictures in progress are abandoned, and results are written.
        workers: number of processes; 0: one per core, at most four.
    """

    def __init__(
        self,
        gallery: Gallery,
        make: Callable[[], Worker[T]],
        write: Callable[[Transaction, Sequence[tuple[bytes, T]]], None],
        *,
        stop: Callable[[], bool],
        workers: int = 0,
    ) -> None:
        self._gallery, self._make, self._write_all, self._stop = gallery, make, write, stop
        self._count = workers or min(available_cpus(), _MOST_WORKERS)
        self._pending: list[tuple[bytes, T]] = []

    def each(self, ids: Sequence[int]) -> Iterator[T | None]:
        """The result for each image id, in order of completion, written by the time the iteration ends.

        None stands for files that are missing or have changed.

        Raises:
            GalleryLocked: at the end, another process kept the gallery locked for too long.
        """
        last = time.monotonic()
        with self._gallery.reader() as reader, _Pool(self._make, self._count) as pool:
            for start in range(0, len(ids), _AT_ONCE):
                for content_hash, found in pool.each(reader.records(ids[start : start + _AT_ONCE]), self._stop):
                    if found is not None:
                        self._pending.append((content_hash, found))
                    if time.monotonic() - last >= COMMIT_SECONDS:
                        self.write()
                        last = time.monotonic()
                    yield found
                if self._stop():
                    break
        self.write_last()

    def write(self) -> None:
        """Write the pending results; if another process is writing, keep them for later."""
        if self._pending:
            with suppress(GalleryLocked):
                self._commit()

    def write_last(self) -> None:
        """Write them, waiting for another process that is writing."""
        end = time.monotonic() + (0 if self._stop() else _WAIT_SECONDS)
        self.write()
        while self._pending and time.monotonic() < end and not self._stop():
            time.sleep(0.2)
            self.write()
        if self._pending:
            self._commit()  # raises GalleryLocked, naming the other process

    def _commit(self) -> None:
        with self._gallery.writer(admits_runs=True) as catalog, catalog.transaction() as transaction:
            self._write_all(transaction, self._pending)
        self._pending.clear()


class _Pool(Generic[T]):
    """Workers, each used by one thread at a time."""

    def __init__(self, make: Callable[[], Worker[T]], count: int) -> None:
        self._count = count
        self._workers = [make() for _ in range(count)]
        self._idle: queue.SimpleQueue[Worker[T]] = queue.SimpleQueue()
        for each in self._workers:
            self._idle.put(each)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="photoseek-contents")

    def __enter__(self) -> _Pool[T]:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._workers:
            each.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for each in self._workers:
            each.end()

    def each(self, images: Sequence[ImageRecord], stop: Callable[[], bool]) -> Iterator[tuple[bytes, T | None]]:
        """(content hash, result) of each picture, in order of completion."""
        rest = iter(images)
        running: set[Future[tuple[bytes, T | None]]] = set()
        while True:
            while len(running) < 2 * self._count and (image := next(rest, None)) is not None:
                running.add(self._threads.submit(self._read, image))
            if not running or stop():
                return
            done, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def _read(self, image: ImageRecord) -> tuple[bytes, T | None]:
        worker = self._idle.get()
        try:
            return image.content_hash, worker.read(image.path, image.content_hash, image.width, image.height)
        finally:
            self._idle.put(worker)

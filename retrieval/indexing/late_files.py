"""Files whose decoding may take long: they are read in processes of their own, and others do not wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from retrieval.pictures.decoders import Abandoned, Abandonment, abandonable

SOON_SECONDS = 2.0
"""A file that takes longer is late: its result comes by itself, and the files behind it go on."""

MOST_LATE = 8
"""More late files than this are waited for: each of them holds its bytes in memory."""

_LOOK_SECONDS = 0.25

T = TypeVar("T")


class LateFiles(Generic[T]):
    """Reads files on threads that wait for decoder processes.

    Args:
        workers: how many at a time.

    Attributes:
        abandonment: of everything that is read for this run.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="photoseek-late")
        self.abandonment = Abandonment()
        self._lock = threading.Lock()
        self._late: list[Future[T]] = []

    def read(self, work: Callable[[], T]) -> T | None:
        """The result of ``work``; or None: it is late (see :meth:`finished`), or was given up."""
        try:
            future = self._pool.submit(self._abandonably, work)
        except RuntimeError:
            if self.abandonment.is_set:  # the run is being left
                return None
            raise  # no thread can be started
        patience = SOON_SECONDS
        while not self.abandonment.is_set:
            done, _ = wait([future], timeout=min(patience, _LOOK_SECONDS))
            if done:
                break
            patience -= _LOOK_SECONDS
            if patience <= 0 and self._is_kept(future):
                return None
        return _result(future)

    def finished(self, *, within: float = 0.0) -> list[T]:
        """The results of late files that have come since the last call, waiting for one up to ``within`` seconds."""
        with self._lock:
            late = list(self._late)
        if late and within:
            wait(late, timeout=within, return_when="FIRST_COMPLETED")
        done = [future for future in late if future.done()]
        with self._lock:
            self._late = [future for future in self._late if future not in done]
        results = [_result(future) for future in done]
        return [result for result in results if result is not None]

    @property
    def are_left(self) -> bool:
        """Whether late files have not come yet."""
        return bool(self._late)

    def abandon(self) -> None:
        """Give up all files that are being read, and begin no others."""
        self.abandonment.set()

    def check(self) -> None:
        """Raise Abandoned if the files were given up."""
        if self.abandonment.is_set:
            raise Abandoned

    def close(self) -> None:
        """End the threads; what they were reading is given up."""
        self.abandon()
        self._pool.shutdown(cancel_futures=True)

    def _abandonably(self, work: Callable[[], T]) -> T:
        with abandonable(self.abandonment):
            self.check()
            return work()

    def _is_kept(self, future: Future[T]) -> bool:
        with self._lock:
            if sum(not each.done() for each in self._late) >= MOST_LATE:
                return False
            self._late.append(future)
        return True


def _result(future: Future[T]) -> T | None:
    if future.cancel():
        return None
    try:
        return future.result()
    except Abandoned:
        return None

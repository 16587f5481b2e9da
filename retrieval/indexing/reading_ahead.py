"""Objects of a chunk are fetched at the same time: each takes as long as a store's answer, and needs no core.

Plain files and members of archives are read when it is their turn, as a disk gives them fastest one after the other.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from dataclasses import replace

from retrieval.indexing.candidates import Candidate
from retrieval.paths import is_remote
from retrieval.regular_files import MAX_FILE_BYTES
from retrieval.sources.base import Found
from retrieval.sources.reading import read_from, source_of

AT_ONCE = 16
"""Objects that a worker has fetched or is fetching ..."""

MOST_BYTES = 64 << 20
"""... of this many bytes together; a larger one is fetched when it is its turn."""

_LOOK_SECONDS = 0.2

Read = tuple[bytes, Found]


class Ahead:
    """The objects of one chunk, for the thread that works on it.

    Args:
        check: raises if the chunk was given up.
    """

    def __init__(self, chunk: Sequence[Candidate], check: Callable[[], None]) -> None:
        self._waiting = [each for each in chunk if is_remote(each.folder)]
        self._check = check
        self._begun: dict[str, tuple[Future[Read], int]] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, "photoseek-fetch") if len(self._waiting) > 1 else None
        self._given_up = threading.Event()

    def take(self, candidate: Candidate) -> tuple[bytes, Candidate] | None:
        """As ``candidates.read_candidate``; None if the candidate is not fetched ahead.

        Raises:
            OSError: as ``sources.reading.read_from``.
        """
        if self._pool is None:
            return None
        self._begin()
        future, _ = self._begun.pop(_path(candidate), (None, 0))
        while future is not None:
            try:
                data, (size, mtime_ns, ctime_ns) = future.result(timeout=_LOOK_SECONDS)
                return data, replace(candidate, size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns)
            except NotYet:
                if future.done():
                    raise
                self._check()
        return None

    def close(self) -> None:
        """Give up what was not taken."""
        self._given_up.set()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        while self._waiting and len(self._begun) < AT_ONCE:
            first = self._waiting[0]
            if self._begun and sum(size for _, size in self._begun.values()) + first.size > MOST_BYTES:
                return
            self._waiting.pop(0)
            if self._pool is not None and first.size <= MOST_BYTES:
                self._begun[_path(first)] = self._pool.submit(self._read, _path(first)), first.size

    def _read(self, path: str) -> Read:
        source = source_of(path)
        assert source is not None
        return read_from(source, path, MAX_FILE_BYTES, self._go_on)

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise InterruptedError(0, "given up")
        self._check()


def _path(candidate: Candidate) -> str:
    return os.path.join(candidate.folder, candidate.name)


@contextmanager
def reading_ahead(chunk: Sequence[Candidate], check: Callable[[], None]) -> Iterator[Ahead]:
    """Fetch the objects among a chunk's files before their turn."""
    ahead = Ahead(chunk, check)
    try:
        yield ahead
    finally:
        ahead.close()

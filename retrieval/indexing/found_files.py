"""What a walk learns about a file, and how: one ``stat`` a file, several at the same time where each takes long.

A network share answers one request in 0.2 to 20 ms, a local disk whose entries are in memory in 0.003 ms. On a share,
the time of a run over unchanged files is that of waiting, and a server answers many requests at once.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from retrieval.regular_files import change_time, describe_os_error

BROKEN_LINK = "broken symbolic link"
"""The one ``problem`` that means that a file is gone; with others it may be unchanged."""

AT_ONCE = 32
"""Requests at the same time: with 32 a share at 1 ms gives 25,000 files a second."""

_PROBED = 4
_SLOW_S = 100e-6
"""A ``stat`` that takes longer was not answered from memory. Handing one to a thread takes 15 to 30 us."""


class FoundFile(NamedTuple):
    """A candidate picture: its name inside the folder, size in bytes, and times in nanoseconds.

    ``ctime_ns`` is when anything about the file was last changed, which no program can set; None if the system has
    no such time. ``problem`` is set instead of a size if the entry cannot be examined (a broken link, no
    permission). A tuple, because a frozen dataclass takes three times as long to create, and a walk creates one per
    file.
    """

    name: str
    size: int
    mtime_ns: int
    problem: str | None = None
    ctime_ns: int | None = None


class Looks:
    """Examines the files of one folder after another; a context, which ends its threads."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Looks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def __call__(self, entries: Sequence[os.DirEntry[str]]) -> list[FoundFile | None]:
        """For each entry its size and times; None for sockets, pipes and devices, which are never opened.

        The first few tell whether the others are examined at the same time.
        """
        started = time.perf_counter()
        found = [look_at(entry) for entry in entries[:_PROBED]]
        rest = entries[_PROBED:]
        if not rest or time.perf_counter() - started < _PROBED * _SLOW_S:
            return found + [look_at(entry) for entry in rest]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stat")
        return found + list(self._threads.map(look_at, rest))


class Glances:
    """The entries without sizes and times, which saves the ``stat``; in the place of :class:`Looks`."""

    def __enter__(self) -> Glances:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, entries: Sequence[os.DirEntry[str]]) -> list[FoundFile | None]:
        """For each entry its name; None for sockets, pipes and devices."""
        return [
            FoundFile(entry.name, -1, -1) if entry.is_symlink() or entry.is_file(follow_symlinks=False) else None
            for entry in entries
        ]


def look_at(entry: os.DirEntry[str]) -> FoundFile | None:
    """The entry with its size and time; None for sockets, pipes and devices, and if it was deleted meanwhile."""
    try:
        found = entry.stat()
    except FileNotFoundError:
        # A dangling link is reported; a file deleted between listing and stat is simply gone.
        return FoundFile(entry.name, -1, -1, BROKEN_LINK) if entry.is_symlink() else None
    except OSError as error:
        return FoundFile(entry.name, -1, -1, describe_os_error(error))
    if not stat.S_ISREG(found.st_mode):
        return None
    return FoundFile(entry.name, found.st_size, found.st_mtime_ns, None, change_time(found))

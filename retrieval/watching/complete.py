"""Whether a file is complete: not while it is being written, and not under a temporary name."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from retrieval.indexing.candidates import Candidate

SETTLED_S = 0.5
"""A file that has not changed for this long counts as complete ..."""

WRITTEN_S = 30.0
"""... or for this long, if a process has it open for writing: an editor may keep it open for hours."""

MOST_WATCHED = 20_000
"""Incomplete files that are remembered; if there are more, the oldest are forgotten and wait again."""

_TEMPORARY = re.compile(
    r"""
    .*\.(part|partial|crdownload|download|opdownload|tmp|temp|filepart|aria2|!ut|!qb|bts|swp|swx|lock|upload|ocTransferId\d+.*)
    | .*~                                # backups of editors
    | \.~.* | ~\$.* | \#.*\#             # office programs, emacs
    | ~syncthing~.* | \.syncthing\..*
    | \..+\.[A-Za-z0-9]{6}               # rsync
    | \..+\.~[0-9a-f]+                   # Nextcloud
    | \.goutputstream-.* | \.fuse_hidden.* | \.nfs[0-9a-f]+ | \.com\.google\.Chrome\..* | \.org\.chromium\.Chromium\..*
    | .*_exiftool_tmp | sed[A-Za-z0-9]{6}
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Names of incomplete files: these are renamed when they are complete, which is an event of its own."""


def is_temporary(name: str) -> bool:
    """True for a file name that programs use until a file is complete."""
    return _TEMPORARY.fullmatch(name) is not None


class Completeness:
    """Remembers files that are not complete yet.

    A file is complete when its size and times have not changed for ``SETTLED_S``, either as observed or by the time
    at which it was written (if the clock of a share is ahead, only observation counts), and no process has it open for
    writing, as far as the system can tell. A rename writes nothing: a moved file is complete at once.

    Args:
        clock: monotonic, in seconds.
        now_ns: the time of day, in ns.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock, self._now_ns = clock, now_ns
        self._seen: OrderedDict[str, tuple[tuple[int, int, int | None], float]] = OrderedDict()
        self.held: set[str] = set()
        """Folders with incomplete files found since :meth:`begin`."""
        self.held_files = 0

    def begin(self) -> None:
        """Before a run: forget the waiting files and their folders."""
        self.held, self.held_files = set(), 0

    def is_held(self, candidate: Candidate) -> bool:
        """True if a file has to be checked again later; its folder is added to ``held``."""
        path = os.path.join(candidate.folder, candidate.name)
        is_complete = not is_temporary(candidate.name) and self._is_complete(path, candidate)
        if is_complete:
            self._seen.pop(path, None)
            return False
        self.held.add(candidate.folder)
        self.held_files += 1
        return True

    def _is_complete(self, path: str, candidate: Candidate) -> bool:
        state = (candidate.size, candidate.mtime_ns, candidate.ctime_ns)
        now = self._clock()
        known = self._seen.get(path)
        if known is None or known[0] != state:
            known = (state, now)
            self._seen[path] = known
            if len(self._seen) > MOST_WATCHED:
                self._seen.popitem(last=False)
        age = now - known[1]
        since = (self._now_ns() - candidate.mtime_ns) / 1e9
        if age < SETTLED_S and not since >= SETTLED_S:
            return False
        return max(age, since) >= WRITTEN_S or not is_written(path)


def expect_leases() -> None:
    """A process that calls :func:`is_written` must call this once before."""
    if hasattr(signal, "SIGIO"):
        signal.signal(signal.SIGIO, signal.SIG_IGN)


def is_written(path: str) -> bool:
    """True if a process of this machine has the file open for writing; False also if the system cannot tell.

    Linux grants a read lease (fcntl(2), F_SETLEASE) only on files that no process has open for writing. It is released
    at once; a process that opens the file in between waits for that, and we get a SIGIO, which has to be ignored.
    """
    try:
        import fcntl

        lease, read, unlock = fcntl.F_SETLEASE, fcntl.F_RDLCK, fcntl.F_UNLCK
    except (ImportError, AttributeError):
        return False
    if signal.getsignal(signal.SIGIO) is not signal.SIG_IGN:
        return False  # the process does not ignore SIGIO, which would end it
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.fcntl(number, lease, read)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        with suppress(OSError):
            fcntl.fcntl(number, lease, unlock)
        return False
    finally:
        os.close(number)

"""Threads that cannot begin for want of memory are an error, not a wait without end.

``threading.Thread.start`` waits until the new thread says that it runs. One that finds no memory for its first step
ends before it can say so, and the start would wait for ever (https://github.com/python/cpython/issues/140746): without
memory, every command that uses threads would hang.
"""

from __future__ import annotations

import threading
from typing import Any

WITHIN_S = 5.0
"""A thread says that it runs within microseconds; within seconds where a hundred others want the same core."""

_TIMES = 2
"""The first wait may end because this process was stopped for a while, and not because the thread is dead."""

_start = threading.Thread.start


def starts_that_end() -> None:
    """From now on, :meth:`threading.Thread.start` raises RuntimeError if the thread does not begin, in this process."""
    threading.Thread.start = _bounded  # type: ignore[method-assign]


def _bounded(self: threading.Thread) -> None:
    begun: Any = getattr(self, "_started", None)
    if begun is None or begun.is_set():  # another implementation of threads, or a mistake, which it reports
        _start(self)
        return
    wait = begun.wait

    def patiently(timeout: float | None = None) -> bool:
        if timeout is None and not any(wait(WITHIN_S) for _ in range(_TIMES)):
            getattr(threading, "_limbo", {}).pop(self, None)
            raise RuntimeError("can't start new thread")
        return bool(wait(timeout))

    begun.wait = patiently
    try:
        _start(self)
    finally:
        del begun.wait

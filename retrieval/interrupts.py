"""Ctrl-C: exit at once before work has begun; afterwards finish the work in progress, then stop.

Little is imported here: until :func:`leave_on_interrupt` is called, Python prints a traceback on an interrupt.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from types import FrameType

INTERRUPTED = 130
"""The exit code."""


def leave_on_interrupt() -> None:
    """Make Ctrl-C end this process at once, while there is nothing to clean up. Still ignored if it was ignored at the
    start, as in background jobs of scripts."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


class stop_on_interrupt:  # noqa: N801 - used like a function
    """A context in which SIGINT and SIGTERM are requests; its value is a function that returns whether one came.

    A second signal raises KeyboardInterrupt.

    Args:
        on_first: called at the first signal, to inform the user. Runs in a separate thread: a signal may arrive
            at any point, even during a write to stderr, which is not re-entrant.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        self._heard = False

    def __enter__(self) -> Callable[[], bool]:
        import threading

        self._reader, self._writer = os.pipe()
        self._thread: threading.Thread = threading.Thread(target=self._remark, name="interrupt", daemon=True)
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        self._thread.start()
        return lambda: self._heard

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._writer)
        self._thread.join()
        os.close(self._reader)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._heard:
            raise KeyboardInterrupt
        self._heard = True
        os.write(self._writer, b"!")

    def _remark(self) -> None:
        if os.read(self._reader, 1):
            self._on_first()

"""Signals that end a program: Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which comes when the terminal is closed.

Before work has begun they end it at once. Afterwards they are requests: the work in progress is finished or undone,
within :data:`WITHIN_S`. The exit code is 128 and the number of the signal, as a shell reports it. A signal that was
ignored at the start, as in background jobs of scripts and under ``nohup``, stays ignored.

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

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals; Windows has no SIGHUP."""

EXIT_CODES = frozenset(128 + number for number in ENDING)

WITHIN_S = 5.0
"""So many seconds after the first signal a program ends in any case. What was committed is kept, as after a crash."""

_REMARKS = {
    signal.SIGINT: "stopped by Ctrl-C",
    signal.SIGTERM: "stopped by SIGTERM",
    getattr(signal, "SIGHUP", 0): "stopped, because the terminal was closed (SIGHUP)",
}

_heard: int = 0


class Stopped(BaseException):
    """A KeyboardInterrupt on its way through a library that would handle it in its own way."""


def exit_code() -> int:
    """Of a program that was stopped by the signal that came last; without one, as after Ctrl-C."""
    return 128 + (_heard or signal.SIGINT)


def remark() -> str:
    """One line about the signal that came last."""
    return f"{_REMARKS[_heard or signal.SIGINT]}; finished work is kept"


def was_heard() -> bool:
    """Whether one of the signals has come."""
    return bool(_heard)


def leave_on_interrupt() -> None:
    """Make the signals end this process at once, while there is nothing to clean up."""
    _handle_all(_leave)


def raise_on_interrupt() -> None:
    """Make the signals raise KeyboardInterrupt, and end the process if that does not end it in time."""
    _handle_all(_raise)
    _deadline.begin()


def goes_on() -> bool:
    """Whether a program at a terminal goes on after a KeyboardInterrupt: Ctrl-C ends only what it was just asked."""
    global _heard
    if _heard not in (0, signal.SIGINT):
        return False
    if _heard:
        _heard = 0
        _deadline.lift()
    return True


def _handle_all(handler: Callable[[int, FrameType | None], None]) -> dict[int, object]:
    """Set the handler of each signal that is not ignored; returns the handlers before."""
    numbers = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def _raise(number: int, _frame: FrameType | None) -> None:
    global _heard
    _heard = number
    raise KeyboardInterrupt


class _Deadline:
    """Ends the process some time after a signal, also if its main thread is in a library that does not return.

    Python runs a handler only when the library has returned, but writes the number of the signal to a descriptor at
    once (``signal.set_wakeup_fd``), which a thread reads.
    """

    def __init__(self) -> None:
        self._descriptors: tuple[int, int] | None = None
        self._lifted: threading.Event | None = None
        self.is_lasting = True

    def begin(self) -> None:
        """From now on, in this process; may be called again after something else has used that descriptor."""
        import threading

        if os.name != "posix":
            return
        if self._descriptors is None:
            self._descriptors = os.pipe()
            os.set_blocking(self._descriptors[1], False)
            self._lifted = threading.Event()
            threading.Thread(target=self._wait, name="deadline", daemon=True).start()
        signal.set_wakeup_fd(self._descriptors[1], warn_on_full_buffer=False)

    def lift(self) -> None:
        """Forget the signal that came."""
        if self._lifted is not None:
            self._lifted.set()

    def _wait(self) -> None:
        from contextlib import suppress

        assert self._descriptors is not None and self._lifted is not None
        while numbers := os.read(self._descriptors[0], 1):
            if numbers[0] not in ENDING or not self.is_lasting:
                continue
            if not self._lifted.wait(WITHIN_S):
                global _heard
                _heard = numbers[0]
                with suppress(OSError):  # the terminal may be gone
                    os.write(2, f"photoseek: {remark()}\n".encode())
                os._exit(exit_code())
            self._lifted.clear()


_deadline = _Deadline()


class own_time:  # noqa: N801 - used like a function
    """A context in which a program may take longer to end than :data:`WITHIN_S`: it has a limit of its own, or its
    result would be lost."""

    def __enter__(self) -> None:
        _deadline.is_lasting = False

    def __exit__(self, *_: object) -> None:
        _deadline.is_lasting = True


class stop_on_interrupt:  # noqa: N801 - used like a function
    """A context in which the signals are requests; its value is a function that returns whether one came.

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
        self._before = _handle_all(self._handle)
        self._thread.start()
        return lambda: self._heard

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._writer)
        self._thread.join()
        os.close(self._reader)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        global _heard
        _heard = number
        if self._heard:
            raise KeyboardInterrupt
        self._heard = True
        os.write(self._writer, b"!")

    def _remark(self) -> None:
        if os.read(self._reader, 1):
            self._on_first()

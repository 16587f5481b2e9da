"""Ctrl-C as a request: finish what is in flight, then stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_interrupt(on_first: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """A function that tells whether SIGINT or SIGTERM came. A second one interrupts at once.

    Args:
        on_first: called when the first signal comes, to tell the person that it was heard. By a thread of its own:
            a signal comes in the middle of anything, also of a write to stderr, which cannot be entered twice.
    """
    heard = False
    reader, writer = os.pipe()

    def remark() -> None:
        if os.read(reader, 1):
            on_first()

    thread = threading.Thread(target=remark, name="interrupt", daemon=True)

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if heard:
            raise KeyboardInterrupt
        heard = True
        os.write(writer, b"!")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        thread.start()
        yield lambda: heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join()
        os.close(reader)

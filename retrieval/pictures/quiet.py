"""Suppress the decoders' messages: warnings in the thread that reads a picture, and output of their C code.

Pillow warns about damaged EXIF, odd palettes and large pictures through :mod:`warnings`, which are noise to
the owner of the photo and, under ``-W error``, exceptions in the middle of a decoder.
``warnings.catch_warnings`` swaps process-wide lists, so two threads that use it undo each other. Instead, one
filter is installed whose category only matches while the calling thread is inside :func:`quietly`.

C libraries (especially libtiff) write directly to descriptor 2. In our programs, Python's stderr uses another
descriptor (``streams.own_streams``), and descriptor 2 is redirected to memory while a picture is read.
Which of several threads caused a line is unknown, so lines are counted, and the first one is kept.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from retrieval.streams import STDERR, is_stderr_apart

_FIRST_LINE = 200
"""How many bytes of the first line are kept."""

_HELD = 1 << 16
"""Above this many bytes, the output is counted and discarded even while other pictures are being read."""


class _Here(threading.local):
    depth = 0


_here = _Here()
_installing = threading.Lock()


class _MatchesHere(type):
    def __subclasscheck__(cls, subclass: type) -> bool:
        return _here.depth > 0


class _DecoderWarning(Warning, metaclass=_MatchesHere):
    """Every warning category counts as a subclass of this one while the thread is quiet."""


def _not_here(record: logging.LogRecord) -> bool:
    return _here.depth == 0


# It logs an error before raising it; without a handler, Python prints that on stderr.
logging.getLogger("PIL.TiffImagePlugin").addFilter(_not_here)


class NativeMessages(NamedTuple):
    """What the decoders' C code wrote to descriptor 2: the number of lines, and the first one."""

    lines: int
    first: str


class _Native:
    """Redirects descriptor 2 while at least one picture is being read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._aside = self._kept = -1
        self._lines, self._first = 0, b""

    def enter(self) -> None:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                with suppress(OSError):  # no free descriptor: then output goes to stderr as usual
                    if self._aside < 0:
                        self._aside = _file_in_memory()
                    self._kept = os.dup(STDERR)
                    os.dup2(self._aside, STDERR, inheritable=True)

    def leave(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0 and self._kept >= 0:
                os.dup2(self._kept, STDERR, inheritable=True)
                os.close(self._kept)
                self._kept = -1
                self._count()
            elif self._aside >= 0 and os.fstat(self._aside).st_size > _HELD:
                self._count()

    def _count(self) -> None:
        size = os.fstat(self._aside).st_size
        if not size:
            return
        at = 0
        while block := os.pread(self._aside, _HELD, at):
            if not self._first:
                self._first = block.strip().partition(b"\n")[0][:_FIRST_LINE]
            self._lines += block.count(b"\n")
            at += len(block)
        os.ftruncate(self._aside, 0)  # opened for appending, so the next output starts at 0

    def taken(self) -> NativeMessages:
        with self._lock:
            found = NativeMessages(self._lines, self._first.decode("utf-8", "replace"))
            self._lines, self._first = 0, b""
        return found


def _file_in_memory() -> int:
    import fcntl  # missing on Windows, where nothing is redirected

    if hasattr(os, "memfd_create"):
        number = os.memfd_create("decoders")
    else:
        with tempfile.TemporaryFile() as file:
            number = os.dup(file.fileno())
    fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
    return number


_native = _Native()


def native_messages() -> NativeMessages:
    """What the decoders' C code wrote since the last call, in all threads."""
    return _native.taken()


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress the warnings of this thread inside the block, and capture what C code writes to stderr."""
    # Code that has changed the filters since (a test runner, for example) put its filters before ours.
    if not warnings.filters or warnings.filters[0][2] is not _DecoderWarning:
        with _installing:
            warnings.simplefilter("ignore", category=_DecoderWarning)
    is_led_aside = _here.depth == 0 and is_stderr_apart()
    if is_led_aside:
        _native.enter()
    _here.depth += 1
    try:
        yield
    finally:
        _here.depth -= 1
        if is_led_aside:
            _native.leave()

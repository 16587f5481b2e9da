"""Standard output and standard error of our programs, and text that is safe for terminals.

The reader of standard output may close it (``| head``): that is no error, and ends a command quietly. If standard error
cannot be written to, the output is dropped: a message that nobody can read must not end the work that it is about.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

STDERR = 2
"""The descriptor."""


class ReaderLeft(Exception):
    """The reader of our output has closed it. Not an OSError, so that nobody handles it as an error of their own."""


class _Output(io.FileIO):
    """Standard output that distinguishes a closed pipe from a failing disk."""

    goes_on = False

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]  # any buffer
        except BrokenPipeError:
            if not self.goes_on:
                raise ReaderLeft from None
            return memoryview(data).nbytes  # type: ignore[arg-type]


class _Remarks(io.FileIO):
    """Standard error that accepts everything, even if it cannot be written."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def own_streams() -> None:
    """Replace this process's standard streams by ours. Streams that were closed at the start go to the null device.

    On Windows, consoles have special streams and pipes have no such signal, so the streams are not replaced.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):  # the lowest free descriptor is the one that was closed
                nowhere = os.open(os.devnull, os.O_RDWR)
                setattr(sys, name, open(nowhere, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    if os.name == "posix":
        sys.stdout = _again(sys.stdout, _Output)
        sys.stderr = _again(sys.stderr, _Remarks, apart=True)


_is_stderr_apart = False


def is_stderr_apart() -> bool:
    """True if Python's stderr has a separate descriptor, so that descriptor 2 is only used by C libraries."""
    return _is_stderr_apart


def _again(stream: IO[str], kind: type[io.FileIO], *, apart: bool = False) -> IO[str]:
    """The same file with another kind of raw stream.

    Args:
        apart: with a separate descriptor.
    """
    global _is_stderr_apart
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        raw = kind(os.dup(stream.fileno()) if apart else stream.fileno(), "wb", closefd=False)
    except (OSError, ValueError):
        return stream
    _is_stderr_apart = _is_stderr_apart or (apart and stream.fileno() == STDERR)
    stream.flush()
    size = io.DEFAULT_BUFFER_SIZE
    return io.TextIOWrapper(
        io.BufferedWriter(raw, size), stream.encoding, stream.errors, line_buffering=stream.line_buffering
    )


@contextmanager
def work_goes_on(out: IO[str]) -> Iterator[None]:
    """Around work that also prints: when the reader of ``out`` closes it, the work is finished silently."""
    raw = getattr(getattr(out, "buffer", None), "raw", None)
    if not isinstance(raw, _Output):
        yield
        return
    raw.goes_on = True
    try:
        yield
        out.flush()
    finally:
        raw.goes_on = False


def discard(stream: IO[str]) -> None:
    """Redirect pending output to the null device, so that the exit of the process does not try to write it again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


_HARMLESS = frozenset("\u00a0\u1680\u202f\u205f\u3000\u200c\u200d" + "".join(map(chr, range(0x2000, 0x200B))))
"""Spaces of other widths and joiners: not "printable" for Python, but used in file names."""


def printable(text: str) -> str:
    """Text on one line, without characters that would control a terminal or change the direction of writing."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _HARMLESS else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """The same for text with several lines."""
    return "\n".join(map(printable, text.split("\n")))


def plural(count: int, one: str, many: str = "") -> str:
    """``1 picture``, ``2,000 pictures``: a number and a noun, or another phrase that depends on it.

    Args:
        many: the plural; default: ``one`` and an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"

"""Pictures named by another command: ``photoseek search dog --paths | photoseek label - --tag dog``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import IO

from retrieval.errors import QueryError

_MOST_BYTES = 256 << 20


def named_in(arguments: Sequence[str]) -> list[str]:
    """The pictures that arguments name; ``-`` is replaced by those on standard input."""
    return [path for each in arguments for path in (paths_in(sys.stdin) if each == "-" else [each])]


def paths_in(source: IO[str]) -> list[str]:
    """Paths from a stream, as bytes: one per line, or separated by NULs, as ``--paths`` and ``-0`` print them.

    Raises:
        QueryError: there are none, the stream is a terminal, or there are too many.
    """
    if source.isatty():
        raise QueryError(
            "- reads paths from standard input, which is a terminal", "pipe some: photoseek search ... --paths |"
        )
    raw = source.buffer.read(_MOST_BYTES + 1) if hasattr(source, "buffer") else os.fsencode(source.read())
    if len(raw) > _MOST_BYTES:
        raise QueryError(f"more than {_MOST_BYTES >> 20} MiB of paths on standard input", "name a folder instead")
    found = [os.fsdecode(line) for line in raw.split(b"\0" if b"\0" in raw else b"\n") if line.strip()]
    if not found:
        raise QueryError("standard input names no picture", "pipe some: photoseek search ... --paths |")
    return found

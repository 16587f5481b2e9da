"""Reads the file of any path of a catalog: a plain one, or one of a source."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import BinaryIO

from retrieval.paths import is_remote
from retrieval.regular_files import change_time, open_regular, read_regular
from retrieval.regular_files import is_gone as is_plain_gone
from retrieval.sources.base import Found, Source
from retrieval.sources.places import archive_of

_PIECE = 16 << 20


def _nothing() -> None:
    pass


def source_of(path: str) -> Source | None:
    """The source that a path belongs to; None for a plain file, whether it exists or not."""
    if is_remote(path):
        from retrieval.sources.stores import STORES

        return STORES
    if archive_of(path) is None:
        return None
    from retrieval.sources.archives import ARCHIVES

    return ARCHIVES


def open_anywhere(path: str) -> BinaryIO:
    """The file, open for reading.

    Raises:
        OSError: see ``regular_files.open_regular`` and ``Source.open``.
    """
    source = source_of(path)
    return open_regular(path) if source is None else source.open(path).file


def read_anywhere(path: str, most: int) -> bytes:
    """The bytes of a file of at most ``most`` bytes.

    Raises:
        OSError: it cannot be read, is too large (EFBIG), or changed meanwhile.
    """
    source = source_of(path)
    return read_regular(path, most) if source is None else read_from(source, path, most)[0]


def read_from(source: Source, path: str, most: int, between: Callable[[], None] = _nothing) -> tuple[bytes, Found]:
    """The bytes of a file of a source, and what is known of exactly these bytes.

    Args:
        most: maximal size in bytes.
        between: called between the pieces of a large file; may raise.

    Raises:
        OSError: likewise.
    """
    opened = source.open(path, between)
    with opened.file as file:
        size = opened.found.size
        if size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB", path)
        pieces = []
        while size > 0 and (piece := file.read(min(_PIECE, size))):
            size -= len(piece)
            pieces.append(piece)
            between()
        if size or not opened.is_still():
            raise InterruptedError(0, "changed while it was read")
    return b"".join(pieces), opened.found


def look_at(path: str) -> Found:
    """Size and times of a file.

    Raises:
        OSError: it is missing, or cannot be examined.
    """
    source = source_of(path)
    if source is None:
        found = os.stat(path)
        return Found(found.st_size, found.st_mtime_ns, change_time(found))
    return source.look(path)


def is_gone(path: str) -> bool:
    """True only if it is certain that there is no such file."""
    source = source_of(path)
    return is_plain_gone(path) if source is None else source.is_gone(path)


def why_not_written(path: str) -> str | None:
    """Why photoseek never moves, deletes, links or writes to this file; None: it is a plain one."""
    if is_remote(path):
        return "it is in an object store, which photoseek only reads"
    return None if source_of(path) is None else "it is a member of an archive, which photoseek only reads"

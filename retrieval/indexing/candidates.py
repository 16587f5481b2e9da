"""Files that a run reads: as the walk saw them, and their bytes with the size and time that belong to those bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from retrieval.errors import UnreadableImage
from retrieval.pictures.formats import is_video_name, sniff
from retrieval.regular_files import MAX_FILE_BYTES, change_time, digest_of, open_regular
from retrieval.sources.reading import open_anywhere, read_from, source_of

SNIFFED_BYTES = 512
"""Bytes that suffice to recognise every format."""

PATIENCE_SECONDS = 1.0
"""A chunk that is not full after this time is processed as it is: finished work must not wait for a slow walk."""

_PIECE = 16 << 20


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A new or changed file, as the walk saw it."""

    folder_id: int
    folder: str
    name: str
    size: int
    mtime_ns: int
    ctime_ns: int | None = None


def in_chunks(candidates: Iterable[Candidate | None], size: int) -> Iterator[list[Candidate]]:
    """Full chunks of ``size``; at a None, a video or after a time-out a partial chunk, which may be empty."""
    chunk: list[Candidate] = []
    oldest = 0.0
    for candidate in candidates:
        now = time.perf_counter()
        if candidate is not None:
            oldest = oldest if chunk else now
            chunk.append(candidate)
        is_long = candidate is not None and is_video_name(candidate.name)  # it has as many frames as a chunk has files
        if candidate is None or is_long or len(chunk) == size or now - oldest > PATIENCE_SECONDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def is_video(candidate: Candidate) -> bool:
    """Whether the name is a video's, and the first bytes are not a picture's.

    Raises:
        OSError: it cannot be read.
    """
    if not is_video_name(candidate.name):
        return False
    with open_anywhere(os.path.join(candidate.folder, candidate.name)) as file:
        head = file.read(SNIFFED_BYTES)
    try:
        sniff(head)
    except UnreadableImage:
        return True
    return False


def read_candidate(candidate: Candidate, between: Callable[[], None] = _nothing) -> tuple[bytes, Candidate]:
    """The whole file, and the candidate with the size and time that belong to these bytes.

    Args:
        between: called between the pieces of a large file; may raise.
    """
    path = os.path.join(candidate.folder, candidate.name)
    if (source := source_of(path)) is not None:
        if candidate.size > MAX_FILE_BYTES:
            raise _too_large(candidate.size)
        data, of_these = read_from(source, path, MAX_FILE_BYTES, between)
        size, mtime_ns, ctime_ns = of_these
        return data, replace(candidate, size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns)
    with open_regular(path) as file:
        found = os.fstat(file.fileno())
        if found.st_size > MAX_FILE_BYTES:
            raise _too_large(found.st_size)
        data = file.read() if found.st_size <= _PIECE else b"".join(_pieces(file, between))
        after = os.fstat(file.fileno())
    if len(data) != found.st_size or after.st_mtime_ns != found.st_mtime_ns:
        raise InterruptedError(0, "changed while it was read")
    return data, _as_found(candidate, found)


def hash_candidate(candidate: Candidate, between: Callable[[], None] = _nothing) -> tuple[bytes, Candidate]:
    """The hash of a file that is not held in memory, and the candidate as in :func:`read_candidate`."""
    with open_regular(os.path.join(candidate.folder, candidate.name)) as file:
        found = os.fstat(file.fileno())
        digest = digest_of(file, between)
        after = os.fstat(file.fileno())
    if after.st_size != found.st_size or after.st_mtime_ns != found.st_mtime_ns:
        raise InterruptedError(0, "changed while it was read")
    if not found.st_size:
        raise UnreadableImage("empty file")
    return digest, _as_found(candidate, found)


def _too_large(size: int) -> UnreadableImage:
    return UnreadableImage(f"file of {size >> 20} MiB, limit is {MAX_FILE_BYTES >> 20} MiB")


def _pieces(file: BinaryIO, between: Callable[[], None]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        between()
        yield piece


def _as_found(candidate: Candidate, found: os.stat_result) -> Candidate:
    return replace(candidate, size=found.st_size, mtime_ns=found.st_mtime_ns, ctime_ns=change_time(found))

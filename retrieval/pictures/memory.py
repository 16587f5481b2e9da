"""A limit on the memory used by all pictures being decoded at the same time, for any number of threads.

The memory for a picture is estimated from its header before it is decoded: a WebP file of 40 bytes may take 4 GB. A
picture waits until there is room; one that needs more than the limit by itself is refused, and tried
again in the next run, when there may be more memory.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from retrieval.errors import UnreadableImage
from retrieval.free_memory import NO_MEMORY, free_bytes

SHARE = 0.8
"""Of the memory that is free; the rest is for files and other programs."""

SMALL = 32 << 20
"""Smaller needs are not counted: a thread holds one such picture at a time."""

_LEAST = 256 << 20
"""The limit is never lower: a photo of 12 megapixels must be readable on any machine."""

# Bytes per pixel, measured as the growth of the process while reading single-coloured pictures of 48 megapixels.
_BY_DECODER = {"WEBP": 12, "JPEG2000": 16, "AVIF": 6, "HEIF": 4, "JXL": 4, "PSD": 8}  # in addition to the result
_BY_SAMPLES = 20
"""A TIFF that is read sample by sample, rotated and converted: 18 at 16 bits."""
_BY_COEFFICIENTS = 6
"""All coefficients of a JPEG without chroma subsampling; 3 at 4:2:0."""
_BY_MODE = {"1": 1, "L": 1, "P": 1, "LA": 4, "I;16": 2, "I;16B": 2}  # in Pillow's memory; 4 for all others
_PLAIN = ("L", "RGB", "YCbCr")
_CONVERTED = 8
"""Two more copies of a picture with a palette, transparency, other colours or deeper samples."""


TURNED_BY_DECODER = frozenset({"TIFF", "HEIF", "JXL"})
"""Returned upright, regardless of the EXIF tag."""

_EXIF_MARKS = (b"Exif", b"eXIf", b"exif", b"EXIF")  # in JPEG, in PNG, in PNG's texts, in WebP


def needed(
    name: str, width: int, height: int, mode: str, data: bytes = b"", *, scale: int = 1, is_buffered: bool = False
) -> int:
    """Maximal number of bytes for decoding, rotating and converting a picture, without its file.

    Args:
        name: the format.
        width, height: as stored, pixels.
        mode: Pillow's, of the decoded picture; ``samples`` for a TIFF that is read sample by sample.
        data: the file; if it contains EXIF, the picture may have to be rotated, which takes another copy.
        scale: the divisor of a JPEG's sides during decoding.
        is_buffered: a JPEG whose coefficients are all kept in memory, for any scale.
    """
    pixels = width * height
    if mode == "samples":
        return _BY_SAMPLES * pixels
    copy = _BY_MODE.get(mode, 4)
    each = copy + (0 if mode in _PLAIN else _CONVERTED) + _BY_DECODER.get(name, 0)
    decoded = pixels // scale**2
    need = each * decoded + decoded // 4 + (_BY_COEFFICIENTS * pixels if is_buffered else 0)
    # The file is searched only if the answer matters.
    if need + copy * decoded >= SMALL and name not in TURNED_BY_DECODER and any(mark in data for mark in _EXIF_MARKS):
        need += copy * decoded
    return need


class Budget:
    """Bytes that any threads may use at the same time, granted in order of arrival.

    Args:
        limit: bytes; None for a share of the memory that is free, measured whenever no picture holds any of it.
        share: that share.
    """

    def __init__(self, limit: int | None = None, *, share: float = SHARE) -> None:
        self._fixed, self._limit, self._share = limit, limit or 0, share
        self._taken = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Reserve ``count`` bytes, as soon as there is room for them. A thread may hold one reservation at a time.

        Raises:
            UnreadableImage: more than the limit.
        """
        if count < SMALL:
            yield
            return
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._has_room(count))
                self._taken += self._checked(count)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= count
                self._changed.notify_all()

    def _has_room(self, count: int) -> bool:
        """Whether a request is decided now: there is room for it, or it is the only one, and is granted or refused."""
        return self._taken == 0 or self._taken + count <= self._limit

    def _checked(self, count: int) -> int:
        if self._taken == 0 and self._fixed is None:
            free = free_bytes()
            self._limit = max(int(self._share * free), _LEAST) if free is not None else 1 << 40
        if count > self._limit:
            need, most = count / (1 << 30), self._limit / (1 << 30)
            raise UnreadableImage(
                f"{NO_MEMORY}: decoding takes up to {need:.1f} GiB",
                f"{most:.1f} GiB may be used: close other programs, or make the picture smaller",
            )
        return count


shared = Budget()
"""Of this process."""


def share_machine(count: int) -> None:
    """So many processes like this one read pictures on this machine: each takes its part of the memory."""
    global shared
    shared = Budget(share=SHARE / count)


class Room:
    """The memory held for one picture; a context.

    Args:
        budget: where it is taken from.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = ExitStack()

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def take(self, count: int) -> None:
        """Hold ``count`` bytes from now on, in place of what is held.

        Raises:
            UnreadableImage: more than the limit.
        """
        self._held.close()
        self._held.enter_context(self._budget.taken(count))

"""How much of a truncated file can be read, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL import _imaging as _core
from PIL.ImageFile import ImageFile

from retrieval.errors import UnreadableImage

ENOUGH = 0.95
"""A picture is accepted from this fraction of its pixels on; what is missing is grey or repeats what was before."""

SALVAGED = frozenset({"JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF"})
"""Formats that can be decoded partially; the others only completely."""

_END = b"\xff\xd9"
_MARKERS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xD8))
_GREYS = (128, 127)
_BLOCK = 16  # rows; fewer in a reduced decoding

Open = Callable[[bytes], ImageFile]
"""Opens a file's bytes, with the same reduction as the file itself."""


def check_share(share: float) -> None:
    """Raise UnreadableImage if too little of a picture could be read."""
    if share < ENOUGH:
        raise UnreadableImage(f"truncated, {int(share * 100)} % readable", "copy the file again")


def read_what_is_there(data: bytes, image_format: str, open_: Open) -> ImageFile:
    """The picture of a truncated file, if nearly all of it is present.

    Raises:
        UnreadableImage: too much is missing; the reason states how much is readable.
        Exception: whatever the decoder raises if nothing can be decoded.
    """
    image, share = (_jpeg if image_format == "JPEG" else _by_rows)(data, open_)
    check_share(share)
    return image


def _jpeg(data: bytes, open_: Open) -> tuple[ImageFile, float]:
    """Decoded twice, with two different endings: what is equal in both does not depend on what is missing.

    libjpeg continues with zeros after the end of the data, and does not report where that was.
    """
    whole, known, going_on = _scans(data)
    image, other = (_loaded(open_(whole + filler + _END)) for filler in (b"", b"\x55\xaa\x33" * 4096))
    same = _same(image, other)
    differing = ~same.all(axis=1)
    share = 1.0
    if differing.any():
        # After the row of blocks where they begin to differ, both may happen to have the same grey.
        first = int(differing.argmax())
        share = (first + float(same[first : first + _BLOCK].mean(axis=1).sum())) / len(same)
    return image, share if known is None else known + share * going_on


def _scans(data: bytes) -> tuple[bytes, float | None, float]:
    """The file up to its last complete segment; for a progressive one, how much of it its scans contain.

    A progressive JPEG stores a few coefficients per scan. A truncated one still shows the whole picture, but
    blurred: what counts is the fraction of coefficients whose first pass is present; later passes add their last bits.

    Returns:
        The bytes; None for a sequential JPEG, else the fraction of the coefficients in complete scans; and the fraction
        of those in the last scan, which may be truncated.

    Reference: ITU-T T.81, G.1.
    """
    at, components, end, is_progressive = 2, 1, len(data), False
    first_passes: list[int] = []
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] not in _MARKERS:
            at = _behind_scan(data, at + 1)
            continue
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xD9:
            break
        if at + 2 + length > len(data):
            end = at
            break
        body = data[at + 4 : at + 2 + length]
        if marker in (0xC0, 0xC1, 0xC2) and len(body) > 5:
            is_progressive, components = marker == 0xC2, max(body[5], 1)
        at += 2 + length
        if marker == 0xDA:
            if len(body) >= 1 and len(body) >= 2 * body[0] + 4:
                first, last, approximation = body[1 + 2 * body[0] :][:3]
                first_passes.append(0 if approximation >> 4 else body[0] * (last - first + 1))
            at = _behind_scan(data, at)
    whole = data[:end].rstrip(b"\xff")
    if not is_progressive or not first_passes:
        return whole, None, 0.0
    *before, going_on = first_passes
    return whole, min(sum(before) / (64 * components), 1.0), going_on / (64 * components)


def _behind_scan(data: bytes, at: int) -> int:
    """Where the next marker is; a file may hold gigabytes without one."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] in _MARKERS:
            return at
        at += 1
    return len(data)


def _by_rows(data: bytes, open_: Open) -> tuple[ImageFile, float]:
    """Decoded over two greys: pixels that still differ were not read."""
    image, other = (_over(open_(data), grey) for grey in _GREYS)
    return image, float(_same(image, other).mean())


def _same(image: Image.Image, other: Image.Image) -> NDArray[np.bool_]:
    """(height, width) True where pixels are equal."""
    same: NDArray[np.bool_] = np.asarray(image) == np.asarray(other)
    return np.asarray(same.all(axis=2)) if same.ndim == 3 else same


def _over(image: ImageFile, grey: int) -> ImageFile:
    if image.mode == "1":
        grey = 255 if grey == _GREYS[0] else 0
    bands: Any = grey if len(image.getbands()) == 1 else (grey,) * len(image.getbands())
    if hasattr(image, "_frame_transparency"):
        image._frame_transparency = None  # a GIF would use that as background instead of our grey
    image.im = _core.fill(image.mode, image.size, bands)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError):
        if image._im is None:
            raise
        image.tile = []
    return image


def _loaded(image: ImageFile) -> ImageFile:
    image.load()
    return image

"""Checks that Pillow's reader of Photoshop files lacks: whether there is a merged picture, and of which kind.

Reference: Adobe Photoshop File Formats Specification (2019), "File Header", "Image Resources" and "Layer and Mask
Information".
"""

from __future__ import annotations

import struct

from PIL import Image
from PIL.ImageFile import ImageFile

from retrieval.errors import UnreadableImage

_DEPTHS = {0: 1, 1: 8, 2: 8, 3: 8, 4: 8, 8: 8}
"""Colour mode -> bits per channel: bitmap, grey, indexed, RGB, CMYK, duotone."""

_VERSION, _EXIF = 1057, 1058
_HEADER = 26


def check_psd(data: bytes) -> None:
    """Raise UnreadableImage if a file has no merged picture of its layers, or it would be displayed wrongly."""
    if len(data) < _HEADER + 4:
        return
    version, depth, mode = (struct.unpack_from(">H", data, at)[0] for at in (4, 22, 24))
    if version != 1 or _DEPTHS.get(mode) != depth:
        raise UnreadableImage("unsupported kind of PSD", "save it as PNG, TIFF, or PSD of 8 bits in RGB")
    about = _resource(data, _VERSION)
    if len(about) > 4 and not about[4]:  # programs that omit this resource always write a merged picture
        raise UnreadableImage("PSD without a picture of its layers", "save it with maximum compatibility, or as PNG")


def complete_psd(image: ImageFile, data: bytes) -> None:
    """Add the EXIF to a decoded picture, and make it opaque if its fourth channel is a stored selection."""
    image.info["exif"] = _resource(data, _EXIF)
    if image.mode == "RGBA" and not _is_transparent(data):
        image.putalpha(Image.new("L", image.size, 255))


def _resources(data: bytes) -> tuple[int, int]:
    """Where the image resources begin and end."""
    start = _HEADER + 4 + _u32(data, _HEADER)
    return start + 4, min(start + 4 + _u32(data, start), len(data))


def _resource(data: bytes, wanted: int) -> bytes:
    """One of the image resources; empty if it is missing."""
    at, end = _resources(data)
    while at + 12 <= end and data[at : at + 4] in (b"8BIM", b"MeSa"):
        number, name = int.from_bytes(data[at + 4 : at + 6], "big"), data[at + 6]
        at += 6 + (name + 2 & ~1)
        size = _u32(data, at)
        if number == wanted:
            return data[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return b""


def _is_transparent(data: bytes) -> bool:
    """A negative number of layers means that the first channel after the colours is the merged transparency."""
    at = _resources(data)[1]
    layers = int.from_bytes(data[at + 8 : at + 10], "big", signed=True)
    return _u32(data, at) > 0 and _u32(data, at + 4) > 0 and layers < 0


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")

"""Which files may take far more time or memory than others of their size, decided from their structure in microseconds.

A decoder that works in a thread cannot be stopped. So the question is answered before anything is decoded, by steps
whose number is bounded: the sizes that a header states, the number of segments, chunks or scans, and how much
metadata would be copied. Such files are decoded in a process that can be ended (``decoders.py``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

from retrieval.errors import UnreadableImage
from retrieval.pictures.formats import jpeg2000_depth, jxl_size, sniff, webp_size
from retrieval.pictures.jpeg_structure import jpeg_frame, jpeg_is_buffered
from retrieval.pictures.memory import needed

COMPLEX = frozenset({"AVIF", "HEIF", "JXL", "JPEG2000", "PSD", "PPM"})
"""Formats whose decoding time does not follow from their headers. Their files always go to the other process: they take
so long to decode that it costs them a few percent."""

_HUGE_FILE = 64 << 20
_LARGE = 50_000_000
"""Pixels; at 30 million a second, the slowest of the simple decoders."""
_MUCH_MEMORY = 1 << 30
_MOST_SEGMENTS = 1000
_MOST_SCANS = 64
_MOST_VISITED = 500_000_000
"""Pixels times scans of a JPEG; libjpeg visits every block in every scan, 600 million pixels a second."""
_MOST_CHUNKS = 2000
_BYTES_PER_CHUNK = 1024
"""More chunks are usual in large files: most programs write pixels in chunks of 8 KiB or more."""
_MOST_BLOCKS = 5000
_MOST_PIECES = 20_000
_SPARSE = 1000
"""Pixels per byte; photographs have 2 to 30."""
_SPARSE_ABOVE = 16_000_000
_MOST_TAGS = 4096
_COPIED = 1 << 20
_COPIES = 4
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_SUBDIRECTORIES = (0x8769, 0x8825, 0xA005)  # EXIF, GPS, interoperability


class Doubt(NamedTuple):
    """Why a file is decoded in another process.

    Args:
        reason: for people: "more than 64 scans".
        is_dangerous: it may take so much memory that the system ends programs.
        is_large: it is just large.
    """

    reason: str
    is_dangerous: bool = False
    is_large: bool = False


def doubt_of(data: bytes) -> Doubt | None:
    """The reason why a picture file is decoded in another process, or None; never raises.

    RAW and SVG are None: their decoders are in other processes anyway.
    """
    try:
        name = sniff(data)
    except UnreadableImage:
        return None
    if name in ("RAW", "SVG"):
        return None
    try:
        found = _by_size(data, name) or _by_structure(data, name)
    except (struct.error, IndexError, ValueError, UnreadableImage):
        return Doubt("a damaged header")
    return Doubt(f"any {name}") if found is None and name in COMPLEX else found


def is_amplified(tiff: bytes) -> bool:
    """Whether the directories of a TIFF or of EXIF refer to the same bytes again and again: all would be copied.

    Args:
        tiff: from the byte order on.
    """
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"
    letter = "<" if order == "little" else ">"
    if tiff[2:4] not in (b"*\0", b"\0*"):
        return len(tiff) > _COPIED  # a BigTIFF, or no TIFF
    waiting, copied, tags = [int.from_bytes(tiff[4:8], order)], 0, 0
    while waiting:
        start = waiting.pop()
        count = int.from_bytes(tiff[start : start + 2], order)
        tags += count
        if tags > _MOST_TAGS:
            return True
        entries = tiff[start + 2 : start + 2 + 12 * count]
        for tag, kind, number, value in struct.iter_unpack(f"{letter}HHII", entries[: len(entries) // 12 * 12]):
            size = number * _TIFF_SIZES.get(kind, 0)
            copied += min(size, len(tiff)) if size > 4 else 0
            if tag in _SUBDIRECTORIES and value and len(waiting) < len(_SUBDIRECTORIES):
                waiting.append(value)
    return copied > _COPIES * len(tiff) + _COPIED


def _by_size(data: bytes, name: str) -> Doubt | None:
    if len(data) > _HUGE_FILE:
        return Doubt(f"a file of {len(data) >> 20} MiB", is_large=True)
    width, height = _stated_size(data, name)
    pixels = width * height
    if name != "JPEG" and needed(name, width, height, "RGB") > _MUCH_MEMORY:
        return Doubt(f"{pixels // 1_000_000} megapixels in {len(data):,} bytes", is_dangerous=True)
    if pixels > _LARGE:
        return Doubt(f"{pixels // 1_000_000} megapixels", is_large=True)
    if name in ("WEBP", *COMPLEX) and pixels > max(_SPARSE * len(data), _SPARSE_ABOVE):
        return Doubt(f"{pixels // 1_000_000} megapixels in {len(data):,} bytes", is_dangerous=True)
    return None


def _by_structure(data: bytes, name: str) -> Doubt | None:
    if name == "JPEG":
        return _jpeg(data)
    if name == "PNG":
        return _png(data)
    if name == "GIF":
        return _gif(data)
    if name == "TIFF":
        return _tiff(data)
    if name == "WEBP":
        return _amplified(next(_riff_chunks(data, b"EXIF"), b""))
    if name == "BMP" and int.from_bytes(data[14:18], "little") > 12 and data[30:34] not in (bytes(4), b"\3\0\0\0"):
        return Doubt("a run-length encoded bitmap")
    return None


def _stated_size(data: bytes, name: str) -> tuple[int, int]:
    """(width, height) that the header states; (0, 0) if it is not in a place where it can be found at once."""
    if name == "PNG":
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if name == "GIF":
        width, height = struct.unpack_from("<HH", data, 6)
        return width, height
    if name == "BMP":
        if int.from_bytes(data[14:18], "little") == 12:
            width, height = struct.unpack_from("<HH", data, 18)
            return width, height
        width, height = struct.unpack_from("<ii", data, 18)
        return abs(width), abs(height)
    if name == "WEBP":
        return webp_size(data)
    if name in ("AVIF", "HEIF"):
        return _largest_item(data)
    if name == "JXL":
        return jxl_size(data)
    if name == "JPEG2000" and jpeg2000_depth(data):
        start = data.find(b"\xff\x4f\xff\x51")
        right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
        return right - left, bottom - top
    if name == "PSD":
        height, width = struct.unpack_from(">II", data, 14)
        return width, height
    return 0, 0


def _largest_item(data: bytes) -> tuple[int, int]:
    """The largest size of any item of an AVIF or HEIF. Reference: ISO/IEC 23008-12, ``ispe``."""
    largest, at = (0, 0), 0
    for _ in range(_MOST_TAGS):
        at = data.find(b"ispe", at, _COPIED)
        if at < 0:
            return largest
        width, height = struct.unpack_from(">II", data, at + 8)
        largest = max(largest, (width, height), key=lambda size: size[0] * size[1])
        at += 4
    return largest


def _jpeg(data: bytes) -> Doubt | None:
    frame = jpeg_frame(data, _MOST_SEGMENTS)
    if frame is None:
        return Doubt("unusual segments before the picture", is_dangerous=len(data) > _COPIED)
    if len(frame.exif) > 1:
        return Doubt(f"{len(frame.exif)} EXIF segments", is_dangerous=len(frame.exif) > 16)
    pixels = frame.width * frame.height
    if pixels > _LARGE:
        return Doubt(f"{pixels // 1_000_000} megapixels", is_large=True)
    if jpeg_is_buffered(frame):
        most = min(_MOST_VISITED // max(pixels, 1), _MOST_SCANS)
        scans, at = 0, frame.scan
        while (at := data.find(b"\xff\xda", at)) >= 0:
            scans, at = scans + 1, at + 2
            if scans > most:
                return Doubt(f"more than {most} scans")
    if not frame.exif:
        return None
    at = frame.exif[0]
    return _amplified(data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")])


def _png(data: bytes) -> Doubt | None:
    at, count, most = 8, 0, _MOST_CHUNKS + len(data) // _BYTES_PER_CHUNK
    exif = b""
    while at + 8 <= len(data):
        count += 1
        if count > most:
            return Doubt(f"more than {most:,} chunks", is_dangerous=True)
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            exif = data[at + 8 : at + 8 + size]
        at += 12 + size
    return _amplified(exif)


def _gif(data: bytes) -> Doubt | None:
    """The blocks before the first picture. Reference: GIF89a, 23 to 26."""
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    for _ in range(_MOST_BLOCKS):
        if at >= len(data) or data[at] in b",;":
            return None
        if data[at] != 0x21:  # the length of a part of an extension, or of no meaning
            at += 1 + data[at]
        else:
            at += 2
    return Doubt(f"more than {_MOST_BLOCKS:,} blocks before the picture")


def _tiff(data: bytes) -> Doubt | None:
    if data[2] + data[3] != 42:
        return Doubt("a BigTIFF")
    if is_amplified(data):
        return Doubt("the same metadata many times", is_dangerous=True)
    letter = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{letter}I", data, 4)
    (count,) = struct.unpack_from(f"{letter}H", data, start)
    sides = [0, 0]
    for tag, kind, number, _ in struct.iter_unpack(
        f"{letter}HHII", data[start + 2 : start + 2 + 12 * count][: (len(data) - start - 2) // 12 * 12]
    ):
        if tag in (273, 324) and number > _MOST_PIECES:
            return Doubt(f"{number:,} strips or tiles")
        if tag in (256, 257):
            at = data.find(struct.pack(f"{letter}HHI", tag, kind, number), start) + 8
            (sides[tag - 256],) = struct.unpack_from(letter + ("H" if kind == 3 else "I"), data, at)
    if needed("TIFF", sides[0], sides[1], "samples") > _MUCH_MEMORY:
        return Doubt(f"{sides[0] * sides[1] // 1_000_000} megapixels", is_dangerous=True)
    return None


def _amplified(exif: bytes) -> Doubt | None:
    return (
        Doubt("the same metadata many times", is_dangerous=True)
        if exif and is_amplified(exif.removeprefix(b"Exif\0\0"))
        else None
    )


def _riff_chunks(data: bytes, wanted: bytes) -> Iterator[bytes]:
    at = 12
    for _ in range(_MOST_SEGMENTS):
        if at + 8 > len(data):
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == wanted:
            yield data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2

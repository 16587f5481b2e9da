"""Whether a file is a camera's RAW, by its content.

Most RAW formats are TIFF files with special samples. They are recognised by a tag of their own (DNG), by samples
behind a colour filter or in a manufacturer's compression together with a manufacturer's name, in any directory.
References: TIFF 6.0; TIFF/EP (ISO 12234-2); DNG 1.7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from math import prod

_TIFF = (b"II*\0", b"MM\0*")
_OTHER_TIFF = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
"""Written by Olympus and Panasonic instead of TIFF's first bytes; the rest of such a file is a TIFF."""

_STARTS = (*_OTHER_TIFF, b"FUJIFILMCCD-RAW", b"II\x1a\0\0\0HEAPCCDR", b"MM\0\0\0\x1aHEAPCCDR", b"\0MRM", b"FOVb")
_MARKS_OF_TIFF = (b"CR\x02", b"IIII", b"MMMM")
"""After the first eight bytes of a TIFF: Canon, and Phase One in both byte orders."""

_COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_DIRECTORIES, DNG_VERSION = 259, 262, 271, 330, 50706
_COLOUR_FILTER, _LINEAR_RAW = 32803, 34892
_MAKERS = frozenset({34713, 32767, 65535, 32769, 32770, 65000})
"""Compressions of Nikon, Sony, Pentax, Samsung and Epson (two), Kodak."""

_SAMPLES = ((273, 279), (324, 325))  # offsets and lengths of strips and of tiles
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323
_JPEG_TILES, _JPEG_START = frozenset({7, 34892}), b"\xff\xd8"
"""Compressions of DNG, lossless and lossy; each tile is a JPEG of its own."""
_PANASONIC_START, _PANASONIC_SIDES = 0x118, (2, 3)

_MOST_DIRECTORIES, _MOST_ENTRIES, _MOST_VALUES = 16, 1000, 1 << 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 13: 4}


def is_raw(data: bytes) -> bool:
    """Whether a file is a RAW; if the data are incomplete, False may also mean unknown."""
    if data.startswith(_STARTS):
        return True
    if data[4:12] == b"ftypcrx ":
        return True
    if not data.startswith(_TIFF):
        return False
    if data[8:11] == _MARKS_OF_TIFF[0] or data[8:12] in _MARKS_OF_TIFF:
        return True
    found = list(directories(data))
    # Without a camera's name, a decoder would have to guess the pattern and the levels of a colour filter.
    by_a_camera = any(_MAKE in entries for entries in found)
    return any(DNG_VERSION in entries or (by_a_camera and _has_raw(entries)) for entries in found)


def as_tiff(data: bytes) -> bytes | None:
    """The file with TIFF's own first bytes, for readers that know no others; None if it is not of this kind."""
    if data.startswith(_TIFF):
        return data
    if data.startswith(_OTHER_TIFF):
        return (b"MM\0*" if data.startswith(b"MM") else b"II*\0") + data[4:]
    return None


def is_cut_short(data: bytes) -> bool:
    """True if samples of a RAW are not there: a decoder continues with stale data, or leaves them black.

    They would be after the end, or there are fewer tiles than the picture has, or zeros in place of one, as in a copy
    that was interrupted after its space had been reserved.
    """
    if data[4:12] == b"ftypcrx ":
        return _boxes_end(data) > len(data)
    if data.startswith(b"FUJIFILMCCD-RAW"):
        return (_number(data, 100, ">I") or 0) + (_number(data, 104, ">I") or 0) > len(data)
    if not data.startswith((*_TIFF, *_OTHER_TIFF)):
        return False
    return any(_reaches(entries) > len(data) or _lacks_tiles(data, entries) for entries in directories(data))


def has_directories_behind_the_end(data: bytes) -> bool:
    """Whether a TIFF (not a BigTIFF) says that there is a directory where the file has already ended."""
    order = "<" if data.startswith(b"II") else ">"
    starts = [_number(data, 4, order + "I")]
    for entries, following in _walked(data):
        starts += [*entries.get(_SUB_DIRECTORIES, ()), following]
    return any(start is not None and start + 2 > len(data) for start in starts)


def _lacks_tiles(data: bytes, entries: Mapping[int, tuple[int, ...]]) -> bool:
    """Whether samples of a camera, as JPEGs in tiles, are not all there."""
    tile = [entries.get(tag, (0,))[0] for tag in (_TILE_WIDTH, _TILE_HEIGHT)]
    if entries.get(_PHOTOMETRIC, (0,))[0] not in (_COLOUR_FILTER, _LINEAR_RAW) or 0 in tile:
        return False
    sides = [entries.get(tag, (0,))[0] for tag in (_WIDTH, _HEIGHT)]
    starts = entries.get(_SAMPLES[1][0], ())
    if 0 < len(starts) < prod(-(-side // part) for side, part in zip(sides, tile, strict=True)):
        return True
    is_jpeg = entries.get(_COMPRESSION, (0,))[0] in _JPEG_TILES
    return is_jpeg and any(data[start : start + 2] != _JPEG_START for start in starts)


def _boxes_end(data: bytes) -> int:
    at = 0
    while at + 16 <= len(data):
        size, _, long = struct.unpack_from(">I4sQ", data, at)
        size = long if size == 1 else size
        if size < 8:
            return at
        at += size
    return at


def _reaches(entries: Mapping[int, tuple[int, ...]]) -> int:
    """Where the samples of a directory end, as far as stated."""
    if _PANASONIC_START in entries:  # more than a byte per sample
        sides = (entries.get(tag, (0,))[0] for tag in _PANASONIC_SIDES)
        return entries[_PANASONIC_START][0] + prod(sides)
    ends = [0]
    for starts, lengths in _SAMPLES:
        places = zip(entries.get(starts, ()), entries.get(lengths, ()), strict=False)
        ends += [start + length for start, length in places if start != 0xFFFFFFFF]
    return max(ends)


def directories(data: bytes) -> Iterator[Mapping[int, tuple[int, ...]]]:
    """Tag -> integers (bytes for text), for every directory and subdirectory; other types are left out."""
    return (entries for entries, _ in _walked(data))


def _walked(data: bytes) -> Iterator[tuple[Mapping[int, tuple[int, ...]], int | None]]:
    """Each directory's entries, and where it says that the next one starts."""
    order = "<" if data.startswith(b"II") else ">"
    waiting: list[int | None] = [_number(data, 4, order + "I")]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        start = waiting.pop(0)
        if start is None or start < 8 or start in seen:
            continue
        seen.add(start)
        entries, following = _directory(data, start, order)
        waiting += [*entries.get(_SUB_DIRECTORIES, ())[:_MOST_DIRECTORIES], following]
        yield entries, following


def _directory(data: bytes, start: int, order: str) -> tuple[dict[int, tuple[int, ...]], int | None]:
    count = min(_number(data, start, order + "H") or 0, _MOST_ENTRIES)
    entries = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if at + 12 > len(data):
            break
        tag, kind, length = struct.unpack_from(order + "HHI", data, at)
        size = _SIZES.get(kind, 0)
        if size and length <= _MOST_VALUES:
            place = at + 8 if size * length <= 4 else _number(data, at + 8, order + "I")
            letter = {1: "B", 2: "H", 4: "I"}[size]
            if place is not None and place + size * length <= len(data):
                entries[tag] = struct.unpack_from(f"{order}{length}{letter}", data, place)
    return entries, _number(data, start + 2 + 12 * count, order + "I")


def _number(data: bytes, at: int, kind: str) -> int | None:
    if at + struct.calcsize(kind) > len(data):
        return None
    value: int = struct.unpack_from(kind, data, at)[0]
    return value


def _has_raw(entries: Mapping[int, tuple[int, ...]]) -> bool:
    kind = entries.get(_PHOTOMETRIC, (0,))[:1]
    return kind in ((_COLOUR_FILTER,), (_LINEAR_RAW,)) or entries.get(_COMPRESSION, (0,))[0] in _MAKERS

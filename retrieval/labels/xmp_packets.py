"""The XMP packet inside a JPEG, PNG or WebP file: finds it, and says which bytes to replace to change it.

Only the bytes of metadata change. The compressed picture is not read, and stays byte for byte; so the edits can be
undone exactly.

References: XMP Specification Part 3 (2020), 1.1; PNG (third edition), 11.3.3.4; RFC 9649 (WebP), 2.7.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from retrieval.labels.xmp import UnreadableXmp

FORMATS = frozenset({"JPEG", "PNG", "WEBP"})
"""Formats into which a packet can be written."""

_PACKET = b"http://ns.adobe.com/xap/1.0/\0"
_MOST_IN_SEGMENT = 65_533 - len(_PACKET)
_PNG_KEY = b"XML:com.adobe.xmp\0"
_PNG_HEAD = 8
_IN_VP8X = 0x04
_ALPHA = 0x10
_MOST_SEGMENTS = 1000


class Edit(NamedTuple):
    """Bytes ``start`` to ``end`` of a file are replaced by ``new``."""

    start: int
    end: int
    new: bytes


def applied(data: bytes, edits: Sequence[Edit]) -> bytes:
    """A file after edits, which are in ascending order and do not overlap."""
    parts, at = [], 0
    for start, end, new in edits:
        parts += [data[at:start], new]
        at = end
    return b"".join([*parts, data[at:]])


def inverse(data: bytes, edits: Sequence[Edit]) -> list[Edit]:
    """The edits that turn ``applied(data, edits)`` into ``data`` again."""
    back, shift = [], 0
    for start, end, new in edits:
        back.append(Edit(start + shift, start + shift + len(new), data[start:end]))
        shift += len(new) - (end - start)
    return back


def packet_in(data: bytes, form: str) -> bytes:
    """The packet of a picture file; empty if it has none.

    Raises:
        UnreadableXmp: it is damaged.
    """
    if form == "JPEG":
        found = next((body for _, _, marker, body in _segments(data) if _is_packet(marker, body)), None)
        return b"" if found is None else found[len(_PACKET) :]
    if form == "PNG":
        found = next((body for _, _, kind, body in _png_chunks(data) if _is_png_packet(kind, body)), None)
        return b"" if found is None else _png_text(found)
    return next((body for _, _, kind, body in _webp_chunks(data) if kind == b"XMP "), b"")


def packet_edits(data: bytes, form: str, packet: bytes) -> list[Edit]:
    """What to change in a picture file so that it has this packet; empty: so that it has none.

    Args:
        form: one of ``FORMATS``.

    Raises:
        UnreadableXmp: the file's structure is damaged, or of a kind into which nothing can be written safely.
    """
    return {"JPEG": _jpeg_edits, "PNG": _png_edits, "WEBP": _webp_edits}[form](data, packet)


# JPEG


def _segments(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(start, end, marker, content) of the segments before the scan; padding belongs to the one behind it."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        start = at
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if len(data) < at + 4 or data[at] != 0xFF or length < 2 or len(data) < at + 2 + length:
            raise UnreadableXmp("the picture's structure is damaged")
        if data[at + 1] == 0xDA:
            return
        yield start, at + 2 + length, data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + length
    raise UnreadableXmp("the picture's structure is damaged")


def _is_packet(marker: int, body: bytes) -> bool:
    return marker == 0xE1 and body.startswith(_PACKET)


def _jpeg_edits(data: bytes, packet: bytes) -> list[Edit]:
    if len(packet) > _MOST_IN_SEGMENT:
        raise UnreadableXmp("too much metadata for a JPEG (64 kB)")
    new = b"\xff\xe1" + (2 + len(_PACKET) + len(packet)).to_bytes(2, "big") + _PACKET + packet if packet else b""
    after, has_others = 2, False
    for start, end, marker, body in _segments(data):
        if _is_packet(marker, body):
            if has_others and len(new) != end - start:
                # The directory of further pictures in the file counts from its own place.
                raise UnreadableXmp("it holds several pictures, whose places would change")
            return [Edit(start, end, new)]
        if marker == 0xE0 or (marker == 0xE1 and body.startswith(b"Exif\0")):
            after = end if not has_others else after
        has_others |= marker == 0xE2 and body.startswith(b"MPF\0")
    return [Edit(after, after, new)] if packet else []


# PNG


def _png_chunks(data: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    at = _PNG_HEAD
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if at + 12 + length > len(data):
            break
        yield at, at + 12 + length, kind, data[at + 8 : at + 8 + length]
        if kind == b"IEND":
            return
        at += 12 + length
    raise UnreadableXmp("the picture's structure is damaged")


def _is_png_packet(kind: bytes, body: bytes) -> bool:
    return kind == b"iTXt" and body.startswith(_PNG_KEY)


def _png_text(body: bytes) -> bytes:
    is_packed, rest = body[len(_PNG_KEY)], body[len(_PNG_KEY) + 2 :]
    text = rest.split(b"\0", 2)[-1]
    if is_packed != 1:
        return text
    from retrieval.labels.xmp_document import MOST_BYTES

    try:
        return zlib.decompressobj().decompress(text, MOST_BYTES + 1)
    except zlib.error as error:
        raise UnreadableXmp("damaged") from error


def _png_edits(data: bytes, packet: bytes) -> list[Edit]:
    new = b""
    if packet:
        body = b"iTXt" + _PNG_KEY + b"\0\0\0\0" + packet
        new = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    before = None
    for start, end, kind, content in _png_chunks(data):
        if _is_png_packet(kind, content):
            return [Edit(start, end, new)]
        if kind == b"IDAT" and before is None:
            before = start
    if before is None:
        raise UnreadableXmp("the picture's structure is damaged")
    return [Edit(before, before, new)] if packet else []


# WebP


def _webp_chunks(data: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    at, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise UnreadableXmp("the picture's structure is damaged")
    while at + 8 <= end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            raise UnreadableXmp("the picture's structure is damaged")
        yield at, min(at + 8 + length + length % 2, end), data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_edits(data: bytes, packet: bytes) -> list[Edit]:
    chunks = list(_webp_chunks(data))
    if not chunks:
        raise UnreadableXmp("the picture's structure is damaged")
    edits = []
    start, _, kind, body = chunks[0]
    if kind == b"VP8X" and len(body) == 10:
        flags = body[0] | _IN_VP8X if packet else body[0] & ~_IN_VP8X
        if flags != body[0]:
            edits.append(Edit(start + 8, start + 9, bytes([flags])))
    elif packet:
        edits.append(Edit(start, start, _vp8x(kind, body)))
    new = b"XMP " + len(packet).to_bytes(4, "little") + packet + b"\0" * (len(packet) % 2) if packet else b""
    own = next(((start, end) for start, end, kind, _ in chunks if kind == b"XMP "), None)
    last = chunks[-1][1]
    if own is not None:
        edits.append(Edit(*own, new))
    elif packet:
        padding = b"\0" * (last % 2)  # a last chunk of odd length without its padding
        edits.append(Edit(last, last, padding + new))
    grown = sum(len(edit.new) - (edit.end - edit.start) for edit in edits)
    size = int.from_bytes(data[4:8], "little") + grown
    return [Edit(4, 8, size.to_bytes(4, "little")), *edits] if edits else []


def _vp8x(kind: bytes, body: bytes) -> bytes:
    """The header that a WebP with metadata needs: flags, and the size from the picture's own header."""
    has_alpha = 0
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    elif kind == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        width, height, has_alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1
    else:
        raise UnreadableXmp("the picture's structure is damaged")
    if not width or not height:
        raise UnreadableXmp("the picture's structure is damaged")
    flags = _IN_VP8X | (_ALPHA if has_alpha else 0)
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + (10).to_bytes(4, "little") + bytes([flags, 0, 0, 0]) + sides

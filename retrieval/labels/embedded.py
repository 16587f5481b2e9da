"""Metadata inside picture files: XMP packets of all formats, and older IPTC records (IIM) in JPEGs."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from retrieval.errors import QueryError
from retrieval.labels.xmp import MAX_BYTES, UnreadableXmp, Xmp, parse_xmp
from retrieval.pictures.dates import parse_moment
from retrieval.pictures.formats import is_video_name
from retrieval.regular_files import open_regular
from retrieval.tag_text import clean_caption, clean_tag

_PACKET = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_HAS_EXTENDED = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>\s*)([0-9A-Fa-f]{32})")
_MAX_SEGMENTS = 1000
_PADDING = re.compile(rb"\xff{2,}")
_MAX_CHUNKS = 100_000  # of a PNG; a large one has thousands
_BEGIN = re.compile(rb"<(?:\w{1,32}:)?xmpmeta\b")
_END = re.compile(rb"</(?:\w{1,32}:)?xmpmeta\s{0,32}>")
_GIF = b"XMP DataXMP"
_HEAD, _MOST = 256 << 10, 256 << 20


def read_inside(data: bytes) -> Xmp:
    """The XMP inside a picture file, completed with IIM properties that XMP lacks; empty if there is none.

    Raises:
        UnreadableXmp: see :func:`retrieval.labels.xmp.parse_xmp`.

    Reference: ISO 16684-1 and XMP Specification Part 3 (2020): JPEG, PNG, GIF, WebP, and packet scanning for the
    others; IPTC-NAA Information Interchange Model 4.2.
    """
    if data.startswith(b"\xff\xd8"):
        return _in_jpeg(data)
    if data.startswith(b"\x89PNG"):
        packet = next(_in_png(data), None)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        packet = next(_in_webp(data), None)
    elif data.startswith(b"GIF8"):
        packet = _in_gif(data)
    else:
        packet = _scanned(data)
    return Xmp() if packet is None else parse_xmp(packet)


def read_embedded(path: str | Path) -> Xmp:
    """The same for a file; of a JPEG only the part before the picture data is read.

    Raises:
        UnreadableXmp: see :func:`retrieval.labels.xmp.parse_xmp`.
        OSError: the file cannot be read, or is not a regular file.
    """
    if is_video_name(str(path)):  # gigabytes, and rarely with XMP
        return Xmp()
    with open_regular(path) as file:
        data = file.read(_HEAD)
        if not data.startswith(b"\xff\xd8") or not _reaches_the_scan(data):
            data += file.read(_MOST)
    return read_inside(data)


def _reaches_the_scan(data: bytes) -> bool:
    at = 2
    for _, body in _segments(data):
        at = data.index(body, at) + len(body)
    return data[at : at + 2] == b"\xff\xda"


def _in_jpeg(data: bytes) -> Xmp:
    packet, pieces, records = None, [], []
    for marker, body in _segments(data):
        if marker == 0xE1 and body.startswith(_PACKET):
            packet = packet or body[len(_PACKET) :]
        elif marker == 0xE1 and body.startswith(_EXTENSION):
            pieces.append(body[len(_EXTENSION) :])
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            records.append(body[len(_PHOTOSHOP) :])
    said = Xmp() if packet is None else parse_xmp(packet)
    if packet is not None and pieces and (extended := _extended(packet, pieces)):
        said = _completed(said, parse_xmp(extended))
    return _completed(said, _iim(b"".join(records))) if records else said


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) up to the start of the scan; bytes FF before a marker are padding (ITU-T T.81, B.1.1.2)."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        padding = _PADDING.match(data, at)
        at = padding.end() - 1 if padding else at
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if len(data) < at + 4 or data[at] != 0xFF or data[at + 1] == 0xDA or length < 2:
            return
        yield data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + length


def _extended(packet: bytes, pieces: list[bytes]) -> bytes | None:
    """The packet that was too long for one segment: pieces with a digest, a length and an offset."""
    wanted = _HAS_EXTENDED.search(packet)
    if wanted is None:
        return None
    whole = bytearray()
    for piece in sorted((piece for piece in pieces if piece[:32].upper() == wanted[1].upper()), key=lambda p: p[36:40]):
        if int.from_bytes(piece[36:40], "big") != len(whole) or len(whole) > MAX_BYTES:
            return None
        whole += piece[40:]
    return bytes(whole) or None


def _scanned(data: bytes) -> bytes | None:
    """The first packet of a file of any kind. Its end is searched once, not from every place where one may begin."""
    begin = _BEGIN.search(data) if b"xmpmeta" in data else None
    end = None if begin is None else _END.search(data, begin.end(), begin.end() + MAX_BYTES)
    return None if begin is None or end is None else data[begin.start() : end.end()]


def _in_png(data: bytes) -> Iterator[bytes]:
    at = 8
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(data):
            return
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        if kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0"):
            is_packed = body[18:19] == b"\1"
            text = body[20:].split(b"\0", 2)[-1]
            yield _inflated(text) if is_packed else text
        at += 12 + length


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_BYTES + 1)
    except zlib.error as error:
        raise UnreadableXmp("damaged") from error


def _in_webp(data: bytes) -> Iterator[bytes]:
    at = 12
    for _ in range(_MAX_SEGMENTS):
        if at + 8 > len(data):
            return
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"XMP ":
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _in_gif(data: bytes) -> bytes | None:
    """Not in length-prefixed blocks, but verbatim, before a trailer that leads any reader of blocks to its end."""
    at = data.find(b"\x21\xff\x0b" + _GIF)
    if at < 0:
        return None
    found = data.find(b"\x01\xff\xfe\xfd", at)
    return data[at + 14 : found] if found > 0 else None


def _completed(said: Xmp, other: Xmp) -> Xmp:
    """The XMP properties, and the other's where XMP has none (Metadata Working Group, guidelines 2.0)."""
    return replace(
        said,
        tags=said.tags or other.tags,
        caption=said.caption or other.caption,
        rating=other.rating if said.rating is None else said.rating,
        taken=said.taken or other.taken,
        place=said.place or other.place,
    )


def _iim(resources: bytes) -> Xmp:
    """Photoshop's resource 0404: records of keywords, caption and date."""
    at = 0
    while resources[at : at + 4] == b"8BIM":
        number = int.from_bytes(resources[at + 4 : at + 6], "big")
        name = resources[at + 6] if at + 6 < len(resources) else 0
        start = at + 6 + (name + 2 & ~1)
        length = int.from_bytes(resources[start : start + 4], "big")
        if number == 0x0404:
            return _records(resources[start + 4 : start + 4 + length])
        at = start + 4 + length + length % 2
    return Xmp()


def _records(data: bytes) -> Xmp:
    tags: set[str] = set()
    caption, day, time, coding = None, "", "", ""
    at = 0
    while at + 5 <= len(data) and data[at] == 0x1C:
        record, number = data[at + 1], data[at + 2]
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if length & 0x8000:  # an extended length; the records read here are shorter
            break
        raw = data[at + 5 : at + 5 + length]
        at += 5 + length
        if (record, number) == (1, 90):
            coding = "utf-8" if raw == b"\x1b%G" else ""
        if record != 2:
            continue
        text = _text(raw, coding)
        if number == 25:
            try:
                tags.add(clean_tag(text))
            except QueryError:
                continue
        elif number == 120 and caption is None:
            try:
                caption = clean_caption(text)
            except QueryError:
                continue
        elif number == 55:
            day = text
        elif number == 60:
            time = text
    return Xmp(tuple(sorted(tags)), caption, taken=parse_moment(f"{day}T{time}" if day and time else day))


def _text(raw: bytes, coding: str) -> str:
    raw = raw.rstrip(b"\0")
    if coding:
        return raw.decode(coding, "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")

"""Pictures that cost far more time or memory than their size suggests, made from a few lines each."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

from PIL import Image

_PHOTO = (640, 480)


def jpeg(size: tuple[int, int] = _PHOTO, **options: object) -> bytes:
    """An ordinary picture."""
    made = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(made, "JPEG", **options)
    return made.getvalue()


def empty_scans(scans: int = 2000, side: int = 16_000) -> bytes:
    """A progressive JPEG with very many scans in which no coefficient changes: each visits every block.

    A scan of the refinement of one coefficient, in which one run of "end of block" follows another.
    """

    def segment(marker: int, body: bytes) -> bytes:
        return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body

    quantization = segment(0xDB, b"\0" + bytes([1] * 64))
    frame = segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00")
    # One code, of one bit: "14 zero bits of the run follow", the longest end-of-block run.
    table = segment(0xC4, b"\x10" + bytes([1]) + bytes(15) + b"\xe0")
    scan = segment(0xDA, b"\x01\x01\x00\x01\x01\x00")  # coefficient 1, no approximation
    return b"\xff\xd8" + quantization + frame + table + scan * scans + b"\xff\xd9"


def exif_segments(size: int = 5 << 20, each: int = 8) -> bytes:
    """A JPEG with so many bytes in EXIF segments of a few bytes."""
    body = b"Exif\0\0" + bytes(each)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    whole = jpeg()
    return whole[:2] + segment * (size // len(segment)) + whole[2:]


def png_chunks(size: int = 60 << 20, kind: bytes = b"teSt") -> bytes:
    """A PNG with so many bytes in empty chunks."""
    made = io.BytesIO()
    Image.linear_gradient("L").save(made, "PNG")
    whole = made.getvalue()
    chunk = struct.pack(">I", 0) + kind + struct.pack(">I", zlib.crc32(kind))
    return whole[:33] + chunk * (size // len(chunk)) + whole[33:]


def sparse_jpeg(path: Path, size: int = 900 << 20) -> None:
    """The first segment of a JPEG, and zeros that take no space on the disk; Pillow looks for a marker in each byte."""
    with path.open("wb") as file:
        file.write(jpeg()[:20])
        file.truncate(size)


def huge_webp(side: int = 13_377) -> bytes:
    """A lossless WebP of one colour in a few dozen bytes; larger sides are refused by Pillow."""
    bits = 0x2F | (side - 1) << 8 | (side - 1) << 22  # signature, width, height; no alpha, version 0
    stream = bits.to_bytes(5, "little")
    # No transform, no colour cache, no meta codes; five simple codes of one symbol, each of length 0.
    rest, at = 0, 0
    for _ in range(5):
        rest |= 1 << at + 3
        at += 4
    stream += rest.to_bytes(8, "little")
    chunk = b"VP8L" + struct.pack("<I", len(stream)) + stream + b"\0" * (len(stream) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def huge_avif(side: int = 12_000) -> bytes:
    """An AVIF of one colour."""
    made = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 90, 30)).save(made, "AVIF")
    whole = bytearray(made.getvalue())
    at = whole.index(b"ispe") + 8  # the size that programs believe, and reserve memory for
    whole[at : at + 8] = struct.pack(">II", side, side)
    return bytes(whole)


def amplified_exif(entries: int = 4000) -> bytes:
    """A JPEG whose EXIF has thousands of entries, each of which is the whole of it."""
    size = 2 + 12 * entries + 4
    entry = b"".join(struct.pack("<HHII", 0x9000 + number % 4000, 7, size, 8) for number in range(entries))
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, entries) + entry + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    whole = jpeg()
    return whole[:2] + segment + whole[2:]

"""Samples other than 8 bits in PNG, PNM, BMP and JPEG 2000: read correctly, or refused by name."""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from retrieval.errors import UnreadableImage
from retrieval.pictures.images import read_whole


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(bits: int, colour: int, row: bytes, *, clear: bytes = b"") -> bytes:
    """Eight columns and four rows alike."""
    header = struct.pack(">IIBBBBB", 8, 4, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *([chunk(b"tRNS", clear)] if clear else [])]
    parts += [chunk(b"IDAT", zlib.compress((b"\0" + row) * 4)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def ends(data: bytes) -> list[tuple[int, int, int]]:
    """The first and the last pixel of the first row."""
    picture = read_whole(data, 64)
    return [picture.getpixel((0, 0)), picture.getpixel((picture.width - 1, 0))]  # type: ignore[list-item]


BLACK, WHITE = (0, 0, 0), (255, 255, 255)
RAMP = [round(i * 65535 / 7) for i in range(8)]


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png(bits: int) -> None:
    values = [i * (2**bits - 1) // 7 for i in range(8)]
    row = int("".join(f"{value:0{bits}b}" for value in values), 2).to_bytes(bits, "big")
    assert ends(png(bits, 0, row)) == [BLACK, WHITE]
    assert ends(png(bits, 0, row, clear=b"\0\0")) == [WHITE, WHITE]


def test_deep_colour_and_alpha_in_png() -> None:
    colours = b"".join(struct.pack(">HHH", 230 * 257, value, 30 * 257) for value in RAMP)
    assert ends(png(16, 2, colours)) == [(230, 0, 30), (230, 255, 30)]
    alpha = b"".join(struct.pack(">HHHH", 230 * 257, 0, 30 * 257, value) for value in RAMP)
    assert ends(png(16, 6, alpha)) == [WHITE, (230, 0, 30)]
    grey = b"".join(struct.pack(">HH", 100 * 257, value) for value in RAMP)
    assert ends(png(16, 4, grey)) == [WHITE, (100, 100, 100)]


@pytest.mark.parametrize("most", [1, 15, 255, 1023, 4095, 65535])
def test_pnm_of_any_highest_value(most: int) -> None:
    values = [0, most // 2, most]
    kind = ">H" if most > 255 else ">B"
    body = b"".join(struct.pack(kind, value) for value in values)
    three = b"".join(struct.pack(kind, value) * 3 for value in values)
    for data in (
        b"P5\n3 1\n%d\n" % most + body,
        b"P6\n3 1\n%d\n" % most + three,
        b"P2\n3 1\n%d\n" % most + " ".join(map(str, values)).encode(),
    ):
        assert ends(data) == [BLACK, WHITE]
        middle = read_whole(data, 64).getpixel((1, 0))
        assert abs(middle[0] - 255 * (most // 2) / most) <= 1  # type: ignore[index]


def bmp(bits: int, masks: tuple[int, ...], pixels: bytes) -> bytes:
    row = pixels.ljust((len(pixels) + 3) // 4 * 4, b"\0")
    extra = struct.pack(f"<{len(masks)}I", *masks)
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, bits, 3 if masks else 0, len(row), 0, 0, 0, 0)
    start = 54 + len(extra)
    return b"BM" + struct.pack("<IHHI", start + len(row), 0, 0, start) + header + extra + row


@pytest.mark.parametrize(
    "data",
    [
        bmp(16, (), struct.pack("<HH", 0x7C00, 0x001F)),
        bmp(16, (0xF800, 0x07E0, 0x001F), struct.pack("<HH", 0xF800, 0x001F)),
        bmp(24, (), bytes([0, 0, 255, 255, 0, 0])),
        bmp(32, (), bytes([0, 0, 255, 0, 255, 0, 0, 0])),
        bmp(32, (0xFF0000, 0xFF00, 0xFF), bytes([0, 0, 255, 0, 255, 0, 0, 0])),
    ],
)
def test_bmp_of_16_24_and_32_bits(data: bytes) -> None:
    assert ends(data) == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
def test_jpeg_2000(bits: int, channels: int, share: float) -> None:
    """Deep white comes out of Pillow as black: what may be that is refused."""
    samples = np.full((8, 8, channels) if channels > 1 else (8, 8), round(share * (2**bits - 1)), np.uint16)
    data = imagecodecs.jpeg2k_encode(samples.astype(np.uint8) if bits == 8 else samples, level=0, bitspersample=bits)
    assert isinstance(data, bytes)
    try:
        assert abs(ends(data)[0][0] - 255 * share) <= 1
    except UnreadableImage as error:
        assert share == 1
        assert error.reason == f"JPEG2000: {bits}-bit colour, not supported"
    else:
        assert share < 1 or bits == 8 or (channels == 1 and bits > 9)

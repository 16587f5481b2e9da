"""TIFF sample by sample, for what Pillow misreads or refuses: any depth, planes, signs, floats, white is zero.

Pillow supports about a hundred combinations of TIFF's tags, refuses the rest, and misreads some of the supported ones
(it loses the planes of 16 bits, the inversion of white-is-zero, the sign of 8 bits). Here strips and tiles are decoded
arithmetically, and only their decompression is done by libtiff: each is passed to it as a picture of bytes. Variants
that cannot be decoded correctly are refused by name.

Reference: TIFF 6.0 (Aldus, 1992), and Adobe's supplements.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from retrieval.errors import UnreadableImage
from retrieval.pictures.colour import from_wide
from retrieval.pictures.tiff_directory import (
    BYTE_CODES,
    CMYK,
    FLOAT,
    ICC_LAB,
    LAB,
    PALETTE,
    SAMPLES_OF,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    Layout,
    TiffDirectory,
    unsupported,
)

_NAMES = {
    7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34933: "PNG", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_BYTES_A_PIXEL = 16
"""Average limit for the largest picture allowed; more would fill the memory: hundreds of bands."""


def read_samples(directory: TiffDirectory, layout: Layout, data: bytes, max_pixels: int) -> tuple[Image.Image, float]:
    """The picture in 8 bits: ``L``, ``RGB``, ``RGBA``, ``CMYK`` or ``LAB``, and the fraction of it that was present.

    Up to 16 bits, the highest possible value is white; see ``colour.from_wide`` for types without one.

    Raises:
        UnreadableImage: an unsupported kind, which the message names.
    """
    _refuse_unread(layout)
    values_bytes = layout.width * layout.height * layout.channels * -(-layout.bits // 8)
    if values_bytes > _BYTES_A_PIXEL * max_pixels:
        raise UnreadableImage(f"{values_bytes >> 20} MiB of samples", "make the picture smaller")
    colours = SAMPLES_OF[layout.photometric]
    alpha = next((colours + at for at, kind in enumerate(layout.extra) if kind in (1, 2)), None)
    wanted = [*range(colours), *([] if alpha is None else [alpha])]
    samples, share = _samples(layout, data, wanted)
    image = _as_image(directory, layout, samples[..., :colours])
    if alpha is not None and image.mode in ("L", "RGB"):
        image = _with_alpha(image, _in_bytes(layout, samples[..., colours]), layout.extra[alpha - colours])
    if profile := directory.icc_profile():
        image.info["icc_profile"] = profile
    return image, share


def _refuse_unread(layout: Layout) -> None:
    if layout.compression not in BYTE_CODES:
        planes = "planar, " if layout.planar else ""
        kind = {SIGNED: "signed ", FLOAT: "float "}.get(layout.kind, "")
        by = _NAMES.get(layout.compression, f"compression {layout.compression}")
        raise unsupported(f"{planes}{layout.bits}-bit {kind}samples in {by}")
    if layout.photometric == YCBCR:
        raise unsupported("subsampled YCbCr without JPEG")
    if not 1 <= layout.bits <= 64 or (layout.kind != UNSIGNED and layout.bits not in (8, 16, 32, 64)):
        raise unsupported(f"{layout.bits}-bit samples")
    if layout.kind == FLOAT and layout.bits < 16:
        raise unsupported(f"{layout.bits}-bit float samples")
    if layout.photometric in (LAB, ICC_LAB) and (layout.bits not in (8, 16) or layout.kind == FLOAT):
        raise unsupported(f"Lab of {layout.bits} bits")
    if layout.photometric == PALETTE and (layout.kind != UNSIGNED or layout.bits > 16):
        raise unsupported(f"a palette of {layout.bits} bits")
    if layout.predictor not in (1, 2, 3) or (layout.predictor == 3) != (layout.kind == FLOAT and layout.predictor > 1):
        raise unsupported(f"predictor {layout.predictor}")
    if layout.predictor > 1 and layout.compression == 1:  # some readers apply it, others ignore the tag
        raise unsupported("differences without compression")
    if layout.predictor == 2 and layout.bits not in (8, 16, 32, 64):
        raise unsupported(f"differences of {layout.bits} bits")


def _samples(layout: Layout, data: bytes, wanted: list[int]) -> tuple[NDArray[Any], float]:
    """(height, width, wanted) values as stored in the file, and the fraction of the pixels that could be read."""
    across, high = layout.piece
    columns, rows = -(-layout.width // across), -(-layout.height // high)
    planes = layout.channels if layout.planar else 1
    if len(layout.where) < columns * rows * planes:
        raise UnreadableImage("damaged TIFF file")
    found: NDArray[Any] | None = None
    read = 0
    strips = _all_strips(layout, data, wanted) if across == layout.width and columns == 1 else {}
    for plane in range(planes):
        if layout.planar and plane not in wanted:
            continue
        for row in range(rows):
            top = row * high
            # The last strip ends with the picture, but tiles are always complete.
            lines = min(high, layout.height - top) if across == layout.width and columns == 1 else high
            for column in range(columns):
                at = (plane * rows + row) * columns + column
                start, size = layout.where[at]
                piece, there = _piece(layout, data[start : start + size], lines, strips.get(at))
                if found is None:
                    found = np.zeros((layout.height, layout.width, len(wanted)), piece.dtype)
                left = column * across
                part = piece[: layout.height - top, : layout.width - left]
                target = found[top : top + part.shape[0], left : left + part.shape[1]]
                if layout.planar:
                    target[..., wanted.index(plane)] = part[..., 0]
                else:
                    target[...] = part[..., wanted]
                read += min(there, part.shape[0]) * part.shape[1]
    assert found is not None
    return found, read / (layout.width * layout.height * (len(wanted) if layout.planar else 1))


def _piece(layout: Layout, packed: bytes, lines: int, known: bytes | None) -> tuple[NDArray[Any], int]:
    """(lines, width, samples) of a strip or tile, and how many of its lines were present; the others are 0.

    Args:
        known: its bytes, if they are already decompressed.
    """
    count = 1 if layout.planar else layout.channels
    row_bytes = layout.row_bytes
    raw = _unpacked(layout, packed, row_bytes, lines) if known is None else known
    there = len(raw) // row_bytes
    rows = np.frombuffer(raw.ljust(row_bytes * lines, b"\0"), np.uint8)[: row_bytes * lines].reshape(lines, row_bytes)
    # If rows end within a byte, the padding may look like additional values.
    values = _values(layout, rows, count)[:, : layout.piece[0] * count].reshape(lines, -1, count)
    if layout.predictor == 2:
        values = np.add.accumulate(values, axis=1, dtype=values.dtype)
    return values, min(there, lines)


def _all_strips(layout: Layout, data: bytes, wanted: list[int]) -> dict[int, bytes]:
    """The bytes of all strips by number, decompressed in one go; empty if any is damaged or none is compressed.

    Opening a picture for each strip would take a second for a file of a few megapixels with one row per strip.
    """
    if layout.compression == 1:
        return {}
    high, row_bytes = layout.piece[1], layout.row_bytes
    rows = -(-layout.height // high)
    unpacked: dict[int, bytes] = {}
    for plane in range(layout.channels if layout.planar else 1):
        if layout.planar and plane not in wanted:
            continue
        where = layout.where[plane * rows : (plane + 1) * rows]
        try:
            strips = [data[start : start + size] for start, size in where]
            whole = _bytes_picture(layout, strips, row_bytes, layout.height, high).tobytes()
        except MemoryError:
            raise
        except Exception:
            return {}
        step = high * row_bytes
        unpacked |= {plane * rows + row: whole[row * step : (row + 1) * step] for row in range(rows)}
    return unpacked


def _unpacked(layout: Layout, packed: bytes, row_bytes: int, lines: int) -> bytes:
    """The bytes of a strip or tile, with MSB-first bits; fewer than expected if it is damaged or truncated."""
    if layout.compression == 1:
        return packed.translate(_REVERSED) if layout.fill_order == 2 else packed
    try:
        return _bytes_picture(layout, [packed], row_bytes, lines, lines).tobytes()
    except MemoryError:
        raise
    except Exception:
        return b""


def _bytes_picture(layout: Layout, strips: Sequence[bytes], width: int, height: int, rows: int) -> Image.Image:
    """Strips with ``rows`` rows each, decoded by libtiff as a picture of bytes."""
    starts = list(accumulate((len(strip) for strip in strips), initial=8))
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    # Two columns of numbers follow the pixels; with a single strip the numbers are in the table itself.
    columns = {273: starts[:-1], 279: [len(strip) for strip in strips]}
    table_at = 8 + len(body) + (8 * len(strips) if len(strips) > 1 else 0)
    entries: dict[int, tuple[int, int, int]] = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, layout.compression), 262: (3, 1, 1),
        266: (3, 1, layout.fill_order), 277: (3, 1, 1), 278: (4, 1, rows),
    }  # fmt: skip
    tail = b""
    for tag, numbers in columns.items():
        entries[tag] = (4, len(numbers), numbers[0] if len(numbers) == 1 else 8 + len(body) + len(tail))
        tail += struct.pack(f"<{len(numbers)}I", *numbers) if len(numbers) > 1 else b""
    table = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    head = struct.pack("<2sHI", b"II", 42, table_at)
    file = head + body + tail + struct.pack("<H", len(entries)) + table + bytes(4)
    picture = TiffImagePlugin.TiffImageFile(io.BytesIO(file))
    picture.load()
    return picture


def _values(layout: Layout, rows: NDArray[np.uint8], count: int) -> NDArray[Any]:
    """(lines, values) from rows of bytes, in native byte order."""
    bits = layout.bits
    if layout.predictor == 3:
        return _from_float_differences(layout, rows, count)
    if bits in (8, 16, 32, 64):
        letter = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[layout.kind]
        stored = rows.reshape(-1).view(f"{layout.order}{letter}{bits // 8}")
        return stored.astype(stored.dtype.newbyteorder("=")).reshape(len(rows), -1)
    if layout.kind == FLOAT:
        raise unsupported(f"{bits}-bit float samples")
    if bits == 24:
        wide = rows[:, : rows.shape[1] // 3 * 3].reshape(len(rows), -1, 3).astype(np.uint32)
        first, last = (0, 2) if layout.order == ">" else (2, 0)
        return wide[..., first] << 16 | wide[..., 1] << 8 | wide[..., last]
    # Bits are packed from the highest down, independent of the file's byte order (TIFF 6.0, FillOrder).
    each = np.unpackbits(rows, axis=1)
    each = each[:, : each.shape[1] // bits * bits].reshape(len(rows), -1, bits)
    values = np.zeros(each.shape[:2], np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint64)
    for bit in range(bits):
        values = values << values.dtype.type(1) | each[..., bit]
    return values


def _from_float_differences(layout: Layout, rows: NDArray[np.uint8], count: int) -> NDArray[Any]:
    """Reference: Adobe Photoshop TIFF Technical Note 3: bytes by significance, then differences along the row."""
    size = layout.bits // 8
    bytes_ = rows.reshape(len(rows), -1, count)
    summed = np.add.accumulate(bytes_, axis=1, dtype=np.uint8).reshape(len(rows), size, -1)
    return np.ascontiguousarray(summed.transpose(0, 2, 1)).view(f">f{size}")[..., 0].astype(f"f{size}")


def _in_bytes(layout: Layout, samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Values scaled to 0..255, where 255 is the highest value."""
    if layout.kind != UNSIGNED or layout.bits in (32, 64):
        return from_wide(samples)
    if layout.bits >= 8:
        return np.asarray(samples >> (layout.bits - 8)).astype(np.uint8)
    return np.asarray(samples.astype(np.uint16) * 255 // ((1 << layout.bits) - 1)).astype(np.uint8)


def _as_image(directory: TiffDirectory, layout: Layout, samples: NDArray[Any]) -> Image.Image:
    photometric = layout.photometric
    if photometric == PALETTE:
        return Image.fromarray(directory.colours(layout.bits)[samples[..., 0]])
    if photometric in (LAB, ICC_LAB):
        # Two's complement, or an offset of 128; Pillow's unpacker expects the former.
        lab = np.asarray(samples.astype(np.uint16) >> (layout.bits - 8)).astype(np.uint8)
        if photometric == ICC_LAB:
            lab[..., 1:] ^= 128
        return Image.frombytes("LAB", (layout.width, layout.height), lab.tobytes())
    if photometric == WHITE_IS_ZERO and layout.kind == UNSIGNED:
        samples = samples.dtype.type((1 << layout.bits) - 1) - samples
    values = _in_bytes(layout, samples)
    if photometric == CMYK:
        return Image.frombytes("CMYK", (layout.width, layout.height), values.tobytes())
    if photometric == WHITE_IS_ZERO and layout.kind != UNSIGNED:
        values = 255 - values
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _with_alpha(image: Image.Image, alpha: NDArray[np.uint8], kind: int) -> Image.Image:
    pixels = np.asarray(image.convert("RGB"))
    both = Image.frombytes("RGBa" if kind == 1 else "RGBA", image.size, np.dstack([pixels, alpha]).tobytes())
    return both.convert("RGBA")

"""TIFF files of every kind, written tag by tag, including those that a library would not write.

Reference: TIFF 6.0 (Aldus, 1992); supplements 1 and 2; TIFF Technical Note 3 (floating point predictor).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, SEPARATED, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
NONE, LZW, DEFLATE, PACKBITS, ZSTD = 1, 5, 8, 32773, 50000


@dataclass(frozen=True)
class Layout:
    """How samples lie in the file.

    Args:
        compression: a number of TIFF's tag 259.
        predictor: 1 none, 2 differences, 3 floating point.
        tile: side of square tiles; 0: strips.
        rows: of a strip.
        big: BigTIFF.
    """

    order: Literal["<", ">"] = "<"
    planar: bool = False
    compression: int = NONE
    predictor: int = 1
    tile: int = 0
    rows: int = 7
    fill_order: int = 1
    big: bool = False


def tiff(
    samples: NDArray[Any],
    bits: int,
    photometric: int,
    layout: Layout | None = None,
    *,
    kind: int = UNSIGNED,
    extra: Sequence[int] = (),
    tags: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """A TIFF of (height, width, samples a pixel) values.

    Args:
        samples: integers, or floats where ``kind`` is FLOAT.
        bits: of each sample.
        extra: values of ExtraSamples: 0 unspecified, 1 premultiplied alpha, 2 alpha.
        tags: further ones: (number, type, values), type 3 is SHORT, 4 is LONG.
    """
    layout = layout or Layout()
    height, width, count = samples.shape
    planes = [samples[..., i : i + 1] for i in range(count)] if layout.planar else [samples]
    pieces = [_packed(piece, bits, kind, layout) for plane in planes for piece in _pieces(plane, layout)]
    at, where = (16 if layout.big else 8), []
    for piece in pieces:
        where.append(at)
        at += len(piece)
    body = b"".join(pieces)
    entries: list[tuple[int, int, Sequence[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits] * count),
        (259, 3, [layout.compression]),
        (262, 3, [photometric]),
        (266, 3, [layout.fill_order]),
        (277, 3, [count]),
        (284, 3, [2 if layout.planar else 1]),
        *([(317, 3, [layout.predictor])] if layout.predictor > 1 else []),
        *([(338, 3, extra)] if extra else []),
        (339, 3, [kind] * count),
        *tags,
    ]
    if layout.tile:
        entries += [(322, 4, [layout.tile]), (323, 4, [layout.tile]), (324, 4, where)]
        entries.append((325, 4, [len(piece) for piece in pieces]))
    else:
        entries += [(273, 4, where), (278, 4, [layout.rows]), (279, 4, [len(piece) for piece in pieces])]
    return _assembled(body, entries, layout)


def _pieces(plane: NDArray[Any], layout: Layout) -> Iterator[NDArray[Any]]:
    height, width, count = plane.shape
    if not layout.tile:
        for top in range(0, height, layout.rows):
            yield plane[top : top + layout.rows]
        return
    side = layout.tile
    for top in range(0, height, side):
        for left in range(0, width, side):
            tile = np.zeros((side, side, count), plane.dtype)
            part = plane[top : top + side, left : left + side]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


def _packed(piece: NDArray[Any], bits: int, kind: int, layout: Layout) -> bytes:
    """Rows of whole bytes, compressed."""
    if bits in (8, 16, 32, 64) or kind == FLOAT:
        letter = {SIGNED: "i", FLOAT: "f"}.get(kind, "u")
        values = piece.astype(f"{layout.order}{letter}{bits // 8}")
        if layout.predictor == 2:
            whole = piece.astype(f"u{bits // 8}")
            whole[:, 1:] -= whole[:, :-1].copy()
            values = whole.astype(f"{layout.order}u{bits // 8}")
        data = _float_differences(piece, bits, layout) if layout.predictor == 3 else values.tobytes()
    elif bits == 24:
        four = piece.astype(f"{layout.order}u4").view(np.uint8).reshape(-1, 4)
        data = (four[:, :3] if layout.order == "<" else four[:, 1:]).tobytes()
    else:
        rows = piece.reshape(piece.shape[0], -1).astype(np.uint32)
        each = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        data = np.packbits(each.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()
    if layout.fill_order == 2:
        data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    if layout.compression == DEFLATE:
        return zlib.compress(data)
    if layout.compression == LZW:
        return bytes(imagecodecs.lzw_encode(data))
    if layout.compression == PACKBITS:
        return bytes(imagecodecs.packbits_encode(np.frombuffer(data, np.uint8).reshape(len(piece), -1)))
    if layout.compression == ZSTD:
        return bytes(imagecodecs.zstd_encode(data))
    return data


def _float_differences(piece: NDArray[Any], bits: int, layout: Layout) -> bytes:
    count = piece.shape[2]
    rows = []
    for row in piece.astype(f">f{bits // 8}"):
        planes = np.frombuffer(row.tobytes(), np.uint8).reshape(-1, bits // 8).T.reshape(-1)
        differences = planes.copy()
        differences[count:] -= planes[:-count]
        rows.append(differences.tobytes())
    return b"".join(rows)


def _assembled(body: bytes, entries: Sequence[tuple[int, int, Sequence[int]]], layout: Layout) -> bytes:
    order, big = layout.order, layout.big
    entries = sorted({entry[0]: entry for entry in entries}.values())  # of a number the last one
    start = (16 if big else 8) + len(body)
    entry_size, head, room = (20, 8, 8) if big else (12, 2, 4)
    extra_at = start + head + entry_size * len(entries) + room
    table, extra = b"", b""
    for number, kind, values in entries:
        data = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        table += struct.pack(f"{order}HH{'Q' if big else 'I'}", number, kind, len(values))
        if len(data) <= room:
            table += data.ljust(room, b"\0")
        else:
            table += struct.pack(f"{order}{'Q' if big else 'I'}", extra_at + len(extra))
            extra += data + b"\0" * (len(data) % 2)
    mark = {"<": b"II", ">": b"MM"}[order]
    if big:
        header = mark + struct.pack(f"{order}HHHQ", 43, 8, 0, start)
        return header + body + struct.pack(f"{order}Q", len(entries)) + table + bytes(8) + extra
    header = mark + struct.pack(f"{order}HI", 42, start)
    return header + body + struct.pack(f"{order}H", len(entries)) + table + bytes(4) + extra

"""TIFF sample by sample, for what Pillow reads wrongly or not at all: any depth, planes, signs, floats, white is zero.

Pillow knows some hundred combinations of TIFF's tags by name, refuses the rest, and gets a few of those it takes wrong
(it loses the planes of 16 bits, the sense of white-is-zero, the sign of 8 bits). Here strips and tiles are taken apart
by their own arithmetic, and only their compression is left to libtiff: each is handed to it as a picture of bytes. What
no decoder here reads right is refused by name.

Reference: TIFF 6.0 (Aldus, 1992), and Adobe's supplements.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from retrieval.errors import UnreadableImage
from retrieval.pictures.colour import from_wide

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB, _ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
_PHOTOMETRICS = {
    4: "a mask", 32803: "camera raw (CFA)", 34892: "camera raw (linear)", 32844: "LogL", 32845: "LogLuv", 10: "ITU Lab",
    51177: "a depth map",
}  # fmt: skip
_SAMPLES = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _LAB: 3, _ICC_LAB: 3}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3

_BYTES = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""Compressions of bytes whatever they mean: none, LZW, deflate, PackBits, LZMA, Zstandard."""

_PACKBITS = 32773

_PILLOWS = frozenset({2, 3, 4, 6, 7, 32771})
"""Compressions of pictures that it reads in 1 or 8 bits: faxes and JPEG."""

_NAMES = {
    7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34933: "PNG", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip

_ABOUT = (271, 272, 274)
"""Maker, model, orientation."""

_BYTES_A_PIXEL = 16
"""More than that on the average of the largest picture allowed would fill the memory: hundreds of bands."""


class Layout(NamedTuple):
    """What the tags say, after they were found to make sense together.

    Args:
        bits: of each sample.
        kind: 1 unsigned, 2 signed, 3 floating point.
        channels: samples a pixel.
        extra: of the samples behind the colours: 0 unspecified, 1 alpha that colours were multiplied by, 2 alpha.
        planar: samples lie in planes of their own.
        piece: (width, height) of a strip or tile.
        where: (offset, bytes) of each.
        is_subsampled: of YCbCr, colours are coarser than light.
        is_foreign: Pillow cannot open this file at all.
    """

    width: int
    height: int
    bits: int
    kind: int
    channels: int
    photometric: int
    extra: tuple[int, ...]
    planar: bool
    compression: int
    predictor: int
    fill_order: int
    order: str
    piece: tuple[int, int]
    where: tuple[tuple[int, int], ...]
    is_subsampled: bool
    is_foreign: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of a line of a strip or tile."""
        return -(-self.piece[0] * (1 if self.planar else self.channels) * self.bits // 8)

    @property
    def is_for_us(self) -> bool:
        """False if Pillow is known to read this right (see the matrix in the tests)."""
        if self.kind != _UNSIGNED or self.planar or self.bits not in (1, 8):
            return True
        if self.compression in _PILLOWS and not self.is_foreign:
            return False
        return (
            self.is_foreign
            or self.compression not in _BYTES
            or (self.predictor > 1 and self.compression in (1, _PACKBITS))  # libtiff passes it over
            or self.fill_order != 1
            or bool(self.extra)
            or self.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK, _LAB, _YCBCR)
            or (self.photometric == _YCBCR and self.is_subsampled)
            or (self.bits == 1 and self.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO))
        )


class TiffDirectory:
    """The first directory of a TIFF file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        file = io.BytesIO(data)
        self._is_foreign = data[:4] == b"MM\0+"  # BigTIFF of this byte order, which Pillow takes for the small one
        if self._is_foreign:
            tags = TiffImagePlugin.ImageFileDirectory_v2(b"MM\0*" + data[12:16])
            tags._bigtiff = True
        else:
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if data[2:4] == b"+\0" else 8))
        file.seek(tags.next)
        tags.load(file)
        self._tags = tags

    def exif(self) -> Image.Exif:
        """The tags as those of any picture."""
        exif = Image.Exif()
        if self._is_foreign:
            exif.update({tag: value for tag in _ABOUT if (value := self._tags.get(tag)) is not None})
            return exif
        exif.bigtiff, exif.endian = self._tags._bigtiff, self._tags._endian
        exif.load_from_fp(io.BytesIO(self._data), self._tags._offset)
        return exif

    def icc_profile(self) -> bytes | None:
        """The colour profile."""
        profile = self._tags.get(34675)
        return profile if isinstance(profile, bytes) else None

    def layout(self) -> Layout:
        """How the pixels lie.

        Raises:
            UnreadableImage: in a way that is not read, by name.
        """
        bits = self._all(258) or (1,)
        compression, photometric = self._one(259, 1), self._one(262, -1)
        if photometric in _PHOTOMETRICS:
            raise _unsupported(_PHOTOMETRICS[photometric])
        if photometric == -1 or (photometric not in _SAMPLES and photometric != _YCBCR):
            raise _unsupported(f"photometric interpretation {photometric}")
        if photometric == _CMYK and self._one(332, 1) != 1:
            raise _unsupported("inks that are not CMYK")
        count = self._one(277, 1)
        bits = bits[:count] if len(bits) > 1 else bits
        if len(set(bits)) > 1:
            raise _unsupported(f"samples of {', '.join(map(str, bits))} bits")
        kinds = set(self._all(339) or (1,))
        kind = next(iter(kinds))
        if len(kinds) > 1 or kind not in (1, 2, 3, 4):
            raise _unsupported("complex samples" if kinds & {5, 6} else "samples of several kinds")
        width, height = self._one(256, 0), self._one(257, 0)
        if width < 1 or height < 1 or count < 1:
            raise UnreadableImage("damaged TIFF file")
        tile = (self._one(322, 0), self._one(323, 0))
        starts, sizes = (self._all(324), self._all(325)) if min(tile) > 0 else (self._all(273), self._all(279))
        piece = tile if min(tile) > 0 else (width, min(self._one(278, height) or height, height))
        if starts and not sizes:  # old programs left them out: a piece reaches to the next one
            ends = [*sorted(starts), len(self._data)]
            sizes = tuple(next((end for end in ends if end > start), start) - start for start in starts)
        return Layout(
            width, height, bits[0], _UNSIGNED if kind == 4 else kind, count, photometric,
            self._extra(count, photometric), self._one(284, 1) == 2 and count > 1, compression, self._one(317, 1),
            self._one(266, 1),
            ">" if self._data[:2] == b"MM" else "<", piece, tuple(zip(starts or (), sizes or (), strict=False)),
            (self._all(530) or (2, 2)) != (1, 1), self._is_foreign,
        )  # fmt: skip

    def colours(self, bits: int) -> NDArray[np.uint8]:
        """(2**bits, 3) the palette; programs that wrote bytes in place of TIFF's 16 bits are told by their values."""
        values = np.array(self._all(320) or (), dtype=np.int64)
        if bits > 16 or len(values) < 3 << bits:
            raise UnreadableImage("damaged TIFF file")
        palette = values[: 3 << bits].reshape(3, -1).T
        return np.asarray(palette >> 8 if palette.max() > 255 else palette).astype(np.uint8)

    def _extra(self, count: int, photometric: int) -> tuple[int, ...]:
        beyond = count - _SAMPLES.get(photometric, 3)
        if beyond < 0:
            raise UnreadableImage("damaged TIFF file")
        said = self._all(338) or ()
        return tuple((*said, *[0] * beyond)[:beyond])

    def _all(self, tag: int) -> tuple[int, ...] | None:
        value = self._tags.get(tag)
        values = value if isinstance(value, tuple) else (value,)
        return tuple(values) if value is not None and all(isinstance(each, int) for each in values) else None

    def _one(self, tag: int, default: int) -> int:
        values = self._all(tag)
        return values[0] if values else default


def read_samples(directory: TiffDirectory, layout: Layout, data: bytes, max_pixels: int) -> tuple[Image.Image, float]:
    """The picture in 8 bits: ``L``, ``RGB``, ``RGBA``, ``CMYK`` or ``LAB``, and the share of it that was there.

    Up to 16 bits the highest value is full; see ``colour.from_wide`` for what has no such value.

    Raises:
        UnreadableImage: a kind that is not read, by name.
    """
    _refuse_unread(layout)
    values_bytes = layout.width * layout.height * layout.channels * -(-layout.bits // 8)
    if values_bytes > _BYTES_A_PIXEL * max_pixels:
        raise UnreadableImage(f"{values_bytes >> 20} MiB of samples", "make the picture smaller")
    colours = _SAMPLES[layout.photometric]
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
    if layout.compression not in _BYTES:
        planes = "planar, " if layout.planar else ""
        kind = {_SIGNED: "signed ", _FLOAT: "float "}.get(layout.kind, "")
        by = _NAMES.get(layout.compression, f"compression {layout.compression}")
        raise _unsupported(f"{planes}{layout.bits}-bit {kind}samples in {by}")
    if layout.photometric == _YCBCR:
        raise _unsupported("subsampled YCbCr without JPEG")
    if not 1 <= layout.bits <= 64 or (layout.kind != _UNSIGNED and layout.bits not in (8, 16, 32, 64)):
        raise _unsupported(f"{layout.bits}-bit samples")
    if layout.kind == _FLOAT and layout.bits < 16:
        raise _unsupported(f"{layout.bits}-bit float samples")
    if layout.photometric in (_LAB, _ICC_LAB) and (layout.bits not in (8, 16) or layout.kind == _FLOAT):
        raise _unsupported(f"Lab of {layout.bits} bits")
    if layout.photometric == _PALETTE and (layout.kind != _UNSIGNED or layout.bits > 16):
        raise _unsupported(f"a palette of {layout.bits} bits")
    if layout.predictor not in (1, 2, 3) or (layout.predictor == 3) != (layout.kind == _FLOAT and layout.predictor > 1):
        raise _unsupported(f"predictor {layout.predictor}")
    if layout.predictor > 1 and layout.compression == 1:  # some readers add them up, others pass the tag over
        raise _unsupported("differences without compression")
    if layout.predictor == 2 and layout.bits not in (8, 16, 32, 64):
        raise _unsupported(f"differences of {layout.bits} bits")


def _samples(layout: Layout, data: bytes, wanted: list[int]) -> tuple[NDArray[Any], float]:
    """(height, width, wanted) values as they stand in the file, and the share of the pixels that could be read."""
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
            # The last strip ends with the picture, a tile never does.
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
    """(lines, width, samples) of a strip or tile, and how many lines of it were there; the others are 0.

    Args:
        known: what is in it, if it was unpacked already.
    """
    count = 1 if layout.planar else layout.channels
    row_bytes = layout.row_bytes
    raw = _unpacked(layout, packed, row_bytes, lines) if known is None else known
    there = len(raw) // row_bytes
    rows = np.frombuffer(raw.ljust(row_bytes * lines, b"\0"), np.uint8)[: row_bytes * lines].reshape(lines, row_bytes)
    # Where rows end within a byte, there is room for more values than they hold.
    values = _values(layout, rows, count)[:, : layout.piece[0] * count].reshape(lines, -1, count)
    if layout.predictor == 2:
        values = np.add.accumulate(values, axis=1, dtype=values.dtype)
    return values, min(there, lines)


def _all_strips(layout: Layout, data: bytes, wanted: list[int]) -> dict[int, bytes]:
    """The bytes of all strips by number, unpacked in one go; none if any is damaged, or needs no unpacking.

    Opening a picture for each strip would cost a file with a row a strip a second for a few megapixels.
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
    """The bytes of a strip or tile, in MSB-first bits; fewer than it should have where it is damaged or cut off."""
    if layout.compression == 1:
        return packed.translate(_REVERSED) if layout.fill_order == 2 else packed
    try:
        return _bytes_picture(layout, [packed], row_bytes, lines, lines).tobytes()
    except MemoryError:
        raise
    except Exception:
        return b""


def _bytes_picture(layout: Layout, strips: Sequence[bytes], width: int, height: int, rows: int) -> Image.Image:
    """Strips of so many rows through libtiff, as a picture of bytes."""
    starts = list(accumulate((len(strip) for strip in strips), initial=8))
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    # Two columns of numbers lie behind the pixels; where there is one strip they are in the table itself.
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
    """(lines, values) of rows of bytes, in the machine's order."""
    bits = layout.bits
    if layout.predictor == 3:
        return _from_float_differences(layout, rows, count)
    if bits in (8, 16, 32, 64):
        letter = {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}[layout.kind]
        stored = rows.reshape(-1).view(f"{layout.order}{letter}{bits // 8}")
        return stored.astype(stored.dtype.newbyteorder("=")).reshape(len(rows), -1)
    if layout.kind == _FLOAT:
        raise _unsupported(f"{bits}-bit float samples")
    if bits == 24:
        wide = rows[:, : rows.shape[1] // 3 * 3].reshape(len(rows), -1, 3).astype(np.uint32)
        first, last = (0, 2) if layout.order == ">" else (2, 0)
        return wide[..., first] << 16 | wide[..., 1] << 8 | wide[..., last]
    # Bits are packed from the highest down whatever the file's byte order (TIFF 6.0, FillOrder).
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
    """Values of 0 to 255, 255 the highest value."""
    if layout.kind != _UNSIGNED or layout.bits in (32, 64):
        return from_wide(samples)
    if layout.bits >= 8:
        return np.asarray(samples >> (layout.bits - 8)).astype(np.uint8)
    return np.asarray(samples.astype(np.uint16) * 255 // ((1 << layout.bits) - 1)).astype(np.uint8)


def _as_image(directory: TiffDirectory, layout: Layout, samples: NDArray[Any]) -> Image.Image:
    photometric = layout.photometric
    if photometric == _PALETTE:
        return Image.fromarray(directory.colours(layout.bits)[samples[..., 0]])
    if photometric in (_LAB, _ICC_LAB):
        # Two's complement, or 128 for none; Pillow's unpacker takes the first.
        lab = np.asarray(samples.astype(np.uint16) >> (layout.bits - 8)).astype(np.uint8)
        if photometric == _ICC_LAB:
            lab[..., 1:] ^= 128
        return Image.frombytes("LAB", (layout.width, layout.height), lab.tobytes())
    if photometric == _WHITE_IS_ZERO and layout.kind == _UNSIGNED:
        samples = samples.dtype.type((1 << layout.bits) - 1) - samples
    values = _in_bytes(layout, samples)
    if photometric == _CMYK:
        return Image.frombytes("CMYK", (layout.width, layout.height), values.tobytes())
    if photometric == _WHITE_IS_ZERO and layout.kind != _UNSIGNED:
        values = 255 - values
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _with_alpha(image: Image.Image, alpha: NDArray[np.uint8], kind: int) -> Image.Image:
    pixels = np.asarray(image.convert("RGB"))
    both = Image.frombytes("RGBa" if kind == 1 else "RGBA", image.size, np.dstack([pixels, alpha]).tobytes())
    return both.convert("RGBA")


def _unsupported(what: str) -> UnreadableImage:
    return UnreadableImage(f"TIFF: {what}, not supported", "save it as 8- or 16-bit RGB or grey")


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

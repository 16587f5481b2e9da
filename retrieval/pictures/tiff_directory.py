"""The tags of a TIFF file: layout and meaning of its pixels, after checking that the tags are consistent.

Reference: TIFF 6.0 (Aldus, 1992), and Adobe's supplements.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from retrieval.errors import UnreadableImage
from retrieval.pictures.raw_detection import has_directories_behind_the_end

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
_PHOTOMETRICS = {
    4: "a mask", 32803: "camera raw (CFA)", 34892: "camera raw (linear)", 32844: "LogL", 32845: "LogLuv", 10: "ITU Lab",
    51177: "a depth map",
}  # fmt: skip
SAMPLES_OF = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, LAB: 3, ICC_LAB: 3}
UNSIGNED, SIGNED, FLOAT = 1, 2, 3

BYTE_CODES = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""Compressions of arbitrary bytes: none, LZW, deflate, PackBits, LZMA, Zstandard."""

_PACKBITS = 32773

_PILLOWS = frozenset({2, 3, 4, 6, 7, 32771})
"""Compressions of pictures that Pillow reads with 1 or 8 bits: fax and JPEG."""

_ABOUT = (271, 272, 274)
"""Maker, model, orientation."""


_MOST_PIECE_PIXELS = 1 << 22
"""A tile is decoded whole, however small the picture is: a few bytes could otherwise take gigabytes."""


class Layout(NamedTuple):
    """The contents of the tags, after checking that they are consistent.

    Args:
        bits: of each sample.
        kind: 1 unsigned, 2 signed, 3 floating point.
        channels: samples per pixel.
        extra: of the samples after the colours: 0 unspecified, 1 premultiplied alpha, 2 alpha.
        planar: each channel is stored in a separate plane.
        piece: (width, height) of a strip or tile.
        where: (offset, bytes) of each.
        is_subsampled: of YCbCr, chroma has a lower resolution than luma.
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
        """Bytes of a row of a strip or tile."""
        return -(-self.piece[0] * (1 if self.planar else self.channels) * self.bits // 8)

    @property
    def is_for_us(self) -> bool:
        """False if Pillow is known to read this correctly (see the matrix in the tests)."""
        if self.kind != UNSIGNED or self.planar or self.bits not in (1, 8):
            return True
        if self.compression in _PILLOWS and not self.is_foreign:
            return False
        return (
            self.is_foreign
            or self.compression not in BYTE_CODES
            or (self.predictor > 1 and self.compression in (1, _PACKBITS))  # libtiff ignores it
            or self.fill_order != 1
            or bool(self.extra)
            or self.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, LAB, YCBCR)
            or (self.photometric == YCBCR and self.is_subsampled)
            or (self.bits == 1 and self.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO))
        )


class TiffDirectory:
    """The first directory of a TIFF file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        file = io.BytesIO(data)
        self._is_foreign = data[:4] == b"MM\0+"  # big-endian BigTIFF, which Pillow treats as classic TIFF
        if self._is_foreign:
            tags = TiffImagePlugin.ImageFileDirectory_v2(b"MM\0*" + data[12:16])
            tags._bigtiff = True
        else:
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if data[2:4] == b"+\0" else 8))
        file.seek(tags.next)
        tags.load(file)
        self._tags = tags

    def exif(self) -> Image.Exif:
        """The tags as EXIF, as for any picture."""
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
        """The layout of the pixels.

        Raises:
            UnreadableImage: an unsupported layout, which the message names.
        """
        bits = self._all(258) or (1,)
        compression, photometric = self._one(259, 1), self._one(262, -1)
        if photometric in _PHOTOMETRICS:
            raise unsupported(_PHOTOMETRICS[photometric])
        if photometric == -1:
            # In a RAW of which the end is missing, only the directory of the samples, often the last one, says so.
            if has_directories_behind_the_end(self._data):
                raise UnreadableImage("truncated, 0 % readable", "copy the file again")
            raise unsupported("no photometric interpretation")
        if photometric not in SAMPLES_OF and photometric != YCBCR:
            raise unsupported(f"photometric interpretation {photometric}")
        if photometric == CMYK and self._one(332, 1) != 1:
            raise unsupported("inks that are not CMYK")
        count = self._one(277, 1)
        bits = bits[:count] if len(bits) > 1 else bits
        if len(set(bits)) > 1:
            raise unsupported(f"samples of {', '.join(map(str, bits))} bits")
        kinds = set(self._all(339) or (1,))
        kind = next(iter(kinds))
        if len(kinds) > 1 or kind not in (1, 2, 3, 4):
            raise unsupported("complex samples" if kinds & {5, 6} else "samples of several kinds")
        width, height = self._one(256, 0), self._one(257, 0)
        if width < 1 or height < 1 or count < 1:
            raise UnreadableImage("damaged TIFF file")
        tile = (self._one(322, 0), self._one(323, 0))
        starts, sizes = (self._all(324), self._all(325)) if min(tile) > 0 else (self._all(273), self._all(279))
        piece = tile if min(tile) > 0 else (width, min(self._one(278, height) or height, height))
        if piece[0] * piece[1] > max(_MOST_PIECE_PIXELS, 4 * width * height):
            raise UnreadableImage("damaged TIFF file: its tiles are far larger than the picture")
        if starts and not sizes:  # old programs omit them: a piece ends where the next one starts
            ends = [*sorted(starts), len(self._data)]
            sizes = tuple(next((end for end in ends if end > start), start) - start for start in starts)
        return Layout(
            width, height, bits[0], UNSIGNED if kind == 4 else kind, count, photometric,
            self._extra(count, photometric), self._one(284, 1) == 2 and count > 1, compression, self._one(317, 1),
            self._one(266, 1),
            ">" if self._data[:2] == b"MM" else "<", piece, tuple(zip(starts or (), sizes or (), strict=False)),
            (self._all(530) or (2, 2)) != (1, 1), self._is_foreign,
        )  # fmt: skip

    def colours(self, bits: int) -> NDArray[np.uint8]:
        """(2**bits, 3) the palette; programs that wrote 8 instead of 16 bits are recognised by their values."""
        values = np.array(self._all(320) or (), dtype=np.int64)
        if bits > 16 or len(values) < 3 << bits:
            raise UnreadableImage("damaged TIFF file")
        palette = values[: 3 << bits].reshape(3, -1).T
        return np.asarray(palette >> 8 if palette.max() > 255 else palette).astype(np.uint8)

    def _extra(self, count: int, photometric: int) -> tuple[int, ...]:
        beyond = count - SAMPLES_OF.get(photometric, 3)
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


def unsupported(what: str) -> UnreadableImage:
    """The error for an unsupported kind of TIFF."""
    return UnreadableImage(f"TIFF: {what}, not supported", "save it as 8- or 16-bit RGB or grey")

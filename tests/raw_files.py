"""Small DNG files, made by an independent writer of TIFF."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

QUARTERS = ((220, 40, 40), (40, 180, 60), (50, 70, 220), (235, 235, 235))
"""sRGB of the top left, top right, bottom left and bottom right quarter of a scene, as it is seen."""

_TO_STORED = {
    1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2), 6: lambda p: p.transpose(1, 0, 2)[::-1],
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1], 8: lambda p: p.transpose(1, 0, 2)[:, ::-1],
}  # fmt: skip
_XYZ_TO_SRGB = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
_D65 = 21


def scene(width: int = 1200, height: int = 800, quarters: Any = QUARTERS) -> NDArray[np.uint8]:
    """(height, width, 3) sRGB, four plain quarters."""
    seen = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    seen[:top, :left], seen[:top, left:], seen[top:, :left], seen[top:, left:] = quarters
    return seen


def stored(seen: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """What a camera stores of a scene that is seen upright by that orientation."""
    return np.ascontiguousarray(_TO_STORED[orientation](seen))


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    """As cameras write them: EXIF, if there is any, comes first."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    data = file.getvalue()
    end = 4 + int.from_bytes(data[4:6], "big")
    return data[:2] + data[end:] if "exif" in options else data


def dng(
    seen: NDArray[np.uint8],
    orientation: int = 1,
    *,
    preview: bytes | None = None,
    is_linear: bool = False,
    taken: str = "2023:05:06 07:08:09",
    adobe_rgb: bool = False,
) -> bytes:
    """A DNG of a scene.

    Args:
        seen: sRGB, upright.
        orientation: of the sensor.
        preview: a JPEG inside, stored as the sensor saw it.
        is_linear: three samples a pixel, else one behind a colour filter (RGGB).
        adobe_rgb: the camera was set to Adobe RGB, which is said about the preview.
    """
    values = stored(seen, orientation) / 255.0
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    samples = np.rint(light * 65535).astype(np.uint16)
    if not is_linear:
        mosaic = samples[..., 1].copy()
        mosaic[::2, ::2] = samples[::2, ::2, 0]
        mosaic[1::2, 1::2] = samples[1::2, 1::2, 2]
        samples = mosaic
    tags: list[Any] = [
        (274, "H", 1, orientation, True),
        (271, "s", 0, "Testmaker", True),
        (272, "s", 0, "Testmaker One", True),
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50707, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Testmaker One", True),
        (50721, "2i", 9, _matrix(), True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, _D65, True),
    ]
    raw: list[Any] = [(50717, "H", 1, 65535, True)]
    if not is_linear:
        raw += [(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder="<") as writer:
        photometric: Any = 34892 if is_linear else 32803
        if preview is None:
            writer.write(samples, photometric=photometric, extratags=tags + raw, metadata=None, software=False)
        else:
            width, height = Image.open(io.BytesIO(preview)).size
            writer.write(
                iter([preview]), shape=(height, width, 3), dtype=np.uint8, photometric="ycbcr", compression="jpeg",
                subsampling=(2, 2), rowsperstrip=height, subfiletype=1, subifds=1, extratags=tags, metadata=None,
                software=False,
            )  # fmt: skip
            writer.write(samples, photometric=photometric, extratags=raw, subfiletype=0, metadata=None)
    return _with_exif(file.getvalue(), taken, adobe_rgb)


def _matrix() -> list[int]:
    return [part for value in _XYZ_TO_SRGB for part in Fraction(value).limit_denominator(10000).as_integer_ratio()]


def _with_exif(data: bytes, taken: str, adobe_rgb: bool) -> bytes:
    """With directories for EXIF and GPS behind the end, to which two tags of the first directory lead."""
    detail = Image.Exif()
    detail.endian = "<"
    detail[0x8769] = {
        0x9003: taken, 0x829A: 0.004, 0x829D: 2.8, 0x8827: 400, 0x920A: 35.0,
        0xA434: "Testlens 35mm F2", **({0xA005: {1: "R03"}} if adobe_rgb else {}),
    }  # fmt: skip
    detail[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)}
    return _grafted(data, detail)


def _grafted(data: bytes, exif: Image.Exif) -> bytes:
    """The directories of ``exif`` moved into a TIFF: its own file is appended, and its first directory rewritten."""
    block = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    base = len(data) + len(data) % 2
    pointers = {34665: 0, 34853: 0}
    _shift(block, int.from_bytes(block[4:8], "little"), base, pointers)
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    entries = [data[start + 2 + 12 * n : start + 14 + 12 * n] for n in range(count)]
    entries += [
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + place.to_bytes(4, "little") for tag, place in pointers.items()
    ]
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    following = data[start + 2 + 12 * count : start + 6 + 12 * count]
    directory = len(entries).to_bytes(2, "little") + b"".join(entries) + following
    whole = data + bytes(base - len(data)) + bytes(block) + bytes(len(block) % 2)
    return whole[:4] + len(whole).to_bytes(4, "little") + whole[8:] + directory


def _shift(block: bytearray, start: int, base: int, pointers: dict[int, int]) -> None:
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8, 12: 8, 13: 4}
    for n in range(int.from_bytes(block[start : start + 2], "little")):
        at = start + 2 + 12 * n
        tag, kind = (int.from_bytes(block[at + i : at + i + 2], "little") for i in (0, 2))
        length = int.from_bytes(block[at + 4 : at + 8], "little")
        value = int.from_bytes(block[at + 8 : at + 12], "little")
        if tag in (34665, 34853, 40965):
            _shift(block, value, base, pointers)
            if tag in pointers:
                pointers[tag] = value + base
        elif sizes[kind] * length <= 4:
            continue
        block[at + 8 : at + 12] = (value + base).to_bytes(4, "little")


def tiled_dng(seen: NDArray[np.uint8], side: int = 400) -> tuple[bytes, list[int]]:
    """A DNG whose samples are lossy JPEGs in tiles (three samples a pixel), as converters write them; and the offsets
    of the tiles."""
    height, width = seen.shape[:2]
    tiles = [jpeg(seen[y : y + side, x : x + side]) for y in range(0, height, side) for x in range(0, width, side)]
    tags: list[Any] = [
        (271, "s", 0, "Testmaker", True),
        (272, "s", 0, "Testmaker One", True),
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Testmaker One", True),
        (50717, "H", 1, 255, True),
        (50721, "2i", 9, _matrix(), True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, _D65, True),
    ]  # fmt: skip
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder="<") as writer:
        writer.write(
            iter(tiles), shape=(height, width, 3), dtype=np.uint8, photometric=34892, compression=34892,
            tile=(side, side), extratags=tags, metadata=None, software=False,
        )  # fmt: skip
    data = file.getvalue()
    return data, [data.find(tile) for tile in tiles]


def mrw(tiff: bytes) -> bytes:
    """The start of a Minolta RAW: a block of its own about the sensor, then the TIFF with its EXIF; no samples."""
    blocks = b"\0PRD" + (24).to_bytes(4, "big") + bytes(24) + b"\0TTW" + len(tiff).to_bytes(4, "big") + tiff
    return b"\0MRM" + len(blocks).to_bytes(4, "big") + blocks

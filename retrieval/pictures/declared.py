"""Colours that a file declares without a profile: in the chunks of a PNG, or by the code points of an AVIF or HEIF.

They are converted to an ICC profile, so that all later steps are the same as for files with a profile. The precedence
in a PNG is that of the third edition: cICP, iCCP, sRGB, then gAMA and cHRM. References: PNG (third edition), 11.3.2;
ITU-T H.273, tables 2 and 3; ITU-R BT.2100 for PQ and HLG; ICC.1:2001-04 for the profile.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

KEY = "declared_colour"
"""The key in ``Image.info`` of the result, a :class:`Declared`."""

Curve = float | str
"""The transfer function from values to light: a gamma, or ``sRGB``, ``PQ``, ``HLG``."""

_D65 = (0.3127, 0.3290)
_SRGB = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES = {
    1: _SRGB,
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_CURVES: dict[int, Curve] = {4: 2.2, 5: 2.8, 8: 1.0, 16: "PQ", 18: "HLG"}
"""All others are treated as sRGB: cameras and viewers use it in place of BT.709's curve."""

_WHITE_NITS = 203.0  # of an HDR picture (BT.2408); anything brighter is white
_GAMMA = 1 / 2.2
_ALIKE = 0.05  # relative; libpng also treats such gammas as equal, and 1 / 2.2 as sRGB's curve
_CHUNKS_BEFORE = 1 << 20  # a PNG's cICP, or the boxes of an AVIF, are searched in this many bytes
_STEPS = 4096
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


class Declared(NamedTuple):
    """x and y of white, red, green and blue; and the transfer function."""

    primaries: tuple[float, ...]
    curve: Curve


ADOBE_RGB = Declared((*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256)
"""For cameras that were set to it. Reference: Adobe RGB (1998), 4.3."""


def declare(image: Image.Image, name: str, data: bytes) -> None:
    """Store in ``image.info`` the colours that its file declares other than by a profile, unless they are sRGB.

    Args:
        name: the format, as in ``formats.sniff``.
        data: the whole file.
    """
    found = None
    if name == "PNG":
        found = _of_png(image, data)
    elif name in ("AVIF", "HEIF") and not image.info.get("icc_profile"):
        found = _of_numbers(_box(data))
    if found is not None and found != Declared(_SRGB, "sRGB") and _is_sound(found.primaries):
        image.info[KEY] = found


def _of_png(image: Image.Image, data: bytes) -> Declared | None:
    coded = _chunk(data, b"cICP")
    if coded is not None and len(coded) == 4 and coded[0] != 2:
        return _of_numbers((coded[0], coded[1]))
    info = image.info
    if info.get("icc_profile") or "srgb" in info:
        return None
    gamma, corners = info.get("gamma"), info.get("chromaticity")
    if not gamma and not corners:
        return None
    is_usual = not gamma or abs(gamma / _GAMMA - 1) < _ALIKE
    curve: Curve = "sRGB" if is_usual or not gamma else min(max(1 / gamma, 0.2), 10.0)
    primaries = tuple(corners) if corners and len(corners) == 8 else _SRGB
    is_srgb = max(abs(one - other) for one, other in zip(primaries, _SRGB, strict=True)) < 0.002
    return Declared(_SRGB if is_srgb else primaries, curve)


def _of_numbers(numbers: tuple[int, int] | None) -> Declared | None:
    """H.273's primaries and transfer characteristics."""
    if numbers is None:
        return None
    return Declared(_PRIMARIES.get(numbers[0], _SRGB), _CURVES.get(numbers[1], "sRGB"))


def _chunk(data: bytes, wanted: bytes) -> bytes | None:
    """A chunk of a PNG, if it precedes the pixels."""
    at = 8
    while at + 8 <= min(len(data), _CHUNKS_BEFORE):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == wanted:
            return data[at + 8 : at + 8 + size]
        if kind == b"IDAT":
            return None
        at += 12 + size
    return None


def _box(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer characteristics of the first ``colr`` box that contains numbers."""
    at = data.find(b"colrnclx", 0, _CHUNKS_BEFORE)
    if at < 0 or at + 12 > len(data):
        return None
    primaries, transfer = struct.unpack_from(">HH", data, at + 8)
    return primaries, transfer


def _is_sound(primaries: tuple[float, ...]) -> bool:
    """False for impossible or collinear primaries: such a file is treated as if it declared nothing."""
    (_, wy, rx, ry, gx, gy, bx, by) = primaries
    area = abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry))
    return all(0 <= value <= 1 for value in primaries) and min(wy, ry, gy) > 0.01 and by > 0 and area > 0.01


class GreyTable:
    """Grey values of a declared curve to sRGB, exact even in the shadows, where a profile's grey path is coarse."""

    def __init__(self, curve: Curve) -> None:
        linear = light(np.linspace(0, 1, 256), curve)
        shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        self._table = np.rint(255 * shown).astype(np.uint8).tolist()

    def apply(self, image: Image.Image) -> Image.Image:
        """An ``L`` picture in sRGB."""
        return image.point(self._table)


@lru_cache(maxsize=16)
def grey_table(declared: Declared) -> GreyTable:
    """For ``L`` pictures, for which the primaries do not matter."""
    return GreyTable(declared.curve)


@lru_cache(maxsize=16)
def profile_of(declared: Declared) -> bytes:
    """An ICC profile for ``RGB`` pictures."""
    curve = _curve_tag(declared.curve)
    columns = _matrix(declared.primaries).T
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags = {b"wtpt": _xyz(_D50), **dict(zip(names, map(_xyz, columns), strict=True))}
    return _file(b"RGB ", {**tags, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve})


def light(values: NDArray[np.float64], curve: Curve) -> NDArray[np.float64]:
    """Linear light of values from 0 to 1, where 1 is white; what is brighter in an HDR picture is clipped to white."""
    if isinstance(curve, float):
        return values**curve
    if curve == "PQ":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = values ** (1 / m2)
        nits = 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
        return np.minimum(nits / _WHITE_NITS, 1.0)
    if curve == "HLG":
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
        return np.minimum(1000 * scene**1.2 / _WHITE_NITS, 1.0)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _matrix(primaries: tuple[float, ...]) -> NDArray[np.float64]:
    """(3, 3) from linear light of the primaries to XYZ, adapted to D50 (Bradford)."""
    white, *corners = (
        np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in zip(primaries[::2], primaries[1::2], strict=True)
    )
    columns = np.stack(corners, axis=1)
    to_xyz = columns * np.linalg.solve(columns, white)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ to_xyz)


def _curve_tag(curve: Curve) -> bytes:
    table = np.rint(65535 * light(np.linspace(0, 1, _STEPS), curve)).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", _STEPS) + table.tobytes()


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _fixed(values: NDArray[np.float64]) -> bytes:
    return np.rint(values * 65536).astype(">i4").tobytes()


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A display profile of version 2 in XYZ; equal tags share their data."""
    start = 128 + 4 + 12 * len(tags)
    places: dict[bytes, int] = {}
    body, table = b"", struct.pack(">I", len(tags))
    for name, value in tags.items():
        if value not in places:
            places[value] = start + len(body)
            body += value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", places[value], len(value))
    head = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    return (head + _fixed(_D50)).ljust(128, b"\0") + table + body

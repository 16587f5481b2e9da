"""Colours declared without a profile: pixels compared with independent formulas, and what must not change."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retrieval.pictures.images import read_whole

SIDE = 64
P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
RAMP = np.arange(256, dtype=np.uint8)


def colours() -> NDArray[np.uint8]:
    """(64, 64, 3): a cube of 16 steps a side, each colour once."""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(SIDE, SIDE, 3)


def png(pixels: NDArray[np.uint8], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks behind its head."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    data = out.getvalue()
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:33] + made + data[33:]


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def chrm(corners: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(each * 100_000) for each in corners))


def cicp(primaries: int, transfer: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes([primaries, transfer, 0, 1])


def seen(data: bytes) -> NDArray[np.int64]:
    picture = read_whole(data, 4096)
    return np.asarray(picture).astype(np.int64)


def encoded(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light as sRGB's values, 0 to 255."""
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def decoded(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    part = values / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def between(corners: tuple[float, ...]) -> NDArray[np.float64]:
    """(3, 3) from light of these primaries to that of sRGB; both are under the same white."""

    def to_xyz(given: tuple[float, ...]) -> NDArray[np.float64]:
        xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in zip(given[::2], given[1::2], strict=True)]).T
        return xyz[:, 1:] * np.linalg.solve(xyz[:, 1:], xyz[:, 0])

    return np.linalg.solve(to_xyz(SRGB), to_xyz(corners))


@pytest.mark.parametrize("gamma", [1.0, 0.7, 1 / 1.8, 0.3])
def test_gama(gamma: float) -> None:
    wanted = encoded((colours() / 255) ** (1 / gamma))
    assert np.abs(seen(png(colours(), gama(gamma))) - wanted).max() <= 2
    grey = np.tile(RAMP, (8, 1))
    wanted = np.repeat(encoded((grey / 255) ** (1 / gamma))[..., None], 3, axis=-1)
    assert np.abs(seen(png(grey, gama(gamma))) - wanted).max() <= 2


@pytest.mark.parametrize("chunks", [(chrm(P3),), (chrm(P3), gama(1 / 2.2)), (cicp(12, 13),), (gama(1.0), cicp(12, 13))])
def test_primaries(chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    wanted = encoded(decoded(colours()) @ between(P3).T)
    found = seen(png(colours(), *chunks))
    assert np.abs(found - wanted).max() <= 2
    assert np.abs(found - colours()).max() > 20


def test_hdr_white_is_that_of_paper_and_brighter_is_white() -> None:
    """PQ: 203 nits are 58 % of the values (BT.2408); HLG: 75 %."""
    grey = np.repeat(np.tile(RAMP, (8, 1))[..., None], 3, axis=-1)
    for transfer, white, half in ((16, 0.581, 0.4403), (18, 0.75, 0.5)):
        row = seen(png(grey, cicp(9, transfer)))[0, :, 0]
        assert (row[round(255 * white) :] >= 253).all() and row[0] <= 1
        assert (np.diff(row) >= 0).all() and row[round(255 * white) - 8] < 252
        assert 0 < row[round(255 * half)] < 240
    nits = 100.0
    root = (nits / 10000) ** (2610 / 16384)
    value = ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)
    row = seen(png(grey, cicp(9, 16)))[0, :, 0]
    assert abs(row[round(255 * value)] - encoded(np.array(nits / 203))) <= 4  # eight bits of PQ are coarse


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (gama(0.45455),),
        (gama(0.46), chrm(SRGB)),
        (chrm(SRGB),),
        (cicp(1, 13),),
        (cicp(1, 1),),
        (cicp(2, 2),),
        (gama(1.0), (b"sRGB", b"\0")),
        (gama(0),),
        (chrm((0.3127, 0.329, 0.64, 0.33, 0.64, 0.33, 0.15, 0.06)),),
        ((b"cICP", b"\1"),),
        (cicp(200, 200),),
    ],
)
def test_srgb_by_other_names_and_nonsense_change_nothing(chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    assert np.array_equal(seen(png(colours(), *chunks)), colours())


def test_a_profile_is_before_gama_and_behind_cicp() -> None:
    from PIL import ImageCms

    out = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(colours()).save(out, "PNG", icc_profile=profile)
    data = out.getvalue()
    kind, body = gama(1.0)
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    assert np.array_equal(seen(data[:33] + chunk + data[33:]), colours())
    kind, body = cicp(12, 13)
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    wanted = encoded(decoded(colours()) @ between(P3).T)
    assert np.abs(seen(data[:33] + chunk + data[33:]) - wanted).max() <= 2


def coded(name: str) -> bytes:
    """A picture of four flat colours."""
    if name == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif")
        out = io.BytesIO()
        pillow_heif.from_pillow(Image.fromarray(patches())).save(out, quality=-1, chroma=444)
        return out.getvalue()
    out = io.BytesIO()
    Image.fromarray(patches()).save(out, "AVIF", quality=100, subsampling="4:4:4")
    return out.getvalue()


def patches() -> NDArray[np.uint8]:
    four = np.array([[[200, 40, 40], [40, 200, 40]], [[40, 40, 200], [120, 120, 120]]], np.uint8)
    return four.repeat(SIDE, 0).repeat(SIDE, 1)


@pytest.mark.parametrize("name", ["AVIF", "HEIF"])
@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (1, 8), (9, 16)])
def test_numbers_of_an_avif_and_a_heif(name: str, primaries: int, transfer: int) -> None:
    """The same file with other numbers, whose YCbCr is as it was: what was decoded, translated like a PNG's."""
    data = coded(name)
    at = data.find(b"colrnclx") + 8
    assert at > 8
    plain = seen(data).astype(np.uint8)
    assert np.abs(plain.astype(int) - patches()).max() <= 4
    changed = data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
    wanted = seen(png(plain, cicp(primaries, transfer)))
    assert np.abs(seen(changed) - wanted).max() <= 1 and np.abs(wanted - plain).max() > 10


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_against_another_reader(bits: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    deep = np.rint(colours().astype(np.float64) / 255 * (2**bits - 1)).astype(np.uint16)
    data = imagecodecs.avif_encode(deep, bitspersample=bits, level=100)
    other = np.rint(imagecodecs.avif_decode(data) / (2**bits - 1) * 255)
    assert np.abs(seen(data) - other).max() <= 1 and np.abs(other - colours()).max() <= 3

"""Every kind of TIFF is read correctly or refused by name: our values compared with those of an independent reader."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures.images import read_cut_out, read_picture, read_whole
from tests.tiff_files import (
    BLACK_IS_ZERO,
    CIELAB,
    DEFLATE,
    FLOAT,
    ICCLAB,
    LZW,
    NONE,
    PACKBITS,
    PALETTE,
    RGB,
    SEPARATED,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    YCBCR,
    ZSTD,
    Layout,
    tiff,
)

WIDTH, HEIGHT = 37, 22
COLOURS = ((230, 30, 30), (30, 200, 30), (30, 30, 230), (230, 220, 30))
GREYS = (64, 128, 191, 255)

LAYOUTS = [
    Layout(order, planar, compression, tile=tile, fill_order=fill)
    for order in ("<", ">")
    for planar in (False, True)
    for compression in (NONE, LZW, DEFLATE, PACKBITS, ZSTD)
    for tile in (0, 16)
    for fill in (1, 2)
    if not (fill == 2 and (compression != NONE or tile)) and not (tile and compression in (LZW, PACKBITS, ZSTD))
]


def quarters(values: Sequence[Sequence[float]]) -> NDArray[Any]:
    """(HEIGHT, WIDTH, samples): a value for each quarter of the picture."""
    made = np.zeros((HEIGHT, WIDTH, len(values[0])), np.float64)
    for value, top, left in zip(values, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
        made[top * (HEIGHT // 2) :, left * (WIDTH // 2) :] = value
        if not left:
            made[top * (HEIGHT // 2) :, WIDTH // 2 :] = values[2 * top + 1]
    return made


def seen(data: bytes) -> list[tuple[int, int, int]]:
    """The colours in the middle of the quarters."""
    picture = read_whole(data, 64)
    assert picture.size == (WIDTH, HEIGHT)
    return [picture.getpixel((x, y)) for y in (5, 16) for x in (8, 28)]  # type: ignore[misc]


def same(found: Sequence[Sequence[int]], wanted: Sequence[Any], most: int = 1) -> bool:
    whole = [(value,) * 3 if isinstance(value, int) else value for value in wanted]
    return bool(np.abs(np.subtract(found, whole)).max() <= most)


def scaled(colours: Sequence[Any], bits: int, *, float_: bool = False) -> tuple[NDArray[Any], list[Any]]:
    """Samples of so many bits, and the colours in 8 bits that they stand for."""
    each = [colour if isinstance(colour, tuple) else (colour,) for colour in colours]
    if float_:
        return quarters([[part / 255 for part in colour] for colour in each]), list(colours)
    top = 2**bits - 1
    values = [[round(part * top / 255) for part in colour] for colour in each]
    shown: list[Any] = [tuple(round(value * 255 / top) for value in parts) for parts in values]
    return quarters(values), [parts[0] if len(parts) == 1 else parts for parts in shown]


def inverted(greys: Sequence[int]) -> list[int]:
    return [255 - grey for grey in greys]


def name(layout: Layout) -> str:
    return f"{layout.order}{'planar' if layout.planar else ''}-{layout.compression}-{layout.tile}-{layout.fill_order}"


@pytest.mark.parametrize("layout", LAYOUTS, ids=name)
def test_every_depth_photometric_and_sign(layout: Layout) -> None:
    wrong: list[str] = []

    def check(what: str, data: bytes, wanted: Sequence[Any], most: int = 1) -> None:
        found = seen(data)
        if not same(found, wanted, most):
            wrong.append(f"{what}: {found} and not {wanted}")

    if not layout.planar:
        few = layout.compression != NONE or bool(layout.tile)
        for bits in (1, 8, 12, 16) if few else (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32):
            samples, greys = scaled(GREYS, bits)
            for photometric, wanted in ((BLACK_IS_ZERO, greys), (WHITE_IS_ZERO, inverted(greys))):
                check(f"grey {bits}, {photometric}", tiff(samples, bits, photometric, layout), wanted)
        for bits in (16, 32, 64):
            samples, greys = scaled(GREYS, bits, float_=True)
            for photometric, wanted in ((BLACK_IS_ZERO, greys), (WHITE_IS_ZERO, inverted(greys))):
                check(f"float {bits}, {photometric}", tiff(samples, bits, photometric, layout, kind=FLOAT), wanted)
        for bits in (8, 16, 32):
            # Without a highest value: from the lowest to the highest.
            samples = quarters([[-90], [-30], [30], [90]])
            check(f"signed {bits}", tiff(samples, bits, BLACK_IS_ZERO, layout, kind=SIGNED), [0, 85, 170, 255])
            samples = quarters([[0], [30], [60], [120]])
            check(f"no sign {bits}", tiff(samples, bits, BLACK_IS_ZERO, layout, kind=SIGNED), [0, 30, 60, 120])
        for bits in (4, 8) if few else (1, 2, 4, 8, 12, 16):
            at = (0, 1, 2**bits - 2, 2**bits - 1)
            for factor in (257, 1):  # some write bytes in place of TIFF's 16 bits
                table = np.zeros((3, 2**bits), int)
                for index, colour in zip(at, COLOURS, strict=True):
                    table[:, index] = [part * factor for part in colour]
                wanted = [tuple((table[:, index] // factor).tolist()) for index in at]
                tags = [(320, 3, table.reshape(-1).tolist())]
                check(f"palette {bits}", tiff(quarters([[i] for i in at]), bits, PALETTE, layout, tags=tags), wanted)
    for bits in (1, 2, 4, 8, 10, 12, 16, 32):
        samples, colours = scaled(COLOURS, bits)
        check(f"RGB {bits}", tiff(samples, bits, RGB, layout), colours)
    for bits in (16, 32, 64):
        samples, colours = scaled(COLOURS, bits, float_=True)
        check(f"RGB float {bits}", tiff(samples, bits, RGB, layout, kind=FLOAT), colours)
    for bits in (8, 16):
        top = 2**bits - 1
        for extra in ((0,), (1,), (2,), (0, 0), (2, 0)):
            for photometric, shades in ((RGB, COLOURS), (BLACK_IS_ZERO, GREYS)):
                samples, wanted = scaled(shades, bits)
                full = np.concatenate([samples, np.full((HEIGHT, WIDTH, len(extra)), top)], axis=2)
                check(f"{photometric} {bits} and {extra}", tiff(full, bits, photometric, layout, extra=extra), wanted)
        inks = [[0, 0.9, 0.9, 0], [0.9, 0, 0.9, 0], [0.9, 0.9, 0, 0], [0, 0, 0, 0.5]]
        samples = np.rint(quarters(inks) * top)
        wanted = [(255, 26, 26), (26, 255, 26), (26, 26, 255), (128, 128, 128)]
        check(f"CMYK {bits}", tiff(samples, bits, SEPARATED, layout), wanted, 2)
        lab = quarters([[top // 4, 0, 0], [top // 2, 0, 0], [round(top * 0.75), 0, 0], [top, 0, 0]])
        check(f"Lab {bits}", tiff(lab, bits, CIELAB, layout), [59, 118, 185, 255], 3)
        lab[..., 1:] = 128 << (bits - 8)
        check(f"ICC Lab {bits}", tiff(lab, bits, ICCLAB, layout), [59, 118, 185, 255], 3)
    assert wrong == []


def test_the_generator_writes_what_an_independent_reader_reads() -> None:
    for layout in LAYOUTS:
        for bits in (8, 16, 32):
            samples, _ = scaled(COLOURS, bits)
            found = tifffile.imread(io.BytesIO(tiff(samples, bits, RGB, layout)))
            if layout.planar:
                found = found.transpose(1, 2, 0)
            assert np.array_equal(found, samples), (name(layout), bits)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize(
    ("compression", "predictor", "big"),
    [
        (None, False, True), ("zlib", True, True), ("zlib", True, False), ("lzw", True, False), ("zstd", False, False),
        ("lzma", True, False), ("packbits", True, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_tifffile_writes(kind: str, compression: str | None, predictor: bool, order: Any, big: bool) -> None:
    y, x = np.mgrid[0:40, 0:48]
    colours = np.stack([x * 5 % 256, y * 6 % 256, (x + y) * 3 % 256], axis=-1) / 255
    top = 1 if kind[0] == "f" else 2 ** (8 * int(kind[1])) - 1
    for planar in ("contig", "separate"):
        for photometric in ("rgb", "minisblack", "miniswhite"):
            if photometric != "rgb" and planar == "separate":
                continue
            wanted = colours if photometric == "rgb" else np.repeat(colours[..., :1], 3, axis=-1)
            samples = (wanted if photometric == "rgb" else wanted[..., 0]) * top
            samples = (np.floor(samples) if top > 1 else samples).astype(kind)
            if planar == "separate":
                samples = np.ascontiguousarray(samples.transpose(2, 0, 1))
            for tile in (None, (16, 16)):
                out = io.BytesIO()
                tifffile.imwrite(
                    out, samples, photometric=photometric, planarconfig=planar if photometric == "rgb" else None,
                    compression=compression, predictor=predictor or None, byteorder=order, tile=tile, bigtiff=big,
                )  # fmt: skip
                found = np.asarray(read_whole(out.getvalue(), 64)).astype(float)
                shown = 255 * (1 - wanted if photometric == "miniswhite" else wanted)
                assert np.abs(found - shown).max() < 1.6, (planar, photometric, tile)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (tiff(quarters([[9, 9, 9]] * 4), 8, YCBCR), "subsampled YCbCr without JPEG"),
        (tiff(quarters([[9]] * 4), 16, 32803), "camera raw"),
        (tiff(quarters([[9]] * 4), 16, 32844), "LogL"),
        (tiff(quarters([[9] * 4] * 4), 8, SEPARATED, tags=[(332, 3, [2])]), "inks that are not CMYK"),
        (tiff(quarters([[9] * 3] * 4), 12, CIELAB), "Lab of 12 bits"),
        (tiff(quarters([[9] * 3] * 4), 16, RGB, Layout(compression=34712)), "16-bit samples in JPEG 2000"),
        (tiff(quarters([[9] * 3] * 4), 16, RGB, Layout(planar=True, compression=7)), "planar, 16-bit samples in JPEG"),
        (tiff(quarters([[9]] * 4), 8, BLACK_IS_ZERO, Layout(compression=50002)), "8-bit samples in JPEG XL"),
        (tiff(quarters([[9]] * 4), 12, BLACK_IS_ZERO, Layout(compression=LZW, predictor=2)), "differences of 12 bits"),
        (tiff(quarters([[9]] * 4), 8, BLACK_IS_ZERO, Layout(predictor=2)), "differences without compression"),
        (tiff(quarters([[9]] * 4), 8, 77), "photometric interpretation 77"),
        (tiff(quarters([[9]] * 4), 8, BLACK_IS_ZERO, kind=5), "complex samples"),
    ],
)
def test_what_is_not_read_is_refused_by_name(data: bytes, named: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        read_picture(data, Preprocessing(32))
    assert re.fullmatch(rf"TIFF: {named}.*, not supported", caught.value.reason)


def test_samples_of_different_depths_are_refused_by_name() -> None:
    data = tiff(quarters([[9] * 3] * 4), 8, RGB, tags=[(258, 3, [5, 6, 5])])
    with pytest.raises(UnreadableImage, match="samples of 5, 6, 5 bits"):
        read_picture(data, Preprocessing(32))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
def test_alpha_is_alpha_and_premultiplied_colours_come_back(bits: int, planar: bool) -> None:
    top = 2**bits - 1
    straight = quarters([[top, 0, 0, top // 2]] * 4)
    multiplied = quarters([[top // 2, 0, 0, top // 2]] * 4)
    for samples, kind in ((straight, 2), (multiplied, 1)):
        data = tiff(samples, bits, RGB, Layout(planar=planar), extra=(kind,))
        pixel = read_cut_out(data).getpixel((5, 5))
        assert np.abs(np.subtract(pixel, (255, 0, 0, 127))).max() <= 2  # type: ignore[arg-type]
        assert same(seen(data), [(255, 128, 128)] * 4, 2)


def test_orientation_profile_and_camera_of_what_pillow_does_not_read() -> None:
    made = tiff(quarters([[60000, 0, 0]] * 4), 16, RGB, Layout(planar=True), tags=[(274, 3, [6])])
    picture = read_picture(made, Preprocessing(32))
    assert (picture.width, picture.height, picture.exif.orientation) == (HEIGHT, WIDTH, 6)


def test_too_many_bands_are_refused_before_they_are_read() -> None:
    data = tiff(np.zeros((4, 4, 400)), 16, BLACK_IS_ZERO, extra=(0,) * 399)
    with pytest.raises(UnreadableImage, match="of samples"):
        read_picture(data, Preprocessing(32), max_pixels=16)
    assert isinstance(read_whole(data, 4), Image.Image)


def test_wide_values_by_what_they_hold() -> None:
    for bits, values, wanted in (
        (32, (0, 64, 128, 255), [0, 64, 128, 255]),
        (32, (0, 16384, 32768, 65535), [0, 64, 128, 255]),
        (32, (0, 2**30, 2**31, 2**32 - 1), [0, 64, 128, 255]),
        (32, (100_000, 200_000, 300_000, 400_000), [0, 85, 170, 255]),
    ):
        data = tiff(quarters([[value] for value in values]), bits, BLACK_IS_ZERO, kind=UNSIGNED)
        assert same(seen(data), wanted)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tile_far_larger_than_the_picture_is_refused_before_it_is_made(bits: int) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((16, 16), 77, f"<u{bits // 8}"), tile=(16, 16))
    data = bytearray(file.getvalue())
    assert read_whole(bytes(data), 16).size == (16, 16)
    start = int.from_bytes(data[4:8], "little")
    for at in range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12):
        if int.from_bytes(data[at : at + 2], "little") in (322, 323):  # width and height of tiles
            data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 60_000)  # a LONG
    with pytest.raises(UnreadableImage, match="far larger than the picture"):
        read_whole(bytes(data), 16)

"""Our pixels compared with open_clip's own preprocessing, and with the resize and crop of which it consists."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from retrieval.encoders.base import Preprocessing
from retrieval.pictures.images import read_picture

# The resize of every family that open_clip knows: CLIP, DFN5B and SigLIP, MobileCLIP, PE; and the built-in 64.
FAMILIES = [
    Preprocessing(224, "shortest", "bicubic"),
    Preprocessing(256, "shortest", "bicubic"),
    Preprocessing(64, "shortest", "bicubic"),
    Preprocessing(256, "squash", "bicubic"),
    Preprocessing(256, "shortest", "bilinear"),
    Preprocessing(336, "squash", "bilinear"),
]
# Odd sides, sides next to a multiple of 8, sides whose long side ends on .0 when scaled, enlargements.
SIZES = [(641, 480), (1023, 1537), (897, 1344), (500, 333), (2047, 1031), (1801, 1201), (3001, 1999), (37, 53)]
SMALL = [(500, 333), (333, 500), (225, 224), (256, 256), (31, 97), (447, 448), (1, 1), (700, 90)]

Upright = Callable[[Image.Image], NDArray[np.uint8]]


def name(preprocessing: Preprocessing) -> str:
    return f"{preprocessing.resize}-{preprocessing.interpolation}-{preprocessing.size}"


@cache
def natural(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth noise of several octaves with a few hard edges: falls off with frequency as photographs do."""
    random = np.random.default_rng([seed, width, height])
    total = np.zeros((height, width, 3), np.float32)
    for cells, amplitude in ((3, 70), (9, 40), (30, 20), (100, 8)):
        grid = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        total += (np.asarray(layer, np.float32) - 127) * (amplitude / 127)
    y, x = np.mgrid[0:height, 0:width]
    total[(2 * x + 3 * y) % (width + height) < (width + height) // 8] += 50
    return Image.fromarray((total + 127).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, image_format: str, orientation: int = 1, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, image_format, exif=exif, **options)
    return out.getvalue()


@cache
def upright(data: bytes) -> Image.Image:
    """Fully decoded, turned and RGB: what open_clip should have been given."""
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def two_steps(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The definition: resize all of it, then crop."""
    size, filters = preprocessing.size, Image.Resampling
    resample = filters.BICUBIC if preprocessing.interpolation == "bicubic" else filters.BILINEAR
    if preprocessing.resize == "squash":
        return np.asarray(image.resize((size, size), resample)).transpose(2, 0, 1)
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(size * long / short)
    resized = image.resize((size, scaled) if width <= height else (scaled, size), resample)
    left, top = round((resized.width - size) / 2.0), round((resized.height - size) / 2.0)
    return np.asarray(resized.crop((left, top, left + size, top + size))).transpose(2, 0, 1)


@pytest.fixture(params=FAMILIES, ids=name)
def family(request: pytest.FixtureRequest) -> Preprocessing:
    preprocessing: Preprocessing = request.param
    return preprocessing


@pytest.fixture
def open_clip_pixels(family: Preprocessing) -> Upright:
    """open_clip's image_transform, without the normalisation, as uint8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transforms = pytest.importorskip("open_clip.transform")
    transform = transforms.image_transform(
        family.size,
        is_train=False,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        resize_mode=family.resize,
        interpolation=family.interpolation,
    )

    def pixels(image: Image.Image) -> NDArray[np.uint8]:
        return np.rint(transform(image).numpy() * 255).astype(np.uint8)

    return pixels


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_jpeg_stays_above_50_db_of_open_clip(
    family: Preprocessing, size: tuple[int, int], open_clip_pixels: Upright
) -> None:
    data = saved(natural(*size), "JPEG", quality=90)
    ours = read_picture(data, family).pixels
    assert psnr(ours, open_clip_pixels(upright(data))) >= 50


@pytest.mark.torch
@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_jpeg_stays_above_50_db_of_open_clip(
    family: Preprocessing, orientation: int, open_clip_pixels: Upright
) -> None:
    # 1023 and 1537 leave a remainder at 1/2, 1/4 and 1/8: an edge on the wrong side would show.
    data = saved(natural(1537, 1023), "JPEG", orientation, quality=90)
    ours = read_picture(data, family).pixels
    assert psnr(ours, open_clip_pixels(upright(data))) >= 50


@pytest.mark.torch
@pytest.mark.parametrize("size", SMALL, ids=str)
def test_undrafted_pictures_equal_open_clip(
    family: Preprocessing, size: tuple[int, int], open_clip_pixels: Upright
) -> None:
    data = saved(natural(*size), "PNG")
    assert psnr(read_picture(data, family).pixels, open_clip_pixels(upright(data))) >= 80


@pytest.mark.parametrize("size", SMALL, ids=str)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_one_resize_equals_resize_then_crop(family: Preprocessing, size: tuple[int, int], orientation: int) -> None:
    data = saved(natural(*size), "PNG", orientation)
    picture = read_picture(data, family)
    reference = upright(data)
    assert (picture.width, picture.height) == reference.size
    assert psnr(picture.pixels, two_steps(reference, family)) >= 80


@pytest.mark.parametrize("orientation", range(1, 9))
def test_drafted_jpeg_is_near_resize_then_crop(family: Preprocessing, orientation: int) -> None:
    data = saved(natural(2045, 1365), "JPEG", orientation, quality=90)
    assert psnr(read_picture(data, family).pixels, two_steps(upright(data), family)) >= 50


def test_grey_jpeg_equals_its_rgb_reference(family: Preprocessing) -> None:
    data = saved(natural(160, 127).convert("L"), "JPEG")
    assert psnr(read_picture(data, family).pixels, two_steps(upright(data), family)) >= 80


def test_a_long_strip_equals_resize_then_crop(family: Preprocessing) -> None:
    data = saved(natural(3000, 10), "PNG")
    assert psnr(read_picture(data, family).pixels, two_steps(upright(data), family)) >= 80


def test_a_fractional_centre_square_would_fail_these_tests() -> None:
    family = FAMILIES[0]
    image = natural(1000, 1505)
    box = (0.0, (1505 - 1000) / 2, 1000.0, (1505 + 1000) / 2)
    naive = image.resize((family.size, family.size), Image.Resampling.BICUBIC, box)
    assert psnr(np.asarray(naive).transpose(2, 0, 1), two_steps(image, family)) < 50

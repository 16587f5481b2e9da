"""A crop of a smooth picture looks like the whole picture, but is never called a copy."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.duplicate_pictures import gradient
from retrieval.duplicates.compare import Verdict, compare
from retrieval.duplicates.evidence import evidence_of
from retrieval.duplicates.finding import find_duplicates
from retrieval.gallery import Gallery
from tests.retrieval.duplicates.collection import index

WIDTH, HEIGHT = 400, 300
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH] / HEIGHT


def picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def plain_gradient(seed: int) -> Image.Image:
    return gradient(seed).resize((WIDTH, HEIGHT))


def sky(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    values = (70, 120, 200) + _Y[..., None] * (60, 50, 20)
    values += 15 * np.exp(-((_X - 1) ** 2 + (_Y - 0.3) ** 2) / 0.3)[..., None]
    return picture(values + rng.normal(0, 0.7, values.shape))


def blurred(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    values = 128 + 0.3 * (rng.integers(0, 256, (9, 12, 3)) - 128.0)
    large = picture(values).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return large.filter(ImageFilter.GaussianBlur(20))


def product(seed: int) -> Image.Image:
    """A soft ball on paper that gets darker to its sides."""
    values = np.full((HEIGHT, WIDTH, 3), 240.0) - 30 * ((_X - 0.66) ** 2 + (_Y - 0.5) ** 2)[..., None]
    image = picture(values)
    ImageDraw.Draw(image).ellipse((150, 100, 250, 200), fill=(200 - seed, 190, 170))
    return image.filter(ImageFilter.GaussianBlur(25))


def blank_scan(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    values = np.full((HEIGHT, WIDTH, 3), 232.0) + (9 * _X - 6 * _Y)[..., None]
    return picture(values + rng.normal(0, 2, (HEIGHT, WIDTH, 1)))


SMOOTH = (plain_gradient, sky, blurred, product, blank_scan)
Draw = Callable[[int], Image.Image]


def stored(image: Image.Image, quality: int) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return data.getvalue()


def resized(image: Image.Image, factor: float) -> Image.Image:
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(image: Image.Image, share: float, *, is_middle: bool) -> Image.Image:
    """Without a rim of this share of the sides: all around, or at the left and the top."""
    left, top = round(image.width * share), round(image.height * share)
    if is_middle:
        return image.crop((left // 2, top // 2, image.width - left + left // 2, image.height - top + top // 2))
    return image.crop((left, top, image.width, image.height))


def verdict(first: bytes, second: bytes) -> Verdict:
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (first, second)]
    return compare(*pictures, max(evidence_of(data).step for data in (first, second))).verdict


@pytest.mark.parametrize("factor", [1, 1.3, 2, 3, 0.5])
@pytest.mark.parametrize("draw", SMOOTH, ids=lambda draw: draw.__name__)
def test_a_crop_is_no_copy_of_the_picture_at_any_size(draw: Draw, factor: float) -> None:
    original = draw(29)
    larger = stored(resized(original, factor), 85)
    for share in (0.02, 0.05):
        for is_middle in (True, False):
            crop = stored(cropped(original, share, is_middle=is_middle), 92)
            assert verdict(larger, crop) != "copy", (share, is_middle)


@pytest.mark.parametrize("draw", SMOOTH, ids=lambda draw: draw.__name__)
def test_what_was_resized_by_a_plain_factor_is_a_copy(draw: Draw) -> None:
    original = draw(29)
    for factor in (0.25, 1 / 3, 0.5, 0.75, 1, 1.5, 2, 3):
        assert verdict(stored(original, 95), stored(resized(original, factor), 85)) == "copy", factor


def test_a_picture_with_detail_is_a_copy_by_any_factor() -> None:
    rng = np.random.default_rng(3)
    original = picture(rng.integers(0, 256, (30, 40, 3))).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    for factor in (0.397, 0.7, 0.95, 1.3, 2.2):
        assert verdict(stored(original, 95), stored(resized(original, factor), 85)) == "copy", factor


@pytest.mark.parametrize("has_original", [True, False], ids=["beside the original", "without it"])
def test_an_enlargement_does_not_bring_a_crop_into_the_group(
    gallery: Gallery, tmp_path: Path, has_original: bool
) -> None:
    folder = tmp_path / "skies"
    folder.mkdir()
    original = sky(29)
    crop = cropped(original, 0.02, is_middle=False)
    files = {
        "twice.jpg": stored(resized(original, 2), 85),
        "turned.jpg": stored(original.transpose(Image.Transpose.ROTATE_90), 90),
        "crop.jpg": stored(crop, 92),
        "turned crop.jpg": stored(crop.transpose(Image.Transpose.ROTATE_180), 92),
        "crop, 1.4 times.jpg": stored(resized(crop, 1.4), 92),
    }
    if has_original:
        files["original.jpg"] = stored(original, 95)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    found = find_duplicates(index(gallery, folder))
    groups = [{Path(image.path).stem for image in (g.keeper, *(m.image for m in g.others))} for g in found.groups]
    whole = {"twice", "turned"} | ({"original"} if has_original else set())
    assert groups and whole in groups
    assert not [group for group in groups if group - whole and group & whole], groups

"""Differences over a whole picture: crops of gradients, tints, sharpening, small digits."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from benchmarks.duplicate_documents import chart, dialogue, page_of_small_print
from benchmarks.duplicate_pictures import gradient, page, scene
from retrieval.duplicates.compare import compare
from retrieval.duplicates.edits import light, sharpness, tint

JPEG_92 = 3.0  # the first step of its table of brightness


def again(image: Image.Image, form: str = "JPEG", **options: object) -> Image.Image:
    stored = io.BytesIO()
    image.save(stored, form, **options)
    return Image.open(io.BytesIO(stored.getvalue())).convert("RGB")


def tinted(image: Image.Image, *gains: float) -> Image.Image:
    return Image.fromarray((np.asarray(image, np.float32) * gains).clip(0, 255).astype(np.uint8))


def cropped(image: Image.Image, share: float) -> Image.Image:
    return image.crop((round(image.width * share), round(image.height * share), *image.size))


@pytest.mark.parametrize("seed", [3, 29])
def test_a_crop_of_a_gradient_is_no_copy(seed: int) -> None:
    original = again(gradient(seed), quality=95)
    assert compare(original, again(cropped(gradient(seed), 0.02), quality=92), JPEG_92).verdict != "copy"
    for copy, step in (
        (again(original, quality=30), 27),
        (again(original, "WEBP", quality=30), 12),
        (again(original, "PNG"), 2),
        (again(original.resize((320, 240), Image.Resampling.BOX), quality=85), 5),
    ):
        assert compare(original, copy, step).verdict == "copy"


@pytest.mark.parametrize("gains", [(1.04, 1.0, 0.96), (0.97, 1.0, 1.03), (0.95, 1.0, 1.0)])
def test_a_tint_of_a_dark_screen_is_no_copy(gains: tuple[float, float, float]) -> None:
    original = again(dialogue(4, 0), quality=95)
    assert compare(original, again(tinted(dialogue(4, 0), *gains), quality=92), JPEG_92).verdict == "edited"
    for copy, step in ((again(original, quality=30), 27), (again(original, "WEBP", quality=30), 12)):
        assert compare(original, copy, step).verdict == "copy"
    assert compare(original, dialogue(4, 0), 2).verdict == "copy"


def test_a_tint_is_the_share_by_which_contrasts_change_unequally() -> None:
    grey = again(page(5).convert("L"), "PNG")
    assert tint(grey, grey) == 0
    assert tint(grey, tinted(grey, 0.9, 0.81, 0.9)) == pytest.approx(1 / 9, abs=0.01)
    assert tint(scene(5), tinted(scene(5), 0.9, 0.8, 0.9)) == 0  # nothing grey


@pytest.mark.parametrize(
    "filtered",
    [
        lambda image: image.filter(ImageFilter.UnsharpMask(1, 80, 0)),
        lambda image: image.filter(ImageFilter.UnsharpMask(2, 150, 3)),
        lambda image: ImageEnhance.Sharpness(image).enhance(1.5),
        lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    ],
)
def test_sharpening_and_blurring_are_no_copies(filtered) -> None:  # type: ignore[no-untyped-def]
    for draw in (scene(6), dialogue(6, 0)):
        original = again(draw, quality=95)
        assert compare(original, again(filtered(draw), quality=92), JPEG_92).verdict in ("edited", "different")


def test_a_crop_of_a_coarsely_stored_gradient_is_no_copy() -> None:
    """Compression leaves more than the crop does, so the sizes have to do: nearly the same, and no detail to tell."""
    original, crop = gradient(29), again(cropped(gradient(29), 0.02), quality=92)
    for stored, step in ((again(original, quality=75), 8), (again(original, quality=30), 27), (original, JPEG_92)):
        assert compare(stored, crop, step).verdict != "copy"
        half = again(stored.resize((stored.width // 2, stored.height // 2), Image.Resampling.LANCZOS), quality=85)
        assert compare(stored, half, step).verdict == "copy"


@pytest.mark.parametrize("draw", [scene, page])
def test_what_has_detail_may_be_a_little_smaller(draw: Callable[[int], Image.Image]) -> None:
    original = again(draw(5), quality=92)
    size = round(original.width * 0.97), round(original.height * 0.97)
    copy = again(original.resize(size, Image.Resampling.LANCZOS), quality=90)
    assert compare(original, copy, JPEG_92).verdict == "copy"


def test_sharpness_of_copies_is_one_from_the_side_that_lost_detail() -> None:
    original = again(scene(7), quality=95)
    for copy in (again(original, quality=30), again(original, "WEBP", quality=30), again(original, "AVIF", quality=60)):
        assert sharpness(original, copy, 2) < 1.08
    sharper = ImageEnhance.Sharpness(original).enhance(2)
    assert sharpness(original, sharper, 2) == pytest.approx(sharpness(sharper, original, 2)) and (
        sharpness(original, sharper, 2) > 1.25
    )


@pytest.mark.parametrize("digit", [5, 8, 9])
def test_another_digit_in_small_print_is_another_page(digit: int) -> None:
    original, other = again(page_of_small_print(1, 3), quality=95), page_of_small_print(1, digit)
    size = original.width // 2, original.height // 2
    for make, step in (
        (lambda image: again(image, quality=75), 8),
        (lambda image: again(image, quality=30), 27),
        (lambda image: again(image.resize(size, Image.Resampling.LANCZOS), quality=85), 5),
    ):
        assert compare(original, make(other), step).verdict == "different"
        assert compare(original, make(original), step).verdict == "copy"


def test_a_chart_whose_labels_cannot_be_read_any_more_is_too_small() -> None:
    original = again(chart(3, 0), quality=95)
    for share, verdict in ((2, "copy"), (4, "too small")):
        small = original.resize((original.width // share, original.height // share), Image.Resampling.LANCZOS)
        assert compare(original, again(small, quality=85), 5).verdict == verdict


def test_light_counts_what_has_many_colours_more_strictly() -> None:
    """Rounding one colour of a plain picture moves its mean; that of many colours averages out."""
    plain, many = Image.new("RGB", (320, 240), (60, 62, 70)), gradient(3).resize((320, 240))
    ImageDraw.Draw(plain).rectangle((20, 20, 60, 40), fill="white")

    def moved(image: Image.Image) -> float:
        shifted = Image.fromarray((np.asarray(image).astype(int) + 1).clip(0, 255).astype(np.uint8))
        return light(image, shifted, 1.0, 0.0, 0.0, is_resized=False)

    assert moved(many) > 1.3 * moved(plain) > 0

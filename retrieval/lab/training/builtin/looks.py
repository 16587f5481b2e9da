"""Looks of a picture other than a photo: a sketch, a cartoon, a painting, grey, in another colour.

Each is made from a picture with known content, so that "a sketch of a chair" can be taught without real sketches.
They are simple filters: real drawings (emoji, clip art) are used in addition.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

Maker = Callable[[Image.Image, np.random.Generator], Image.Image]

HUES = {"red": 0, "orange": 28, "yellow": 54, "green": 120, "blue": 222, "purple": 280, "pink": 330}
"""Colour words with their hue in degrees (from the survey of names by Munroe 2010, rounded)."""

_COLOURFUL = 0.08
"""Mean saturation times value, in the middle of a picture, below which it has no colour that could be changed."""


def sketch(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Lines on white: soft like those of a pencil, or thin and hard like those of a pen."""
    grey = ImageOps.autocontrast(picture.convert("L"), cutoff=1)
    values = np.asarray(grey, np.float32) + 1
    if random.random() < 0.5:
        wide = np.asarray(grey.filter(ImageFilter.GaussianBlur(random.uniform(2, 6))), np.float32) + 1
        lines = np.clip(values / wide, 0, 1) ** random.uniform(1.5, 4)
    else:
        narrow = np.asarray(grey.filter(ImageFilter.GaussianBlur(random.uniform(0.8, 1.6))), np.float32)
        wide = np.asarray(grey.filter(ImageFilter.GaussianBlur(random.uniform(2.0, 4.0))), np.float32)
        # Winnemöller et al. 2012 (extended difference of Gaussians): dark sides of edges, with a soft threshold.
        lines = 0.5 + 0.5 * np.tanh((narrow - wide + random.uniform(2, 7)) / random.uniform(1, 3))
    return Image.fromarray((lines * 255).astype(np.uint8)).convert("RGB")


def cartoon(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Few flat colours inside dark outlines."""
    flat = picture.filter(ImageFilter.MedianFilter(7)).filter(ImageFilter.MedianFilter(5))
    flat = ImageOps.autocontrast(ImageOps.posterize(flat, int(random.integers(2, 4))))
    flat = ImageEnhance.Color(flat).enhance(random.uniform(1.2, 2.2))
    grey = picture.convert("L").filter(ImageFilter.MedianFilter(3))
    narrow, wide = (np.asarray(grey.filter(ImageFilter.GaussianBlur(s)), np.float32) for s in (1.0, 2.5))
    ink = np.clip((narrow - wide + 6) / 4, 0, 1)[..., None]
    return Image.fromarray((np.asarray(flat, np.float32) * ink).astype(np.uint8))


def painting(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Patches of the most common nearby colour, like brush strokes."""
    size = int(random.choice([5, 7, 9]))
    laid = ImageOps.autocontrast(ImageOps.posterize(picture, 4)).filter(ImageFilter.ModeFilter(size))
    laid = laid.filter(ImageFilter.SMOOTH)
    return ImageEnhance.Color(laid).enhance(random.uniform(0.9, 1.6))


def black_and_white(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Grey, with more or less contrast."""
    return ImageEnhance.Contrast(picture.convert("L")).enhance(random.uniform(0.8, 1.5)).convert("RGB")


LOOKS: dict[str, tuple[str, Maker]] = {
    "sketch": ("a sketch of a {}", sketch),
    "cartoon": ("a cartoon of a {}", cartoon),
    "painting": ("a painting of a {}", painting),
    "grey": ("a black and white photo of a {}", black_and_white),
}
"""Artificial looks: their names, and the functions that make them."""

LOOK_TEXTS = {
    "photo": "a photo of a {}",
    "drawing": "a drawing of a {}",
    **{key: text for key, (text, _) in LOOKS.items()},
}
"""All looks of pictures in the recipe."""


def recoloured(picture: Image.Image, colour: str) -> Image.Image | None:
    """The picture with its main colour changed to another, and all hues rotated with it; None without a main colour.

    Args:
        picture: RGB.
        colour: a key of :data:`HUES`.
    """
    hsv = np.asarray(picture.convert("HSV")).copy()
    weight = _middle(hsv.shape[:2]) * (hsv[..., 1].astype(np.float32) / 255) * (hsv[..., 2].astype(np.float32) / 255)
    if float(weight.sum()) < _COLOURFUL:
        return None
    angle = hsv[..., 0].astype(np.float32) * (2 * np.pi / 256)
    mean = np.arctan2((weight * np.sin(angle)).sum(), (weight * np.cos(angle)).sum())
    near = np.cos(angle - mean) > 0.75
    if float((weight * near).sum()) < 0.6 * float(weight.sum()):
        return None  # many colours: none of them is the subject's
    turn = round((HUES[colour] / 360 * 256) - float(mean) / (2 * np.pi) * 256)
    hsv[..., 0] = (hsv[..., 0].astype(np.int32) + turn) % 256
    return Image.fromarray(hsv, "HSV").convert("RGB")


def _middle(shape: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) weights that sum to one, most of them in the middle."""
    y, x = (np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (0.25 * n)) ** 2) for n in shape)
    both: NDArray[np.float64] = np.outer(y, x)
    return np.asarray(both / both.sum(), np.float32)

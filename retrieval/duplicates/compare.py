"""Compare two pictures in full detail: is one a copy of the other, or another picture?

A hash, an embedding or a reduced copy cannot distinguish two invoices that differ in a number, or two frames from a
tripod in which somebody blinks. So candidates are decoded completely, the larger picture is reduced to the smaller
one's size, and the worst tile decides (``tiles.py``). Four more properties distinguish pictures of equal structure:

* an edit of the whole picture: light, tint and sharpness (``edits.py``),
* noise: two frames from a tripod have different sensor noise in static areas; a copy has the same noise or none,
* lost detail in the smaller one: text that has become a grey line cannot be compared,
* a margin that the smaller one lacks: a smooth picture looks the same without it (``crops.py``).

The figures come from ``benchmarks/duplicates.py``. Memory: both pictures decoded, 3 bytes per pixel, and a few planes
of the smaller one's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from retrieval.duplicates.crops import could_be_a_crop
from retrieval.duplicates.edits import REDUCED, Values, colours, is_edited
from retrieval.duplicates.evidence import mean_square
from retrieval.duplicates.tiles import STRONG, TILE, Box, Plane, Tiles, contrast, smoothed

Verdict = Literal["copy", "different", "edited", "other frame", "too small"]
_COLOUR_LEVELS, _COLOUR_SHARE = 24.0, 0.5

_FINE_STEP = 4.0
"""JPEG quality 87: files stored more coarsely contain compression noise instead of sensor noise."""

_GRAIN, _GRAIN_TILES, _GRAIN_KEPT, _SAME_GRAIN = 0.5, 24, 0.6, 0.3
"""Variance (levels squared) that noise must have in both to be compared; the required number of tiles; which fraction
of one's noise the other must have kept; minimal correlation of the same noise."""

_LOST, _LOST_AT_ONE, _LOST_ANYWHERE = 0.44, 0.96, 0.05
"""Which fraction of a strong contrast the smaller one must have kept. How many tiles may have lost more: this fraction
times that of the pixels (a quarter of them at half size, where everything is still legible; one in sixteen at a
quarter, where the labels of a chart are lost but its bars are not), and at least the last fraction."""

_FILTERS = (Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.NEAREST)
_LARGEST_SHIFT, _LEAST_SHIFT = 0.6, 0.06  # pixels of the smaller one


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two pictures.

    Attributes:
        verdict: ``copy``; ``different``: some content differs; ``edited``: brightness or colours differ;
            ``other frame``: the same scene with other sensor noise; ``too small``: the smaller one has lost the detail
            that would have to be compared.
        worst: of the worst tile; 1 or more exceeds what re-encoding causes.
        levels: the difference in that tile, grey levels 0 to 255.
        box: that tile: (left, top, right, bottom) as fractions of the sides.
        rms: root mean square of all differences of brightness, grey levels.
    """

    verdict: Verdict
    worst: float
    levels: float
    box: Box
    rms: float


def compare(first: Image.Image, second: Image.Image, step: float = 12.0) -> Comparison:
    """Compare two pictures of the same proportions: ``RGB``, upright, whole. Their order does not matter.

    Args:
        step: the first entry of the quantization table of the coarser JPEG, that is, the step of eight times the
            mean of 8 x 8 pixels.
    """
    larger, smaller = (first, second) if first.width * first.height >= second.width * second.height else (second, first)
    fitted = _fitted(larger, smaller)
    one, other = fitted.convert("L"), smaller.convert("L")
    found = colours(fitted), colours(smaller)
    colour_contrast = np.maximum(*(_colour_contrast(values) for values in found))
    tiles = Tiles(one, other, colour_contrast)
    coloured, is_resized = float(colour_contrast.mean()), larger.size != smaller.size
    verdict: Verdict = "copy"
    if tiles.worst >= 1 or worst_colour(*found) >= 1:
        verdict = "different"
    elif larger.width > 1.2 * smaller.width and _is_too_small(larger.convert("L"), other):
        verdict = "too small"
    elif is_edited(fitted, smaller, step, tiles.strong, coloured, is_resized=is_resized):
        verdict = "edited"
    elif step <= _FINE_STEP and _is_other_frame(one, other):
        verdict = "other frame"
    elif could_be_a_crop(larger, fitted, smaller, step):
        verdict = "too small"
    return Comparison(verdict, tiles.worst, tiles.levels, tiles.box, tiles.rms)


# Reducing the larger picture to the smaller one's size


def _fitted(larger: Image.Image, smaller: Image.Image) -> Image.Image:
    """Resized with the filter, and the subpixel shift, that reproduce the smaller one best."""
    if larger.size == smaller.size:
        return larger
    wanted = smaller.convert("L")
    made = {resample: larger.resize(smaller.size, resample) for resample in _FILTERS}
    luma = {resample: image.convert("L") for resample, image in made.items()}
    left = {resample: mean_square(image, wanted) for resample, image in luma.items()}
    best = min(_FILTERS, key=left.__getitem__)
    dx, dy = shift(_values(luma[best]), _values(wanted))
    if _LEAST_SHIFT < max(abs(dx), abs(dy)) <= _LARGEST_SHIFT:  # programs disagree about the centre of a pixel
        moved = _moved(larger, dx * larger.width / smaller.width, dy * larger.height / smaller.height)
        moved = moved.resize(smaller.size, best)
        if mean_square(moved.convert("L"), wanted) < 0.9 * left[best]:
            return moved
    return made[best]


def _moved(image: Image.Image, dx: float, dy: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0, dx, 0, 1, dy), Image.Resampling.BICUBIC)


def shift(one: Values, other: Values) -> tuple[float, float]:
    """(dx, dy) pixels such that one(x + dx, y + dy) is other(x, y), for shifts of less than a pixel.

    One step of the method of Lucas and Kanade, 1981, over the whole picture.
    """
    gy, gx = np.gradient(one)
    left = other - one
    a, b, c = float((gx * gx).sum()), float((gx * gy).sum()), float((gy * gy).sum())
    u, v = float((gx * left).sum()), float((gy * left).sum())
    determinant = a * c - b * b
    if determinant <= 1e-6 * max(a, c, 1.0) ** 2:
        return 0.0, 0.0
    return (c * u - b * v) / determinant, (a * v - b * u) / determinant


def _values(image: Image.Image) -> Values:
    return np.asarray(image, dtype=np.float32)


# Colour


def _colour_contrast(values: Values) -> Plane:
    """(h, w) contrast of both colour differences together, in each tile and those around it."""
    both = [contrast(_rounded(values[..., channel]), TILE // REDUCED) for channel in (1, 2)]
    return both[0] + both[1]


def _rounded(values: Values) -> Plane:
    return np.rint(values).astype(np.int16)


def worst_colour(one: Values, other: Values) -> float:
    """The largest difference of colour in a few pixels; 1 or more exceeds what re-encoding causes."""
    worst = 0.0
    for channel in (1, 2):
        a, b = (_rounded(values[..., channel]) for values in (one, other))
        allowed = _COLOUR_LEVELS + _COLOUR_SHARE * np.maximum(contrast(a, 1), contrast(b, 1))
        worst = max(worst, float((np.abs(a - b) / allowed).max()))
    return worst


# Noise and detail


def _is_other_frame(one: Image.Image, other: Image.Image) -> bool:
    same = same_grain(one, other)
    return same is not None and same < _SAME_GRAIN


def same_grain(one: Image.Image, other: Image.Image) -> float | None:
    """The correlation of the noise of two pictures in areas without content; None if one of them has lost its noise."""
    rows, columns = one.height // TILE, one.width // TILE
    if rows * columns < _GRAIN_TILES:
        return None
    whole = (0, 0, columns * TILE, rows * TILE)
    planes = []
    for image in (one, other):
        plane = np.asarray(image.crop(whole)).astype(np.float32) - smoothed(image.crop(whole))
        planes.append(plane.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(-1, TILE * TILE))
    a, b = (plane - plane.mean(axis=1, keepdims=True) for plane in planes)
    va, vb, ab = (np.einsum("ij,ij->i", x, y) / TILE**2 for x, y in ((a, a), (b, b), (a, b)))
    # Areas with content vary more than noise: use the quietest quarter of the tiles with any noise.
    noisy = np.flatnonzero((va > _GRAIN) & (vb > _GRAIN))
    quiet = noisy[np.argsort(np.maximum(va, vb)[noisy])][: max(len(va) // 4, 1)]
    if len(quiet) < max(_GRAIN_TILES, len(va) // 20):
        return None
    less, more = sorted((float(va[quiet].sum()), float(vb[quiet].sum())))
    # If compression has removed most of the noise, what is left is compression noise.
    return float(ab[quiet].sum()) / less if less > _GRAIN_KEPT * more else None


def _is_too_small(larger: Image.Image, smaller: Image.Image) -> bool:
    scale = smaller.width / larger.width
    return lost_detail(larger, smaller) > max(_LOST_AT_ONE * scale * scale, _LOST_ANYWHERE)


def lost_detail(larger: Image.Image, smaller: Image.Image) -> float:
    """The fraction of tiles with strong contrast in the larger picture in which the smaller one has lost much of it."""
    kept = contrast(smoothed(smaller))
    scale = larger.width / smaller.width
    had = contrast(smoothed(larger), max(round(TILE * scale), 1))
    rows, columns = (np.linspace(0, n - 1, m).round().astype(int) for n, m in zip(had.shape, kept.shape, strict=True))
    had = had[np.ix_(rows, columns)]
    strong = had >= STRONG
    if not strong.any():
        return 0.0
    return float((kept[strong] < _LOST * had[strong]).mean())

"""Is what is left between two pictures of one build an edit: another light, tint or sharpness?

None of these sticks out of a tile; each is the same all over the picture. So each is measured over all of it, against
what storing a picture again does to the same measure:

* *light*: offset and gain of brightness and of both colours in the large. Compression rounds, by up to a share of its
  step; where a picture has one colour all of this has one sign, where it has many it averages out. A crop of a smooth
  gradient gives itself away here as well: it lacks an end of the gradient.
* *tint*: the contrast of grey things in red, green and blue. In a dark screen a tint moves hardly any mean, but the
  contrast of its text by as many percent as of anything else.
* *sharpness*: how much finer detail the one has of what the other has. What compression drops is gone, which makes
  this share 1 from the side that lost it; a filter makes it more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Values = NDArray[np.float32]

REDUCED = 4
"""Colour is stored at half the detail of brightness in most files: it is compared in means of 4 x 4 pixels."""

LIGHT, LIGHT_OF_MANY, STEP_SHARE, CLIPPED, RESIZED = 0.9, 0.25, 1.2 / 16, 0.8 / 16, 3.0
"""Grey levels by which brightness and colours of copies may differ in the large: so many where all has one colour, so
many where it has very many, a share of the coarser file's quantization step (compression rounds the mean of a plain
page to an eighth of it), and two things by the share of strong contrasts: a share of that step (of the ringing beside
text, what is whiter than white is cut off, so that pages get darker), and up to so many more if one of them was
resized (sharp filters do the same)."""

COLOURED, COLOURED_MOST = 0.12, 1.0
"""And so much of the product of that share and the mean contrast of colour, up to so many levels: of coloured text,
whose colour is stored at half the detail, what leaves the range of values is cut off as well."""

TINT, TINT_STEP_SHARE, TINT_RESIZED = 0.03, 0.001, 0.02
"""Share by which contrasts in red, green and blue may be changed unequally, so much more for each unit of step, and if
one was resized: colour loses detail first."""

_LEAST_CONTRAST, _GREY = 4.0, 0.95
"""Grey levels (standard deviation), and least correlation of two channels, for contrasts to be those of grey things."""

SHARPER, SHARPER_RESIZED, SHARPER_STEP_SHARE, FINE_STEP_SHARE = 1.1, 1.3, 0.003, 0.02
"""How many times the detail of the other one a copy may have; the same where one was resized, as filters differ; and so
much more for each unit of step, in detail of four pixels and of two: what was compressed before, and is compressed more
coarsely, can gain some of it."""

_LEAST_DETAIL, _SAME_DETAIL = 1.0, 0.8
"""Grey levels (rms) of fine detail, and its correlation, for it to be compared."""

_LARGE = 32  # pixels of a side of the tiles whose means are compared
_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=np.float32
)  # JFIF 1.02


def is_edited(
    one: Image.Image, other: Image.Image, step: float, strong: float, coloured: float, *, is_resized: bool
) -> bool:
    """True if light, tint or sharpness of two ``RGB`` pictures of one size differ by more than storing again does.

    Args:
        step: quantization step of the coarser one of the two files; see ``compare.compare``.
        strong: share of the picture that has the contrast of text and lines.
        coloured: mean contrast of colour, grey levels.
        is_resized: one of them was brought to the size of the other.
    """
    return (
        light(one, other, step, strong, coloured, is_resized=is_resized) > 1
        or tint(one, other) > TINT + TINT_STEP_SHARE * step + (TINT_RESIZED if is_resized else 0)
        or sharpness(one, other, 2) > (SHARPER_RESIZED if is_resized else SHARPER) + SHARPER_STEP_SHARE * step
        or (not is_resized and sharpness(one, other, 1) > SHARPER + FINE_STEP_SHARE * step)
    )


def colours(image: Image.Image) -> Values:
    """(h, w, 3) brightness and the two colour differences (around 0) of an ``RGB`` picture, means of 4 x 4 pixels."""
    return np.asarray(image.reduce(REDUCED), dtype=np.float32) @ _YCBCR.T


def light(
    one: Image.Image, other: Image.Image, step: float, strong: float, coloured: float, *, is_resized: bool
) -> float:
    """How much a gain and an offset make brightness and colours differ in the large, in units of what is allowed."""
    first, second = colours(one), colours(other)
    side = max(min(_LARGE // REDUCED, min(first.shape[:2]) // 4), 1)
    files = STEP_SHARE * step + (CLIPPED * step + (RESIZED if is_resized else 0)) * strong
    worst = 0.0
    for channel in range(3):
        a, b = (_means(values[..., channel], side).ravel() for values in (first, second))
        spread = a - a.mean()
        weight = float(spread @ spread)
        gain = float(spread @ b) / weight if weight > len(a) else 1.0
        found = float(np.hypot(b.mean() - a.mean(), (gain - 1) * np.sqrt(weight / len(a))))
        shares = np.unique(np.rint(a), return_counts=True)[1] / len(a)
        usual = LIGHT_OF_MANY + (LIGHT - LIGHT_OF_MANY) * float(np.sqrt((shares * shares).sum()))
        cut_off = min(COLOURED * strong * coloured, COLOURED_MOST) if channel else 0
        worst = max(worst, found / (usual + files + cut_off))
    return worst


def _means(plane: Values, side: int) -> Values:
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    means: Values = plane[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3))
    return means


def tint(one: Image.Image, other: Image.Image) -> float:
    """By which share one of red, green and blue gained contrast more than another one; 0 where nothing is grey."""
    a, b = (np.asarray(image.reduce(REDUCED), dtype=np.float32).reshape(-1, 3) for image in (one, other))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    covariance = a.T @ a / len(a)
    deviations = np.sqrt(np.diag(covariance))
    if deviations.min() < _LEAST_CONTRAST or (covariance < _GREY * np.outer(deviations, deviations)).any():
        return 0.0
    gains = (a * b).sum(axis=0) / (a * a).sum(axis=0)
    return float(gains.max() / gains.min() - 1) if gains.min() > 0 else 0.0


def sharpness(one: Image.Image, other: Image.Image, size: int) -> float:
    """How many times the detail of the one the other has, or the other way round: the larger of the two.

    Args:
        size: of the detail: about twice so many pixels.
    """
    a, b = (_detail(np.asarray(image.convert("L").reduce(size), dtype=np.float32)) for image in (one, other))
    aa, bb, ab = (float((x * y).mean()) for x, y in ((a, a), (b, b), (a, b)))
    if min(aa, bb) < _LEAST_DETAIL**2 or ab < _SAME_DETAIL * np.sqrt(aa * bb):
        return 1.0
    return max(ab / aa, ab / bb)


def _detail(values: Values) -> Values:
    """What is left when each value is averaged with its neighbours."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    detail: Values = values - (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    return detail

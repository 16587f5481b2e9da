"""Are the remaining differences of two pictures an edit of light, tint or sharpness?

None of these is conspicuous in a single tile; each changes the whole picture. So each is measured over the whole
picture, relative to the effect of storing a picture again on the same measure:

* *light*: offset and gain of brightness and of both colours over large areas. Compression rounds by up to a fraction of
  its step; in a picture with a single colour all errors have the same sign, with many colours they average out. A crop
  of a smooth gradient is detected here too, because it lacks one end of the gradient.
* *tint*: the contrast of grey content in red, green and blue. In a dark screenshot a tint hardly changes any mean, but
  changes the contrast of its text by as many percent as everywhere.
* *sharpness*: how much finer detail one has than the other. Detail that compression removed is lost, so this ratio
  is 1 seen from the picture that lost it; a sharpening filter makes it larger.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Values = NDArray[np.float32]

REDUCED = 4
"""Most files store colour at half the resolution of brightness, so it is compared in means of 4 x 4 pixels."""

LIGHT, LIGHT_OF_MANY, STEP_SHARE, CLIPPED, RESIZED = 0.9, 0.25, 1.2 / 16, 0.8 / 16, 3.0
"""Grey levels by which brightness and colours of copies may differ over large areas: the limit for a single colour, the
limit for very many colours, a fraction of the coarser file's quantization step (compression rounds the mean of a plain
page to an eighth of it), and two terms proportional to the share of strong contrasts: a fraction of that step (ringing
beside text exceeds white and is clipped, which makes pages darker), and this many more if one of them was resized
(sharp filters have the same effect)."""

COLOURED, COLOURED_MOST = 0.12, 1.0
"""Plus this times the product of that share and the mean contrast of colour, up to the second number of levels: the
colour of coloured text, which is stored at half the resolution, is also clipped where it leaves the range of values."""

TINT, TINT_STEP_SHARE, TINT_RESIZED = 0.03, 0.001, 0.02
"""Fraction by which contrasts in red, green and blue may change unequally, plus this much per unit of step, and plus
this if one was resized: colour loses detail first."""

_LEAST_CONTRAST, _GREY = 4.0, 0.95
"""Grey levels (standard deviation), and minimal correlation of two channels, for contrasts to count as grey."""

SHARPER, SHARPER_RESIZED, SHARPER_STEP_SHARE, FINE_STEP_SHARE = 1.1, 1.3, 0.003, 0.02
"""How many times the detail of the other one a copy may have; the same if one was resized, because filters differ; and
this much more per unit of step, for detail of four pixels and of two: a compressed picture that is compressed again
more coarsely can gain some detail."""

_LEAST_DETAIL, _SAME_DETAIL = 1.0, 0.8
"""Grey levels (rms) of fine detail, and its correlation, required to compare it."""

_LARGE = 32  # side in pixels of the tiles whose means are compared
_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], dtype=np.float32
)  # JFIF 1.02


def is_edited(
    one: Image.Image, other: Image.Image, step: float, strong: float, coloured: float, *, is_resized: bool
) -> bool:
    """True if light, tint or sharpness of two ``RGB`` pictures of equal size differ by more than storing again causes.

    Args:
        step: quantization step of the coarser of the two files; see ``compare.compare``.
        strong: fraction of the picture with the contrast of text and lines.
        coloured: mean contrast of colour, grey levels.
        is_resized: one of them was resized to the size of the other.
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
    """How much brightness and colours differ in gain and offset over large areas, relative to what is allowed."""
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
    """By which fraction one of red, green and blue gained more contrast than another; 0 if nothing is grey."""
    a, b = (np.asarray(image.reduce(REDUCED), dtype=np.float32).reshape(-1, 3) for image in (one, other))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    covariance = a.T @ a / len(a)
    deviations = np.sqrt(np.diag(covariance))
    if deviations.min() < _LEAST_CONTRAST or (covariance < _GREY * np.outer(deviations, deviations)).any():
        return 0.0
    gains = (a * b).sum(axis=0) / (a * a).sum(axis=0)
    return float(gains.max() / gains.min() - 1) if gains.min() > 0 else 0.0


def sharpness(one: Image.Image, other: Image.Image, size: int) -> float:
    """The ratio of detail of the two pictures, the larger of the two ratios.

    Args:
        size: of the detail: about twice this many pixels.
    """
    a, b = (_detail(np.asarray(image.convert("L").reduce(size), dtype=np.float32)) for image in (one, other))
    aa, bb, ab = (float((x * y).mean()) for x, y in ((a, a), (b, b), (a, b)))
    if min(aa, bb) < _LEAST_DETAIL**2 or ab < _SAME_DETAIL * np.sqrt(aa * bb):
        return 1.0
    return max(ab / aa, ab / bb)


def _detail(values: Values) -> Values:
    """The difference of each value from the weighted average with its neighbours."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    detail: Values = values - (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    return detail

"""Does the smaller of two pictures lack a margin of the larger one?

In areas with detail, a crop differs from the whole in many tiles (``tiles.py``). But a sky, a blurred background or a
blank page looks the same without its margin: all of it differs by a level or less. So the difference of the two is
explained by a missing margin and a shift (least squares over the means of squares, brightness and colours relative to
their own mean). A copy shows none of the missing margin's effect, a crop all of it, whichever side was cut off. If this
effect would be no larger than that of storing, the result is unknown.

Pictures of equal size are not tested: they come from storing a picture again.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from PIL import Image

from retrieval.duplicates.edits import Values

_FROM, _TO = 0.9, 0.98
"""The fraction of the larger one's side from which the smaller one may be a plain crop. Anything smaller may be a crop
that was reduced, or a crop of what the larger one was enlarged from: then this is the smallest margin looked for."""

_PLAIN_SHARES = tuple({Fraction(n, of) for of in (3, 8) for n in range(1, of)})
"""Programs usually reduce pictures to these fractions of a side; a crop has one of them only by chance."""

_MEANS = 16  # side of the squares in pixels

_LEAST, _STEP_SHARE, _WHOLE = 0.25, 0.02, 0.3
"""Grey levels (rms) by which the missing margin must change the picture, plus this much per unit of step. Which
fraction of that a copy may show: for smooth pictures stored at quality 85, copies showed 0.05 and crops at least 0.95;
if stored coarsely, copies at most 0.6, and crops at least 0.4."""


def could_be_a_crop(larger: Image.Image, fitted: Image.Image, smaller: Image.Image, step: float) -> bool:
    """True if the smaller of two ``RGB`` pictures lacks a margin, or it is unknown.

    Args:
        fitted: the larger one resized to the smaller one.
        step: quantization step of the coarser of the two files; see ``compare.compare``.
    """
    share = smaller.width / larger.width
    if larger.size == smaller.size or (share < _FROM and _is_plain_share(larger.size, smaller.size)):
        return False
    kept = share if share >= _FROM else _TO
    left, top = larger.width * (1 - kept) / 2, larger.height * (1 - kept) / 2
    box = (left, top, larger.width - left, larger.height - top)
    side = max(min(_MEANS, min(smaller.size) // 8), 1)
    whole = _means(fitted, side)
    if min(whole.shape[:2]) < 2:
        return True
    lack = _around_mean(_means(larger.resize(smaller.size, Image.Resampling.LANCZOS, box), side) - whole)
    moves = np.stack([_around_mean(np.gradient(whole, axis=axis)) for axis in (0, 1)], axis=1)
    alone = lack - moves @ np.linalg.lstsq(moves, lack, rcond=1e-4)[0]
    weight = float(alone @ alone)
    if weight < len(alone) / 3 * (_LEAST + _STEP_SHARE * step) ** 2:
        return True
    left_over = _around_mean(_means(smaller, side) - whole)
    return abs(float(alone @ left_over)) > _WHOLE * weight


def _is_plain_share(larger: tuple[int, int], smaller: tuple[int, int]) -> bool:
    return any(all(abs(b - a * share) < 1 for a, b in zip(larger, smaller, strict=True)) for share in _PLAIN_SHARES)


def _means(image: Image.Image, side: int) -> Values:
    """(h, w, 3) means of red, green and blue in squares. Not rounded: the effect is less than a level."""
    rows, columns = image.height // side, image.width // side
    values = np.asarray(image)[: rows * side, : columns * side]
    means: Values = values.reshape(rows, side, columns, side, 3).mean(axis=(1, 3), dtype=np.float32)
    return means


def _around_mean(values: Values) -> Values:
    """(h, w, 3) -> (3 h w,)"""
    flat: Values = (values - values.mean(axis=(0, 1))).ravel()
    return flat

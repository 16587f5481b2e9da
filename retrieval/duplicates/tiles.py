"""Compare two pictures of equal size in tiles of 8 x 8 pixels, so that the worst tile can decide.

In each tile the largest difference of the lightly smoothed values is divided by what re-encoding can cause there: a few
grey levels, and a fraction of the surrounding contrast, because compression and resizing cause ringing at edges. A
copy has such noise everywhere; a changed digit stands out in one tile.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Plane = NDArray[np.int16]
Box = tuple[float, float, float, float]

TILE = 8

LEVELS, CONTRAST_SHARE, COLOUR_SHARE = 12.0, 0.25, 0.45
"""What re-encoding may cause in a tile: this many grey levels, and these fractions of the contrast around it."""

LIMIT, LEAST_LIMIT, TIMES_OTHERS = 1.5, 0.9, 3.0
"""Limits of the worst tile, in units of the above: at most the first, at least the second, otherwise this many times
the 90th percentile of the tiles with content: a coarsely stored copy differs everywhere."""

STRONG = 72
"""Grey levels: the contrast of text and lines."""

TEXT, TEXT_MIXED, TEXT_LEAST, TEXT_TIMES = 500, 0.1, 0.45, 2.4
"""A page of text has at least this many tiles of that contrast, and at most this fraction of weaker ones (photographs
have a third or more, and all kinds of detail, of which some suffers most). Then the worst of them may have this much
(at most ``LIMIT``), or this many times their 99th percentile: in a large page a small digit is a tile or two. Copies of
pages had up to 1.7 times as much, other digits of half the size of print 4 times."""

_SHOWING = 24  # grey levels of contrast
_SMOOTH = ImageFilter.Kernel((3, 3), (1, 2, 1, 2, 4, 2, 1, 2, 1))


class Tiles:
    """The differences of two ``L`` pictures of equal size.

    Args:
        colours: (h, w) contrast of colour around each part of the pictures, at any size: where colours change,
            compression that stores them at half resolution also changes brightness.

    Attributes:
        rms: root mean square of all differences, grey levels.
        worst: of the worst tile: 1 or more exceeds what re-encoding causes.
        strong: fraction of the tiles with the contrast of text and lines.
        levels: the difference in the worst tile, grey levels.
        box: the worst tile as (left, top, right, bottom), fractions of the sides.
    """

    def __init__(self, one: Image.Image, other: Image.Image, colours: Plane) -> None:
        width, height = one.size
        a, b = smoothed(one), smoothed(other)
        left = np.abs(a - b)
        self.rms = float(np.sqrt(np.square(left, dtype=np.float32).mean()))
        tiles = pooled(left, np.maximum)
        around = np.maximum(contrast(a), contrast(b))
        units = tiles / (LEVELS + CONTRAST_SHARE * around + COLOUR_SHARE * _fitting(colours, tiles.shape))
        row, column = divmod(int(units.argmax()), units.shape[1])
        showing, is_strong = units[around >= _SHOWING], around >= STRONG
        strong = units[is_strong]
        usual = float(np.percentile(showing, 90)) if len(showing) else 0.0
        self.worst = float(units[row, column]) / min(max(TIMES_OTHERS * usual, LEAST_LIMIT), LIMIT)
        if len(strong) >= TEXT and len(showing) <= (1 + TEXT_MIXED) * len(strong):
            worst = float(strong.max()) / min(max(TEXT_TIMES * float(np.percentile(strong, 99)), TEXT_LEAST), LIMIT)
            if worst > self.worst:
                self.worst = worst
                row, column = divmod(int(np.where(is_strong, units, 0).argmax()), units.shape[1])
        self.strong = len(strong) / around.size
        self.levels = float(tiles[row, column])
        right, bottom = min(TILE * (column + 1), width), min(TILE * (row + 1), height)
        self.box: Box = (TILE * column / width, TILE * row / height, right / width, bottom / height)


def smoothed(image: Image.Image) -> Plane:
    """(h, w) values of an ``L`` picture, each averaged with its neighbours: ringing cancels, strokes remain."""
    return np.asarray(image.filter(_SMOOTH)).astype(np.int16)


def pooled(plane: Plane, pool: np.ufunc, side: int = TILE) -> Plane:
    """``pool`` (np.maximum, np.minimum) over each tile of (h, w) values; the last tiles may be incomplete."""
    height, width = plane.shape
    by_row = pool.reduceat(plane, np.arange(0, height, side), axis=0)  # first, because it is fast along whole rows
    tiles: Plane = pool.reduceat(by_row, np.arange(0, width, side), axis=1)
    return tiles


def contrast(plane: Plane, side: int = TILE) -> Plane:
    """The range of values in each tile and the eight around it."""
    return _spread(pooled(plane, np.maximum, side), np.maximum) - _spread(pooled(plane, np.minimum, side), np.minimum)


def _fitting(plane: Plane, shape: tuple[int, ...]) -> Plane:
    rows, columns = (np.arange(m) * n // m for n, m in zip(plane.shape, shape, strict=True))
    return plane[np.ix_(rows, columns)]


def _spread(tiles: Plane, pool: np.ufunc) -> Plane:
    for axis in (0, 1):
        padded = np.pad(tiles, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        parts = [np.take(padded, np.arange(at, at + tiles.shape[axis]), axis=axis) for at in range(3)]
        tiles = pool(pool(parts[0], parts[1]), parts[2])
    return tiles

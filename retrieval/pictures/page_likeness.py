"""Whether a picture is a page: a scan, a PDF as a picture, a receipt, a table, sheet music.

A page is evenly lit paper, of one hue, with nothing but print on it. The picture is divided into tiles of 8 x 8
pixels; a tile with paper in it is blank, or has print on it if a small part is much darker. Four numbers tell pages
from photos: the shares of printed and of blank tiles, the share of pixels of the usual hue, and how much the brightness
of the paper varies. Their weights are those of a logistic regression, fitted on drawn pages and on photos of 1,000
kinds; ``benchmarks/documents.py`` measures the result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.pictures.colour import flatten

LOOKED_AT = 480
"""Pixels of the longer side of a reduced picture in which pages are told as well as in the whole one."""

_SIDE, _LONGEST = 160, 480  # pixels of the copy that is looked at: print of a page is still darker than its paper
_TILE = 8
_IS_PAPER = 0.75  # of the brightness of the picture's paper
_BLANK, _PRINTED = 0.12, 0.25  # contrast in a tile, of its paper's brightness
_INK, _LEAST_INK, _MOST_INK = 0.8, 0.03, 0.6  # darker than this is ink; its share of a printed tile
_SAME_HUE = 20.0  # sum of the differences of three channels

_WEIGHTS = np.array([8.124, 4.180, 2.865, -18.490], np.float32)
_BIAS, _THRESHOLD = -4.464, 2.0


def looks_like_page(upright: Image.Image) -> bool:
    """Whether a picture looks like a page.

    Args:
        upright: the whole picture, of any mode; it may be decoded at a reduced size.
    """
    features = page_features(upright)
    return features is not None and float(_WEIGHTS @ features) + _BIAS > _THRESHOLD


def page_features(upright: Image.Image) -> NDArray[np.float32] | None:
    """(4,) float32: shares of printed tiles, blank tiles, and pixels of the usual hue; the variation of the paper's
    brightness. None if the picture is too small, or black."""
    scale = min(_SIDE / min(upright.size), _LONGEST / max(upright.size))
    size = tuple(max(1, round(side * scale)) for side in upright.size)
    if min(size) < 2 * _TILE:
        return None
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    small = flatten(upright).resize((size[0], size[1]), method, reducing_gap=2.0).convert("RGB")
    rows, columns = small.height // _TILE, small.width // _TILE
    small = small.crop((0, 0, columns * _TILE, rows * _TILE))
    luma = np.asarray(small.convert("L"))
    tiles = luma.reshape(rows, _TILE, columns, _TILE).swapaxes(1, 2).reshape(rows * columns, _TILE * _TILE)
    ordered = np.sort(tiles, axis=1)
    dark, bright = ordered[:, 0].astype(np.float32), ordered[:, 57].astype(np.float32)  # 57: the 90th percentile
    paper = float(np.percentile(bright, 75))
    if paper < 1:
        return None
    contrast = (bright - dark) / np.maximum(bright, 1)
    ink = (tiles < np.ceil(_INK * bright).astype(np.uint8)[:, None]).mean(axis=1)
    has_paper = bright > _IS_PAPER * paper
    printed = has_paper & (contrast > _PRINTED) & (ink > _LEAST_INK) & (ink < _MOST_INK)
    blank = has_paper & (contrast < _BLANK)
    hue = np.asarray(small)[::2, ::2].reshape(-1, 3).astype(np.int16) - luma[::2, ::2].reshape(-1, 1)
    usual = np.median(hue, axis=0).astype(np.int16)
    same = (np.abs(hue - usual).sum(axis=1) < _SAME_HUE).mean()
    variation = bright[has_paper].std() / paper
    return np.array([printed.mean(), blank.mean(), same, variation], np.float32)

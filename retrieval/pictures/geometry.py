"""Resize and crop a picture to the tower's square input, as open_clip does, in one step.

open_clip resizes the whole picture and then crops. Both steps together are one resampling of a box of the
source, so a 3000x10 strip needs no 67200x224 bitmap and a reduced decoding can replace the picture. The
box has to follow the integer rounding of both steps: the obvious fractional centre square
differs from them by as little as 26 dB PSNR.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from retrieval.encoders.base import Preprocessing

# Radius of the filter, in output pixels when shrinking and source pixels when enlarging.
_REACH = {"bilinear": 1, "bicubic": 2}

# EXIF orientations in which an axis of the upright picture is reversed relative to the stored one, or swapped.
_FLIPPED_X = frozenset({2, 3, 6, 7})
_FLIPPED_Y = frozenset({3, 4, 7, 8})
_SWAPPED = frozenset({5, 6, 7, 8})


class Box(NamedTuple):
    """Edges in pixels of the picture it belongs to; fractions are allowed."""

    left: float
    top: float
    right: float
    bottom: float


class Fit(NamedTuple):
    """Resize to width x height, then crop the square input at (left, top); pixels."""

    width: int
    height: int
    left: int
    top: int


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """(width, height) in pixels after the EXIF orientation 1..8 has been applied."""
    return (height, width) if orientation in _SWAPPED else (width, height)


def fit(width: int, height: int, preprocessing: Preprocessing) -> Fit:
    """How an upright width x height picture is resized and cropped.

    Reference: torchvision ``Resize`` (long side truncated) and ``CenterCrop`` (offset rounded half to even),
    as put together by open_clip's ``image_transform``.
    """
    size, scaled = preprocessing.size, preprocessing.scaled
    if preprocessing.resize == "squash":
        resized_width = resized_height = scaled
    elif width <= height:
        resized_width, resized_height = scaled, int(scaled * height / width)
    else:
        resized_width, resized_height = int(scaled * width / height), scaled
    left, top = round((resized_width - size) / 2), round((resized_height - size) / 2)
    return Fit(resized_width, resized_height, left, top)


def input_box(width: int, height: int, preprocessing: Preprocessing) -> Box:
    """The box of an upright width x height picture that fills the square input."""
    plan, size = fit(width, height, preprocessing), preprocessing.size
    # Multiply before dividing: an edge on the picture's border is then exactly on it, never slightly outside.
    return Box(
        plan.left * width / plan.width,
        plan.top * height / plan.height,
        (plan.left + size) * width / plan.width,
        (plan.top + size) * height / plan.height,
    )


def fitted(width: int, height: int, most_wide: int, most_high: int) -> tuple[int, int]:
    """The largest (width, height) of the same proportions in a box, each at least 1."""
    scale = min(most_wide / width, most_high / height)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def on_draft(box: Box, width: int, height: int, scale: int, orientation: int) -> Box:
    """The same box on an upright picture that was decoded at 1/scale of width x height.

    A decoder rounds the reduced size up. The excess fraction of a pixel is at the stored right and bottom
    edges, which the orientation may have moved to the left or top.
    """
    left, top, right, bottom = (edge / scale for edge in box)
    dx = math.ceil(width / scale) - width / scale if orientation in _FLIPPED_X else 0
    dy = math.ceil(height / scale) - height / scale if orientation in _FLIPPED_Y else 0
    return Box(left + dx, top + dy, right + dx, bottom + dy)


def surroundings(box: Box, width: int, height: int, preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """The smallest whole-pixel crop of a width x height picture from which ``box`` is resampled to the same values."""
    reach = _REACH[preprocessing.interpolation]
    margin_x = math.ceil(reach * max(1.0, (box.right - box.left) / preprocessing.size)) + 1
    margin_y = math.ceil(reach * max(1.0, (box.bottom - box.top) / preprocessing.size)) + 1
    return (
        max(0, math.floor(box.left) - margin_x),
        max(0, math.floor(box.top) - margin_y),
        min(width, math.ceil(box.right) + margin_x),
        min(height, math.ceil(box.bottom) + margin_y),
    )

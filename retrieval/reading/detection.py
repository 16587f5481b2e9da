"""Detection of lines of text: from a picture to rotated boxes, by Differentiable Binarization.

Reference: M. Liao et al., Real-time Scene Text Detection with Differentiable Binarization, AAAI 2020
(https://arxiv.org/abs/1911.08947). The network was trained to mark the middle of each line, so boxes are enlarged
by area x ratio / perimeter, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.reading.models import Floats, Networks

GLANCE = 736
"""Pixels of the longer side for a quick check: a picture in which it detects nothing is taken to have no text."""

DETAIL = 1536
"""Pixels of the longer side for complete detection; in long pictures, of each window."""

_GLANCE_SEES = 0.25  # minimum of the largest probability in a picture with text
_LEAST = 640  # pixels of the longer side: smaller pictures are enlarged, at most twice
_MARKED = 0.3
_CERTAIN = 0.5
_GROWN = 1.6
_MOST_BOXES = 1000
_LONG = 2.2  # ratio of the sides above which a picture is divided into windows
_OVERLAP = 0.2  # fraction of a window's side
_COVERED = 0.6  # a box covered by another one to this fraction is part of the same line

Boxes = NDArray[np.float32]
"""(n, 4, 2): corners in pixels, clockwise from the upper left of the text, which runs to the right or down."""


def find_lines(picture: NDArray[np.uint8], networks: Networks) -> Boxes:
    """The boxes of lines of text in an upright BGR picture, (h, w, 3)."""
    height, width = picture.shape[:2]
    found = []
    for x, y, w, h in _windows(width, height):
        probabilities, scale = _marked(picture[y : y + h, x : x + w], DETAIL, networks)
        found.append(_boxes(probabilities) / scale + np.array((x, y), np.float32))
    return found[0] if len(found) == 1 else _once(np.concatenate(found))[:_MOST_BOXES]


def is_long(width: int, height: int) -> bool:
    """Whether a picture of this size is divided into windows, so that the quick check would miss text."""
    return len(list(_windows(width, height))) > 1


def sees_text(picture: NDArray[np.uint8], networks: Networks) -> bool:
    """Quick check of a BGR picture of ``GLANCE`` pixels: whether it may contain text."""
    glance, _ = _marked(picture, GLANCE, networks)
    return bool(glance.max(initial=0.0) >= _GLANCE_SEES)


def _windows(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """x, y, width and height of the overlapping windows of a picture."""
    short, long = min(width, height), max(width, height)
    side = min(max(int(_LONG * short), DETAIL), long)
    count = -(-(long - side) // max(int(side * (1 - _OVERLAP)), 1)) + 1
    for n in range(count):
        at = (long - side) * n // max(count - 1, 1)
        yield (0, at, width, side) if height > width else (at, 0, side, height)


def _once(boxes: Boxes) -> Boxes:
    """Remove boxes inside larger ones (by upright bounds): duplicates or parts of lines, from overlapping windows."""
    low, high = boxes.min(1), boxes.max(1)
    areas = np.prod(high - low, axis=1)
    kept: list[int] = []
    for n in np.argsort(-areas, kind="stable").tolist():
        common = np.clip(np.minimum(high[n], high[kept]) - np.maximum(low[n], low[kept]), 0, None)
        if not kept or np.prod(common, axis=1).max() < _COVERED * areas[n]:
            kept.append(n)
    return boxes[sorted(kept)]


def _marked(picture: NDArray[np.uint8], side: int, networks: Networks) -> tuple[Floats, NDArray[np.float32]]:
    """Probabilities of text in a scaled picture, and the factors of scaling (x, y)."""
    import cv2

    height, width = picture.shape[:2]
    factor = min(side / max(height, width), max(1.0, min(2.0, _LEAST / max(height, width))))
    w, h = max(round(width * factor), 1), max(round(height * factor), 1)
    small = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    full = np.zeros((-(-h // 64) * 64, -(-w // 64) * 64, 3), np.uint8)  # few shapes, because each is compiled once
    full[:h, :w] = small
    full[h:, :w], full[:, w:] = full[h - 1 : h, :w], full[:, w - 1 : w]
    found = networks.probabilities(normalised(full))[:h, :w]
    return found, np.array((w / width, h / height), np.float32)


def normalised(picture: NDArray[np.uint8]) -> Floats:
    """Convert (h, w, 3) uint8 to (3, h, w) in [-1, 1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / 127.5 - 1


def _boxes(probabilities: Floats) -> Boxes:
    import cv2

    marked = cv2.dilate((probabilities > _MARKED).astype(np.uint8), np.ones((2, 2), np.uint8))
    outlines, _ = cv2.findContours(marked, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found = [box for outline in outlines[: 4 * _MOST_BOXES] if (box := _grown(outline, probabilities)) is not None]
    return np.array(found, np.float32).reshape(-1, 4, 2)


def _grown(outline: Any, probabilities: Floats) -> Boxes | None:
    """The smallest rotated rectangle around an outline, enlarged; None if it is too small or too uncertain."""
    import cv2

    middle, (across, along), angle = cv2.minAreaRect(outline)
    if min(across, along) < 3:
        return None
    inside = cv2.boxPoints((middle, (across, along), angle))
    if _mean_inside(inside, probabilities) < _CERTAIN:
        return None
    # The smallest rectangle around an offset rectangle is larger by the offset on all four sides.
    by = 2 * across * along * _GROWN / (2 * (across + along))
    return _turned(cv2.boxPoints((middle, (across + by, along + by), angle)))


def _mean_inside(box: Boxes, probabilities: Floats) -> float:
    import cv2

    height, width = probabilities.shape
    low = np.clip(np.floor(box.min(0)), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(box.max(0)), 0, (width - 1, height - 1)).astype(int) + 1
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(mask, [np.round(box - low).astype(np.int32)], 1)
    return float(cv2.mean(probabilities[low[1] : high[1], low[0] : high[0]], mask)[0])


def _turned(box: Boxes) -> Boxes:
    """The same corners in the order of ``Boxes``: text runs along the longer side; squarish boxes are horizontal."""
    edges = np.roll(box, -1, axis=0) - box
    lengths = np.linalg.norm(edges, axis=1)
    if max(lengths[:2]) >= 1.5 * min(lengths[:2]):
        first = int(lengths[1] > lengths[0])
    else:
        first = int(abs(edges[1, 0]) > abs(edges[0, 0]))
    forward = edges[first]
    is_across = abs(forward[0]) >= abs(forward[1])
    if (forward[0] if is_across else forward[1]) < 0:
        first += 2
    box = np.roll(box, -first, axis=0)
    side, down = box[1] - box[0], box[3] - box[0]
    if side[0] * down[1] - side[1] * down[0] < 0:  # counter-clockwise on the screen
        box = box[[3, 2, 1, 0]]
    return box

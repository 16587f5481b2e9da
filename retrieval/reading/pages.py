"""From a picture to its lines of text in reading order, in any orientation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.filters.words import fold_text
from retrieval.pictures.images import read_whole
from retrieval.reading.detection import GLANCE, Boxes, find_lines, is_long, sees_text
from retrieval.reading.models import Networks
from retrieval.reading.recognition import Line, read_lines

LEAST_CONFIDENCE = 0.5
"""Lines with a lower confidence are considered patterns, not text."""

_SIDE = 3072  # pixels of the longer side: print of 8 points on A4 is 24 pixels high
_LONG_SHORT = 1400  # minimum of the shorter side in pixels, for pictures that are long
_MOST_SIDE = 16_384
_DOUBT = 0.85  # lines with a lower confidence are also read upside down
_SAMPLED = 5  # number of lines that are used to detect an upside-down page
_SMALL = 3  # characters; shorter texts are found in many patterns, and upside down as well


def side_for(width: int, height: int) -> int:
    """Maximum of the longer side, in pixels, for reading a picture of this size."""
    long, short = max(width, height), max(min(width, height), 1)
    return max(_SIDE, min(long * _LONG_SHORT // short, _MOST_SIDE))


def read_file(data: bytes, width: int, height: int, networks: Networks) -> list[tuple[Line, Boxes]]:
    """The lines of a picture file, as :func:`read_page`.

    Most photos contain no text. For them, a quick check of a small decoding suffices, which takes a fifth of the time
    for 12 megapixels.

    Args:
        width, height: displayed size of the picture in pixels.

    Raises:
        UnreadableImage: it cannot be decoded.
    """
    if not is_long(width, height) and not sees_text(_pixels(data, GLANCE), networks):
        return []
    return read_page(_pixels(data, side_for(width, height)), networks)


def _pixels(data: bytes, side: int) -> NDArray[np.uint8]:
    """Decode to (h, w, 3) BGR."""
    return np.ascontiguousarray(np.asarray(read_whole(data, side))[:, :, ::-1])


def read_page(picture: NDArray[np.uint8], networks: Networks) -> list[tuple[Line, Boxes]]:
    """The lines of an upright BGR picture, (h, w, 3), with their corners as fractions of its sides, (4, 2)."""
    boxes = find_lines(picture, networks)
    if not len(boxes):
        return []
    lines = read_lines(picture, boxes, networks)
    forward = boxes[:, 1] - boxes[:, 0]
    is_across = np.abs(forward[:, 0]) >= np.abs(forward[:, 1])
    for (group,) in (np.nonzero(is_across), np.nonzero(~is_across)):
        longest = group[np.argsort(-np.linalg.norm(forward[group], axis=1))[:_SAMPLED]]
        if _is_upside_down(picture, boxes[longest], [lines[n] for n in longest], networks):
            _read_again(group, picture, boxes, lines, networks, always=True)
    doubtful = np.array([n for n, line in enumerate(lines) if line.confidence < _DOUBT], int)
    _read_again(doubtful, picture, boxes, lines, networks)
    kept = _believed(lines)
    size = np.array((picture.shape[1], picture.shape[0]), np.float32)
    return [(lines[n], np.clip(boxes[n] / size, 0, 1)) for n in reading_order(boxes[kept], kept)]


def turned_round(boxes: Boxes) -> Boxes:
    """The same boxes for reading upside down."""
    return boxes[:, [2, 3, 0, 1]]


def _is_upside_down(picture: NDArray[np.uint8], boxes: Boxes, lines: Sequence[Line], networks: Networks) -> bool:
    """Whether lines are recognised with more certainty upside down."""
    if not lines or sum(line.confidence * len(line.text) for line in lines) > _DOUBT * sum(
        max(len(line.text), 1) for line in lines
    ):
        return False
    return _certainty(read_lines(picture, turned_round(boxes), networks)) > _certainty(lines)


def _certainty(lines: Sequence[Line]) -> float:
    """Sum of squared confidences, so that many uncertain characters count less than a few certain ones."""
    return sum(line.confidence**2 * len(line.text) for line in lines)


def _read_again(
    numbers: NDArray[np.int_],
    picture: NDArray[np.uint8],
    boxes: Boxes,
    lines: list[Line],
    networks: Networks,
    *,
    always: bool = False,
) -> None:
    """Read some lines upside down; use results that are certain and long enough (all results if ``always``)."""
    if not len(numbers):
        return
    there = turned_round(boxes[numbers])
    for n, box, line in zip(numbers, there, read_lines(picture, there, networks), strict=True):
        if always or (line.confidence > max(lines[n].confidence, _DOUBT) and len(line.text) > _SMALL):
            lines[n], boxes[n] = line, box


def _believed(lines: Sequence[Line]) -> list[int]:
    """The indices of lines that are text: in bark, fur and windows, one or two characters may be recognised.

    Short texts need a higher confidence, and are accepted only if the picture also contains a certain word.
    """
    sizes = [len(fold_text(line.text).replace(" ", "")) for line in lines]
    sure = [line.confidence for line in lines]
    is_page = any(
        (size >= _SMALL and confidence >= 0.7) or (size == 2 and confidence >= 0.95)
        for size, confidence in zip(sizes, sure, strict=True)
    )
    if not is_page:
        return []
    return [
        n
        for n, (size, confidence) in enumerate(zip(sizes, sure, strict=True))
        if size and confidence >= (LEAST_CONFIDENCE if size >= _SMALL else 0.8 if size == 2 else 0.9)
    ]


def reading_order(boxes: Boxes, numbers: Sequence[int]) -> list[int]:
    """``numbers`` in the order of reading their boxes: lines down the page, parts of a line along it.

    The page may be rotated: its direction is the one in which most of the text runs.
    """
    if not len(boxes):
        return []
    forward = boxes[:, 1] - boxes[:, 0]
    along = forward.sum(0)
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    down = np.array((-along[1], along[0]), np.float32)
    middles = boxes.mean(1)
    heights = np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1)
    depth, place = middles @ down, middles @ along
    rows: list[list[int]] = []
    for n in np.argsort(depth, kind="stable"):
        row = rows[-1] if rows else None
        if row is not None and depth[n] - np.mean(depth[row]) < 0.5 * min(heights[n], float(np.mean(heights[row]))):
            row.append(int(n))
        else:
            rows.append([int(n)])
    return [numbers[n] for row in rows for n in sorted(row, key=lambda n: float(place[n]))]

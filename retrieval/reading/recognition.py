"""Recognition of lines: from boxes in a picture to text, with connectionist temporal classification (CTC).

Reference: A. Graves et al., Connectionist Temporal Classification, ICML 2006; best-path decoding, section 3.2.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.reading.detection import Boxes, normalised
from retrieval.reading.models import Floats, Networks

HEIGHT = 48
"""Height in pixels of the network's input."""

_STEP = 160  # widths are multiples of this: each new shape is compiled once
_MOST_WIDTH = 3200
_BATCH_PIXELS = 3840  # width times lines of one call: 70 MB of probabilities


class Line(NamedTuple):
    """The text of a line.

    Args:
        text: without control characters.
        confidence: the mean probability of its characters, in [0, 1]; 0 if there are none.
        ends: end of each character, as a fraction of the line's length.
    """

    text: str
    confidence: float
    ends: tuple[float, ...]


def read_lines(picture: NDArray[np.uint8], boxes: Boxes, networks: Networks) -> list[Line]:
    """The texts in boxes of a BGR picture, (h, w, 3), in the order of the boxes."""
    strips = [_strip(picture, box) for box in boxes]
    read: list[Line] = [Line("", 0.0, ())] * len(strips)
    for batch in _batches([strip.shape[1] for strip in strips]):
        width = -(-max(strips[n].shape[1] for n in batch) // _STEP) * _STEP
        lines = np.zeros((len(batch), 3, HEIGHT, width), np.float32)
        for at, n in enumerate(batch):
            lines[at, :, :, : strips[n].shape[1]] = normalised(strips[n])
        for n, found in zip(batch, networks.characters(lines), strict=True):
            read[n] = _decoded(found, networks.alphabet, strips[n].shape[1] / width)
    return read


def _strip(picture: NDArray[np.uint8], box: Boxes) -> NDArray[np.uint8]:
    """The picture inside a box, rectified to a height of ``HEIGHT`` pixels."""
    import cv2

    length = max(float(np.linalg.norm(box[1] - box[0])), 1.0)
    height = max(float(np.linalg.norm(box[3] - box[0])), 1.0)
    width = int(np.clip(round(length * HEIGHT / height), 8, _MOST_WIDTH))
    # Rectified at its original size (at most 4 * HEIGHT), then averaged: subsampling alone loses strokes.
    fine = max(1, min(4, int(height // HEIGHT)))
    to = np.array(((0, 0), (width * fine, 0), (width * fine, HEIGHT * fine), (0, HEIGHT * fine)), np.float32)
    turned = cv2.getPerspectiveTransform(np.ascontiguousarray(box, np.float32), to)
    size = (width * fine, HEIGHT * fine)
    strip: Any = cv2.warpPerspective(picture, turned, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    if fine > 1:
        strip = cv2.resize(strip, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(strip, np.uint8)


def _batches(widths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of lines for each call of the network: lines of similar width, limited in number."""
    batch: list[int] = []
    for n in sorted(range(len(widths)), key=widths.__getitem__):
        wide = -(-widths[n] // _STEP) * _STEP
        if batch and (wide * (len(batch) + 1) > _BATCH_PIXELS or wide > 2 * max(widths[batch[0]], _STEP)):
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _decoded(found: Floats, alphabet: Sequence[str], filled: float) -> Line:
    """The most probable character of each step, with repetitions merged.

    Args:
        found: (steps, characters).
        filled: fraction of the steps that the line covers; the rest is padding.
    """
    best = found.argmax(1).tolist()
    starts = [n for n, one in enumerate(best) if one and (n == 0 or best[n - 1] != one)]
    texts: list[str] = []
    sure: list[float] = []
    ends: list[float] = []
    for start, following in zip(starts, [*starts, len(best)][1:], strict=True):
        last = start
        while last + 1 < len(best) and best[last + 1] == best[start]:
            last += 1
        # A character ends half-way to the next one; the last one is one step wide.
        behind = following if following < len(best) else last + 2
        end = min((last + 1 + behind) / 2 / (len(best) * filled), 1.0)
        for character in alphabet[best[start]]:
            if unicodedata.category(character)[0] != "C":
                texts.append(character)
                sure.append(float(found[start, best[start]]))
                ends.append(end)
    text = "".join(texts)
    inner = slice(len(text) - len(text.lstrip()), len(text.rstrip()))
    if not text[inner]:
        return Line("", 0.0, ())
    return Line(text[inner], sum(sure) / len(sure), tuple(ends[inner]))

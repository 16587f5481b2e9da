"""From a picture file to its faces: boxes as fractions of the upright picture, and embeddings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.faces.models import Networks
from retrieval.pictures.images import read_whole

SIDE = 1600
"""Pixels of the longer side for detection; smaller pictures are enlarged, at most to twice their size."""

LEAST_FACE = 80 / SIDE
"""Height of the smallest face that is found, as a fraction of the picture's longer side: 5 %."""

LEAST_PIXELS = 40
"""Height in the picture's own pixels: smaller faces are left out, because their embeddings are unreliable."""

MOST_FACES = 100
"""Faces of one picture, those with the highest scores."""


class Face(NamedTuple):
    """A face in a picture.

    Args:
        box: x and y of its upper left corner, width and height, as fractions of the upright picture's width and height.
        score: of the detector, about 1 for a clear face.
        embedding: (128,) float32 with unit length.
    """

    box: tuple[float, float, float, float]
    score: float
    embedding: NDArray[np.float32]


def faces_of(data: bytes, networks: Networks) -> list[Face]:
    """The faces in a picture file, those with the highest score first.

    Raises:
        UnreadableImage: it cannot be decoded.
    """
    picture = read_whole(data, SIDE)
    factor = min(SIDE / max(picture.size), 2.0)
    if factor > 1:
        picture = picture.resize((round(picture.width * factor), round(picture.height * factor)))
    pixels = np.ascontiguousarray(np.asarray(picture))
    height, width = pixels.shape[:2]
    faces = []
    for found in networks.detected(pixels)[:MOST_FACES]:
        left, top, right, bottom = found.box
        if (bottom - top) / max(factor, 1.0) < LEAST_PIXELS:
            continue
        box = _inside(left / width, top / height, right / width, bottom / height)
        faces.append(Face(box, found.score, networks.embedded(pixels, found.box)))
    return faces


def _inside(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """x, y, width and height of the part of a box that lies in the picture."""
    left, top = min(max(left, 0.0), 1.0), min(max(top, 0.0), 1.0)
    return left, top, min(max(right, left), 1.0) - left, min(max(bottom, top), 1.0) - top

"""The eight rotations and reflections of a picture, numbered as in EXIF: 1 none, 3 upside down, 6 and 8 sideways."""

from __future__ import annotations

import numpy as np
from PIL import Image

from retrieval.pictures.decoding import TURNS

UPRIGHT = 1


def turned(image: Image.Image, turn: int) -> Image.Image:
    """The picture as displayed in this orientation."""
    return image.transpose(TURNS[turn]) if turn in TURNS else image


def is_sideways(turn: int) -> bool:
    """True if width and height are swapped."""
    return turn >= 5


def inverse(turn: int) -> int:
    """The turn that reverses this one."""
    return {6: 8, 8: 6}.get(turn, turn)


def composed(first: int, then: int) -> int:
    """The single turn that is equivalent to both, in this order."""
    return _COMPOSED[first, then]


def _composed() -> dict[tuple[int, int], int]:
    probe = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    named = {(turned(probe, turn).size, turned(probe, turn).tobytes()): turn for turn in range(1, 9)}
    return {
        (first, then): named[both.size, both.tobytes()]
        for first in range(1, 9)
        for then in range(1, 9)
        for both in [turned(turned(probe, first), then)]
    }


_COMPOSED = _composed()

"""A picture divided into the patches that become tokens, and joined again; heat maps over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.base import Pixels

Values = NDArray[np.float64]


@dataclass(frozen=True)
class HeatMap:
    """How important each part of a picture is.

    Args:
        method: its name.
        values: (cells, cells), rows from the top; larger is more important. ``meaning`` explains the numbers.
        meaning: a description for the user.
        limits: what the map does not show.
        source: a reference for the method.
        score: cosine between picture and text, if there is a text.
        text: the text that was searched for.
    """

    method: str
    values: Values
    meaning: str
    limits: str
    source: str
    score: float | None = None
    text: str = ""

    @property
    def about(self) -> str:
        """The method's name, and the text that was searched for."""
        return f': "{self.text}"' if self.text else ""

    def shares(self) -> Values:
        """The values scaled to 0..1 for drawing: negative values count against and are drawn as 0."""
        low = max(0.0, float(self.values.min()))
        span = float(self.values.max()) - low
        return np.clip((self.values - low) / span, 0, 1) if span > 0 else np.zeros_like(self.values)


def cut(pixels: Pixels, patch: int) -> Pixels:
    """(3, size, size) -> (grid², 3, patch, patch), row by row from the top left: ViT's x_p (its section 3.1).

    Pixels at the right and bottom that do not fill a patch are left out.
    """
    grid = pixels.shape[-1] // patch
    whole = pixels[:, : grid * patch, : grid * patch]
    blocks = whole.reshape(3, grid, patch, grid, patch).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(blocks.reshape(grid * grid, 3, patch, patch))


def join(patches: Pixels) -> Pixels:
    """(grid², 3, patch, patch) -> (3, grid · patch, grid · patch), the inverse of :func:`cut`."""
    count, channels, patch, _ = patches.shape
    grid = round(count**0.5)
    blocks = patches.reshape(grid, grid, channels, patch, patch).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(blocks.reshape(channels, grid * patch, grid * patch))


def edges(size: int, cells: int) -> NDArray[np.int64]:
    """(cells + 1,) pixel positions of the boundaries of equal cells along a side."""
    return np.round(np.linspace(0, size, cells + 1)).astype(np.int64)

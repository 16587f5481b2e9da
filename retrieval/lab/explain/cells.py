"""A picture cut into the patches that become tokens, and put together again; what a heat map says of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.base import Pixels

Values = NDArray[np.float64]


@dataclass(frozen=True)
class HeatMap:
    """How much each part of a picture counts.

    Args:
        method: its name.
        values: (cells, cells), rows from the top; larger counts more. What the numbers are is said by ``meaning``.
        meaning: in words for a person.
        limits: what it does not say.
        source: who described the method.
        score: cosine between picture and text, where there is a text.
        text: what was looked for.
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
        """What was looked for, behind the method's name."""
        return f': "{self.text}"' if self.text else ""

    def shares(self) -> Values:
        """The values between 0 and 1 for drawing: what is below 0 counts against and is drawn as 0."""
        low = max(0.0, float(self.values.min()))
        span = float(self.values.max()) - low
        return np.clip((self.values - low) / span, 0, 1) if span > 0 else np.zeros_like(self.values)


def cut(pixels: Pixels, patch: int) -> Pixels:
    """(3, size, size) -> (grid², 3, patch, patch), row by row from the top left: ViT's x_p (its section 3.1).

    Pixels at the right and bottom that fill no patch are left out.
    """
    grid = pixels.shape[-1] // patch
    whole = pixels[:, : grid * patch, : grid * patch]
    blocks = whole.reshape(3, grid, patch, grid, patch).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(blocks.reshape(grid * grid, 3, patch, patch))


def join(patches: Pixels) -> Pixels:
    """(grid², 3, patch, patch) -> (3, grid · patch, grid · patch), what :func:`cut` took apart."""
    count, channels, patch, _ = patches.shape
    grid = round(count**0.5)
    blocks = patches.reshape(grid, grid, channels, patch, patch).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(blocks.reshape(channels, grid * patch, grid * patch))


def edges(size: int, cells: int) -> NDArray[np.int64]:
    """(cells + 1,) pixels at which equal cells of a side begin and end."""
    return np.round(np.linspace(0, size, cells + 1)).astype(np.int64)

"""A picture cut into the patches that become tokens, and put together again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.base import Pixels


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

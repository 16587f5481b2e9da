"""A heat map by covering parts of the picture: works for every encoder, because it only needs embeddings."""

from __future__ import annotations

import numpy as np

from indexes.base import Vectors
from retrieval.encoders.base import Encoder, Pixels
from retrieval.lab.explain.cells import HeatMap, Values, edges

CELLS = 14  # maximum per side: 225 covered pictures; finer maps show no more, and each step costs four times as much
FEWEST = 8
_SOURCE = "Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks, section 4.2"


def occlusion_map(
    encoder: Encoder, pixels: Pixels, target: Vectors | None, *, text: str = "", grid: int | None = None
) -> HeatMap:
    """The loss of cosine when a square is covered with the mean colour of the training pictures.

    Args:
        pixels: (3, size, size) uint8.
        target: (dim,) unit vector of the text; None compares with the picture's own embedding.
        text: the text of the target.
        grid: patches along a side, used as cells, but at least 8 and at most 14.

    Raises:
        EncoderError, WeightsUnavailable, RuntimeUnavailable: from the encoder.
    """
    cells = min(max(grid or FEWEST, FEWEST), CELLS)
    cover = max(2, round(cells / 4))
    before = encoder.encode_images(pixels[None])[0]
    aim = before if target is None else target
    drops = float(before @ aim) - _covered(encoder, pixels, cells, cover) @ aim.astype(np.float64)
    values = _spread(drops.reshape(cells + cover - 1, cells + cover - 1), cover)
    share = round(100 * (cover / cells) ** 2)
    what = f'with "{text}"' if text else "with the embedding of the whole picture"
    return HeatMap(
        method="occlusion",
        values=values,
        meaning=f"how far the cosine {what} falls when a square of {share} % of the picture is covered there",
        limits="a covered picture is one that no model was trained on, and two things that stand for each other "
        "(two dogs) hide each other: neither is missed alone",
        source=_SOURCE,
        score=None if target is None else float(before @ aim),
        text=text,
    )


def _covered(encoder: Encoder, pixels: Pixels, cells: int, cover: int) -> Values:
    """(positions, dim): embeddings of the picture, covered at each position of the sliding square."""
    size = pixels.shape[-1]
    at = edges(size, cells)
    colour = np.round(255 * np.array(encoder.spec.preprocessing.mean)).astype(np.uint8)[:, None, None]
    # The square starts partly outside, so that every cell is covered equally often, including those at the border.
    spans = [(at[max(0, n - cover + 1)], at[min(cells, n + 1)]) for n in range(cells + cover - 1)]
    positions = [(rows, columns) for rows in spans for columns in spans]
    found = []
    for first in range(0, len(positions), encoder.batch_size):
        some = positions[first : first + encoder.batch_size]
        batch = np.repeat(pixels[None], len(some), axis=0)
        for picture, ((top, bottom), (left, right)) in zip(batch, some, strict=True):
            picture[:, top:bottom, left:right] = colour
        found.append(encoder.encode_images(batch))
    return np.concatenate(found).astype(np.float64)


def _spread(drops: Values, cover: int) -> Values:
    """(cells, cells): for each cell, the mean over the squares that cover it."""
    windows = np.lib.stride_tricks.sliding_window_view(drops, (cover, cover))
    values: Values = windows.mean(axis=(-1, -2))
    return values

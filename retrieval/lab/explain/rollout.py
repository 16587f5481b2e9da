"""Attention rollout: from the attention of all blocks to the contribution of each patch to the embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SettingsError
from retrieval.lab.explain.cells import HeatMap, Values
from retrieval.lab.explain.shape import VisionShape

_SOURCE = "Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers"


def rollout(attentions: Sequence[NDArray[np.floating]]) -> Values:
    """(t, t): how much each input token (column) contributes to each final token (row); rows sum to 1.

    Reference: Abnar & Zuidema 2020: the mean over heads, averaged with the identity for the residual connection
    (0.5 A + 0.5 I), multiplied through all blocks.

    Args:
        attentions: of each block, first to last, (heads, t, t) with rows that sum to 1.
    """
    mixed = np.eye(attentions[0].shape[-1])
    for block in attentions:
        mean = block.astype(np.float64).mean(axis=0)
        step = 0.5 * mean + 0.5 * np.eye(len(mean))
        mixed = (step / step.sum(axis=-1, keepdims=True)) @ mixed
    return mixed


def rollout_map(attentions: Sequence[NDArray[np.floating]], shape: VisionShape, name: str) -> HeatMap:
    """The heat map of a tower's blocks, and of its attention pooling if it has one.

    Args:
        attentions: (heads, t, t) of each block; then (heads, 1, t) of the pooling.

    Raises:
        SettingsError: the attention does not fit this shape: another kind of model.
    """
    t = shape.tokens
    blocks = [each for each in attentions if each.shape[-2:] == (t, t)]
    pooling = [each for each in attentions if each.shape[-2:] == (1, t)]
    if len(blocks) != shape.layers or len(pooling) != (shape.pool == "map"):
        raise SettingsError(f"{name} does not show its attention", "use --heat occlusion")
    mixed = rollout(blocks)
    if shape.pool == "map":
        row = pooling[0].astype(np.float64).mean(axis=0)[0] @ mixed
    elif shape.pool == "cls":
        row = mixed[0]
    else:
        row = mixed[shape.prefix :].mean(axis=0)
    return HeatMap(
        method="rollout",
        values=row[shape.prefix :].reshape(shape.grid, shape.grid),
        meaning="how much of the embedding comes from each patch, if attention were all there is",
        limits="attention says what was mixed, not what mattered: values, perceptrons and texts play no part in it",
        source=_SOURCE,
    )

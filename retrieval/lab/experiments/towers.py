"""The small models that are compared: transformers that end in a number a class, and a network of convolutions."""

from __future__ import annotations

from typing import Any

import torch

from retrieval.lab.experiments.setting import Setting
from retrieval.lab.training.towers import ImageTower, ImageTowerConfig


def transformer(setting: Setting, classes: int, **changes: Any) -> ImageTower:
    """A vision transformer whose common space is one number a class; ``changes`` to its :class:`ImageTowerConfig`."""
    form: dict[str, Any] = {
        "size": setting.size,
        "patch": setting.patch,
        "width": setting.width,
        "layers": setting.layers,
        "heads": setting.heads,
        "dim": classes,
    }
    return ImageTower(ImageTowerConfig(**{**form, **changes}))


def convolutional(setting: Setting, classes: int) -> ImageTower:
    """Three convolutional stages of stride 2 with a residual block in the later two, and the mean over positions.

    It is the stem of the hybrid tower without any attention behind it. At the setting's widths it has about as many
    parameters and FLOPs as the transformer with patches of 8 pixels.
    """
    width = setting.width
    stem = (width // 6, width // 2, 4 * width // 3)
    return without_positions(
        transformer(setting, classes, patch=8, layers=0, stem=stem, blocks=(0, 1, 1), pooling="mean")
    )


def without_positions(tower: ImageTower) -> ImageTower:
    """The same tower with position embeddings that are zero and stay so."""
    with torch.no_grad():
        tower.positions.zero_()
    tower.positions.requires_grad_(False)
    return tower

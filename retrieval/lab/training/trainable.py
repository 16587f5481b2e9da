"""The interface that the trainer needs of a model of any library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from indexes.base import Vectors
from retrieval.encoders.base import EncoderSpec, Pixels, Preprocessing, unit
from retrieval.errors import SettingsError
from retrieval.lab.training.augment import normalised
from retrieval.streams import plural

_AT_ONCE = 64
SIGMOID_SCALE, SIGMOID_BIAS = 10.0, -10.0
"""Initial temperature and bias of the sigmoid loss (Zhai et al. 2023, section 3.2)."""


@dataclass(frozen=True)
class Layers:
    """The parts that can be trained separately.

    Attributes:
        image, text: the blocks of each tower, starting at the input.
        heads: the layers after the blocks: last norms and projections.
    """

    image: Sequence[nn.Module]
    text: Sequence[nn.Module]
    heads: Sequence[nn.Module | nn.Parameter]


class Trainable(ABC):
    """Two towers on torch that can be trained, used like an encoder, and written as one.

    Attributes:
        module: contains every parameter, including the temperature and the bias.
        spec: of the initial encoder; its name becomes that of the result.
        variation_suits: False if the recipe of the model has no mirrored pictures.
    """

    def __init__(self, module: nn.Module, spec: EncoderSpec) -> None:
        self.module, self.spec = module, spec

    @abstractmethod
    def image_features(self, images: Tensor) -> Tensor:
        """(n, 3, size, size) normalised to (n, dim), not of unit length."""

    @abstractmethod
    def text_features(self, tokens: Tensor) -> Tensor:
        """(n, t) ids to (n, dim), not of unit length."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(n, t) int64 ids, t <= context."""

    @abstractmethod
    def is_cut(self, text: str) -> bool:
        """True if the tokenizer truncates ``text``."""

    @abstractmethod
    def scale(self) -> Tensor:
        """The factor of the cosines, with its gradient."""

    @abstractmethod
    def bias(self) -> Tensor | None:
        """The bias of the logits in a sigmoid loss."""

    @abstractmethod
    def use_sigmoid(self) -> None:
        """Prepare the model for the sigmoid loss, if it has no bias yet: add one, and set the initial scale."""

    @abstractmethod
    def layers(self) -> Layers:
        """The parts of the towers, for :func:`freeze`."""

    @abstractmethod
    def write(self, folder: Path, name: str, templates: Sequence[str]) -> dict[str, Any]:
        """Write the encoder, and the state for further training, to ``folder``; return the parity report."""

    # The interface of an encoder, for evaluation

    streams = 1
    batch_size = _AT_ONCE

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of pictures."""
        return self.spec.preprocessing

    @property
    def device(self) -> str:
        """The device of the module, as text."""
        return str(self.place)

    @property
    def place(self) -> torch.device:
        """The device of the module."""
        return next(self.module.parameters()).device

    @torch.no_grad()
    def encode_images(self, pixels: Pixels) -> Vectors:
        """(n, 3, size, size) uint8 to (n, dim) float32 unit vectors."""
        rows = []
        with evaluating(self.module):
            for at in range(0, len(pixels), _AT_ONCE):
                part = torch.from_numpy(np.ascontiguousarray(pixels[at : at + _AT_ONCE])).to(self.place)
                x = normalised(part.float() / 255, self.preprocessing.mean, self.preprocessing.std)
                rows.append(self.image_features(x).float().cpu().numpy())
        return unit(np.concatenate(rows))

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts to (n, dim) float32 unit vectors."""
        rows = []
        with evaluating(self.module):
            for at in range(0, len(texts), _AT_ONCE):
                tokens = self.tokenize(texts[at : at + _AT_ONCE]).to(self.place)
                rows.append(self.text_features(tokens).float().cpu().numpy())
        return unit(np.concatenate(rows))


class evaluating:  # noqa: N801 - used as a statement
    """``with evaluating(module)``: evaluation mode inside the block; afterwards every part has its previous mode."""

    def __init__(self, module: nn.Module) -> None:
        self._modes = [(part, part.training) for part in module.modules()]
        self._module = module

    def __enter__(self) -> None:
        self._module.eval()

    def __exit__(self, *_: object) -> None:
        for part, mode in self._modes:
            part.training = mode


def freeze(model: Trainable, last_blocks: int | None) -> int:
    """Make everything trainable (None), or only the last blocks of both towers and the layers after them.

    Returns:
        The number of trained parameters.

    Raises:
        SettingsError: the towers have fewer blocks.
    """
    model.module.requires_grad_(last_blocks is None)
    model.module.train(last_blocks is None)
    if last_blocks is not None:
        layers = model.layers()
        most = max(len(layers.image), len(layers.text))
        if not 0 <= last_blocks <= most:
            raise SettingsError(f"the towers have no {plural(last_blocks, 'block')}", f"--last-blocks 0 to {most}")
        for blocks in (layers.image, layers.text):
            for block in list(blocks)[max(0, len(blocks) - last_blocks) :]:
                block.requires_grad_(True).train()
        for head in layers.heads:
            head.requires_grad_(True)
        for name, parameter in model.module.named_parameters():
            if name.rpartition(".")[2] in ("log_scale", "bias", "logit_scale", "logit_bias") and parameter.ndim == 0:
                parameter.requires_grad_(True)
    return sum(parameter.numel() for parameter in model.module.parameters() if parameter.requires_grad)

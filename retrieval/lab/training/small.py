"""Training of our own small model: from scratch in one of three sizes, or continuing an earlier run."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.encoders.base import EncoderSpec, Preprocessing
from retrieval.encoders.files.checks import build_row, load_json, write_atomically
from retrieval.encoders.files.description import TextTower as TextRow
from retrieval.encoders.files.description import TokenizerSpec, read_encoder_folder
from retrieval.encoders.files.merges import MergeTable
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.onnx.tokenizer import ClipTokenizer
from retrieval.errors import SettingsError, WeightsUnavailable
from retrieval.lab.training.export import export_towers
from retrieval.lab.training.towers import ImageTower, ImageTowerConfig, SmallClip, TextTower, TextTowerConfig
from retrieval.lab.training.trainable import SIGMOID_BIAS, SIGMOID_SCALE, Layers, Trainable

TORCH_FOLDER = "torch"
"""Subfolder of a trained model's folder, for further training."""

_CONFIG, _WEIGHTS, _MERGES = "towers.json", "model.safetensors", "merges.bin"
_FORMAT = 1
MEAN, STD = (0.480, 0.457, 0.408), (0.269, 0.261, 0.276)


def _sizes(vocabulary: int) -> dict[str, tuple[ImageTowerConfig, TextTowerConfig]]:
    return {
        "tiny": (
            ImageTowerConfig(
                size=32, patch=8, width=96, layers=3, heads=3, dim=64, stem=(24, 48, 96), blocks=(0, 0, 0)
            ),
            TextTowerConfig(vocabulary, context=24, width=96, layers=2, heads=3, dim=64),
        ),
        "small": (
            ImageTowerConfig(
                size=64, patch=16, width=320, layers=2, heads=5, dim=256, stem=(32, 96, 224, 320), blocks=(0, 2, 3, 0)
            ),
            TextTowerConfig(vocabulary, context=32, width=256, layers=4, heads=4, dim=256),
        ),
        "medium": (
            ImageTowerConfig(
                size=128, patch=16, width=384, layers=8, heads=6, dim=384, stem=(48, 96, 192, 384), blocks=(0, 1, 2, 0)
            ),
            TextTowerConfig(vocabulary, context=48, width=384, layers=6, heads=6, dim=384),
        ),
    }


SIZES = tuple(_sizes(0))
"""``tiny`` is for experiments (32 px, 0.5 million parameters in the image tower), ``small`` has the built-in
model's form (64 px), ``medium`` is for a hundred thousand pictures and a GPU (128 px)."""


class SmallModel(Trainable):
    """:class:`SmallClip` with its tokenizer.

    Args:
        clip: the towers.
        merges: the tokenizer's table.
    """

    module: SmallClip

    def __init__(self, clip: SmallClip, spec: EncoderSpec, merges: Path) -> None:
        super().__init__(clip, spec)
        self._merges = merges
        start = MergeTable.id_of(len(MergeTable(merges)))
        tokens = TokenizerSpec("clip-bpe", merges.name, start=start, end=start + 1)
        row = TextRow(_WEIGHTS, "clip-weights", tokens, clip.text.config.context, heads=clip.text.config.heads)
        self._tokenizer = ClipTokenizer(merges, row)

    def image_features(self, images: Tensor) -> Tensor:
        features: Tensor = self.module.image(images)
        return features

    def text_features(self, tokens: Tensor) -> Tensor:
        features: Tensor = self.module.text(tokens)
        return features

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Rows as long as the longest text: a causal tower ignores what follows the end token."""
        rows = [self._tokenizer.encode(text) for text in texts]
        length = max(map(len, rows))
        return torch.tensor([row + [0] * (length - len(row)) for row in rows])

    def is_cut(self, text: str) -> bool:
        return self._tokenizer.is_cut(text)

    def scale(self) -> Tensor:
        return self.module.scale()

    def bias(self) -> Tensor | None:
        return self.module.bias

    def use_sigmoid(self) -> None:
        if self.module.bias is None:
            place = self.module.log_scale.device
            self.module.bias = nn.Parameter(torch.tensor(SIGMOID_BIAS, device=place))
            with torch.no_grad():
                self.module.log_scale.fill_(math.log(SIGMOID_SCALE))

    def layers(self) -> Layers:
        image, text = self.module.image, self.module.text
        return Layers(list(image.blocks), list(text.blocks), [image.norm, image.project, text.norm, text.project])

    def write(self, folder: Path, name: str, templates: Sequence[str]) -> dict[str, Any]:
        self._write_torch(folder / TORCH_FOLDER)
        bias = self.module.bias
        parity = export_towers(
            self.module.image,
            self.module.text,
            folder,
            merges=self._merges,
            preprocessing=self.preprocessing,
            name=name,
            licence=self.spec.licence,
            scale=float(self.scale().detach()),
            bias=None if bias is None else float(bias.detach()),
            templates=templates,
        )
        return asdict(parity)

    def _write_torch(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        if self._merges.resolve() != (folder / _MERGES).resolve():
            shutil.copyfile(self._merges, folder / _MERGES)
        state = {k: v.detach().cpu().contiguous().clone() for k, v in self.module.state_dict().items()}
        save_file(state, str(folder / _WEIGHTS))
        body = {
            "format": _FORMAT,
            "image": asdict(self.module.image.config),
            "text": asdict(self.module.text.config),
            "has_bias": self.module.bias is not None,
        }
        write_atomically(folder / _CONFIG, json.dumps(body, indent=1) + "\n")


def from_scratch(size: str = "small", *, seed: int = 0, merges: Path | None = None) -> SmallModel:
    """A new model with random weights, drawn from ``seed``.

    Args:
        size: one of :data:`SIZES`.
        merges: of its tokenizer; default: the built-in model's.

    Raises:
        SettingsError: an unknown size.
    """
    merges = merges or BUILTIN_FOLDER / _MERGES
    sizes = _sizes(MergeTable.id_of(len(MergeTable(merges))) + 2)
    if size not in sizes:
        raise SettingsError(f"no size is called {size!r}", f"use one of {', '.join(sizes)}")
    image, text = sizes[size]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        clip = SmallClip(ImageTower(image), TextTower(text))
    preprocessing = Preprocessing(size=image.size, mean=MEAN, std=STD)
    return SmallModel(clip, _spec(clip, f"scratch-{size}", preprocessing, "yours"), merges)


def is_small(folder: Path) -> bool:
    """True if an earlier run left one of our models that can be trained further."""
    return (folder / TORCH_FOLDER / _CONFIG).is_file()


def load_small(folder: Path) -> SmallModel:
    """The model of an earlier run.

    Args:
        folder: written by that run; weights are safetensors, no pickle is read.

    Raises:
        WeightsUnavailable: something is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    inner = folder / TORCH_FOLDER
    body = load_json(inner / _CONFIG)
    described = read_encoder_folder(folder).spec
    try:
        if body["format"] != _FORMAT:
            raise ValueError(f"format {body['format']!r}")
        image = build_row(ImageTowerConfig, {k: _as_tuple(v) for k, v in body["image"].items()}, "image")
        text = build_row(TextTowerConfig, body["text"], "text")
        clip = SmallClip(ImageTower(image), TextTower(text), bias=SIGMOID_BIAS if body["has_bias"] else None)
        clip.load_state_dict(load_file(str(inner / _WEIGHTS)))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsUnavailable(f"{inner} is damaged: {reason}", "train it again") from error
    spec = replace(_spec(clip, described.name, described.preprocessing, described.licence), family=described.family)
    return SmallModel(clip, spec, inner / _MERGES)


def _spec(clip: SmallClip, name: str, preprocessing: Preprocessing, licence: str) -> EncoderSpec:
    return EncoderSpec(
        name=name,
        family="clip",
        source="trained",
        dim=clip.image.config.dim,
        preprocessing=preprocessing,
        has_text=True,
        context_length=clip.text.config.context,
        licence=licence,
        fingerprint="",  # the weights still change
    )


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

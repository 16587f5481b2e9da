"""Training of any open_clip model; written in open_clip's own form and in ours."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retrieval.encoders.files.checks import write_atomically
from retrieval.encoders.install.export import export_onnx
from retrieval.encoders.names.open_clip_weights import CONFIG, SAFE_NAMES, find_source
from retrieval.encoders.torch.clip import ClipEncoder
from retrieval.errors import EncoderError
from retrieval.lab.training.small import TORCH_FOLDER
from retrieval.lab.training.trainable import SIGMOID_BIAS, SIGMOID_SCALE, Layers, Trainable

_LARGEST_SCALE = 100.0
_IMAGE_BLOCKS = ("transformer.resblocks", "trunk.blocks")
_TEXT_BLOCKS = ("transformer.resblocks",)
_IMAGE_HEADS = ("ln_post", "proj", "trunk.norm", "trunk.fc_norm", "trunk.attn_pool", "trunk.head", "head")
_TEXT_HEADS = ("ln_final", "text_projection")


class OpenClipModel(Trainable):
    """An open_clip model.

    Args:
        encoder: its weights are trained in place; it must not be used otherwise.
    """

    module: Any

    def __init__(self, encoder: ClipEncoder) -> None:
        self._encoder = encoder
        super().__init__(encoder.model.float(), encoder.spec)
        self.module.requires_grad_(True)

    def image_features(self, images: Tensor) -> Tensor:
        features: Tensor = self.module.encode_image(images)
        return features

    def text_features(self, tokens: Tensor) -> Tensor:
        features: Tensor = self.module.encode_text(tokens)
        return features

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self._encoder.tokenize(texts)

    def is_cut(self, text: str) -> bool:
        return self._encoder.is_cut(text)

    def scale(self) -> Tensor:
        scale: Tensor = self.module.logit_scale.exp().clamp(max=_LARGEST_SCALE)
        return scale

    def bias(self) -> Tensor | None:
        bias: Tensor | None = self.module.logit_bias
        return bias

    def use_sigmoid(self) -> None:
        if self.module.logit_bias is None:
            self.module.logit_bias = nn.Parameter(torch.tensor(SIGMOID_BIAS, device=self.place))
            with torch.no_grad():
                self.module.logit_scale.fill_(math.log(SIGMOID_SCALE))

    def layers(self) -> Layers:
        text = getattr(self.module, "text", self.module)
        image_blocks, text_blocks = _first(self.module.visual, _IMAGE_BLOCKS), _first(text, _TEXT_BLOCKS)
        if image_blocks is None or text_blocks is None:
            raise EncoderError(f"{self.spec.name} is not made of blocks in a row", "train all of it: --full")
        heads = [_at(self.module.visual, name) for name in _IMAGE_HEADS] + [_at(text, name) for name in _TEXT_HEADS]
        return Layers(
            list(image_blocks), list(text_blocks), [h for h in heads if isinstance(h, nn.Module | nn.Parameter)]
        )

    def write(self, folder: Path, name: str, templates: Sequence[str]) -> dict[str, Any]:
        weights = folder / TORCH_FOLDER / name
        self._write_torch(weights)
        source = replace(find_source(str(weights)), name=name, licence=self.spec.licence)
        written = ClipEncoder(source, device="cpu", precision="fp32")
        written.spec = replace(written.spec, family=self.spec.family, prompt_templates=tuple(templates))
        made = folder / TORCH_FOLDER / "exported"
        report = export_onnx(written, made)
        # The description last: a folder that has one is a complete model.
        for file in sorted(report.folder.iterdir(), key=lambda path: path.name == "encoder.json"):
            file.replace(folder / file.name)
        shutil.rmtree(made)
        return {
            "image": report.image_difference,
            "text": report.text_difference,
            "gate": report.gate,
            "bytes": report.bytes,
            "seconds": report.seconds,
        }

    def _write_torch(self, folder: Path) -> None:
        """Write open_clip's own form, for a GPU and for further training: ``local-dir:FOLDER``."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.detach().cpu().contiguous().clone() for k, v in self.module.state_dict().items()}
        save_file(state, str(folder / SAFE_NAMES[0]))
        source, settings = self._encoder.source, self.preprocessing
        model_cfg = json.loads(json.dumps(dict(source.model_cfg)))
        if self.module.logit_bias is not None:
            model_cfg.setdefault("init_logit_bias", SIGMOID_BIAS)
        prepare: dict[str, Any] = {"mean": settings.mean, "std": settings.std}
        prepare |= {"interpolation": settings.interpolation, "resize_mode": settings.resize}
        body = {"model_cfg": model_cfg, "preprocess_cfg": prepare}
        write_atomically(folder / CONFIG, json.dumps(body, indent=1) + "\n")
        if source.tokenizer is not None:
            for file in source.tokenizer.iterdir():
                if file.name.startswith(("tokenizer", "special_tokens", "vocab", "merges", "sentencepiece")):
                    shutil.copyfile(file, folder / file.name)


def is_open_clip(folder: Path) -> Path | None:
    """The torch form of an open_clip model that an earlier run left in ``folder``."""
    inner = folder / TORCH_FOLDER
    found = [path for path in inner.iterdir() if (path / CONFIG).is_file()] if inner.is_dir() else []
    return found[0] if len(found) == 1 else None


def _at(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


def _first(module: Any, paths: Sequence[str]) -> Any:
    return next((found for path in paths if (found := _at(module, path)) is not None), None)

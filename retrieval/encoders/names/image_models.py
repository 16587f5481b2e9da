"""Names of image-only models: timm checkpoint, feature and input size. Contains only data and names.

A name is ``MODEL[+POOL][@SIZE][=PATH]``: ``dinov2-b14``, ``dinov2-b14+gap``, ``vit-b16@384``, ``timm:NAME+cls``,
``mae-b16=weights/model.safetensors``. The model's own defaults are left out of the canonical name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from retrieval.errors import SettingsError

TIMM = "timm:"
Pool = Literal["own", "cls", "gap", "cls+gap"]
"""Which feature is the embedding: ``own`` the model's own pooling; ``cls`` the class token, ``gap`` the mean of the
patch tokens (without class and register tokens), ``cls+gap`` both concatenated; all after the last norm."""

_NAME = re.compile(r"(?P<model>[^+@=]+)(?:\+(?P<pool>[^@=]*))?(?:@(?P<size>[^=]*))?(?:=(?P<path>.+))?", re.DOTALL)
_LARGEST = 4096


@dataclass(frozen=True)
class ImageModel:
    """One image-only model.

    Args:
        name: its name in commands.
        family: ``vit``, ``dinov2``, ``mae``, ``dinov3`` or ``resnet``.
        checkpoint: timm's ``ARCHITECTURE.TAG``.
        licence: of the weights.
        pool: the feature that its authors use.
        dim: of that feature.
        size: default side of the square input, pixels.
        params: in millions; ``gflops`` of one image at ``size``, two per multiply-add.
        crop: fraction of the scaled side that is kept, if the authors' evaluation differs from timm's record.
        meta_positions: position embeddings are resized by the formula of Meta's DINOv2 code, not by timm's, which
            differs by 2.4 % on the class token at 224 pixels.
        note: shown to users who choose a model.
    """

    name: str
    family: str
    checkpoint: str
    licence: str
    pool: Pool
    dim: int
    size: int
    params: float
    gflops: float
    crop: float | None = None
    meta_positions: bool = False
    note: str = ""


@dataclass(frozen=True)
class ImageForm:
    """A parsed name.

    Args:
        model: ``dinov2-b14`` or ``timm:NAME``.
        row: its row in the table; None for ``timm:NAME``.
        pool, size: as requested, None for the model's default.
        path: weight file, or folder with one; "" for the hub's cache.
    """

    model: str
    row: ImageModel | None
    pool: Pool | None = None
    size: int | None = None
    path: str = ""

    @property
    def name(self) -> str:
        """The canonical name."""
        pool = f"+{self.pool}" if self.pool else ""
        size = f"@{self.size}" if self.size else ""
        path = f"={self.path}" if self.path else ""
        return f"{self.model}{pool}{size}{path}"

    @property
    def checkpoint(self) -> str:
        """timm's name of the architecture and the weights."""
        return self.row.checkpoint if self.row else self.model.removeprefix(TIMM)


_IN21K = "trained on ImageNet-21k with labels"
_NON_COMMERCIAL = "CC-BY-NC-4.0"


def _vit(name: str, checkpoint: str, dim: int, params: float, gflops: float, note: str = _IN21K) -> ImageModel:
    return ImageModel(name, "vit", checkpoint, "Apache-2.0", "cls", dim, 224, params, gflops, note=note)


def _dinov2(name: str, architecture: str, dim: int, params: float, gflops: float, knn: float | None) -> ImageModel:
    has_registers = name.endswith("-reg")
    return ImageModel(
        name=f"dinov2-{name}",
        family="dinov2",
        checkpoint=f"vit_{architecture}_patch14{'_reg4' if has_registers else ''}_dinov2.lvd142m",
        licence="Apache-2.0",
        pool="cls",
        dim=dim,
        size=224,
        params=params,
        gflops=gflops,
        crop=224 / 256,
        # The code of the models with registers resizes like timm.
        meta_positions=not has_registers,
        note=f"ImageNet k-NN {knn} (its authors)" if knn else "",
    )


def _mae(size: str, architecture: str, dim: int, params: float, gflops: float) -> ImageModel:
    note = "trained without labels by masking; needs a probe or fine-tuning to be good at search"
    checkpoint = f"vit_{architecture}_224.mae"
    return ImageModel(f"mae-{size}", "mae", checkpoint, _NON_COMMERCIAL, "cls", dim, 224, params, gflops, note=note)


def _dinov3(size: str, architecture: str, dim: int, params: float, gflops: float) -> ImageModel:
    checkpoint = f"vit_{architecture}_patch16_dinov3.lvd1689m"
    return ImageModel(f"dinov3-{size}", "dinov3", checkpoint, "dinov3-license", "cls", dim, 256, params, gflops)


_ROWS = (
    _vit("vit-b16", "vit_base_patch16_224.augreg2_in21k_ft_in1k", 768, 85.8, 35.1),
    _vit("vit-b32", "vit_base_patch32_224.augreg_in21k_ft_in1k", 768, 87.5, 8.8),
    _vit("vit-b8", "vit_base_patch8_224.augreg2_in21k_ft_in1k", 768, 85.8, 156.3),
    _vit("vit-l16", "vit_large_patch16_224.augreg_in21k_ft_in1k", 1024, 303.3, 123.1),
    _vit("vit-h14", "vit_huge_patch14_224.orig_in21k", 1280, 630.8, 334.6,
         f"{_IN21K}; the paper's H/14 (JFT) was never released"),
    _dinov2("s14", "small", 384, 22.1, 12.2, 79.0),
    _dinov2("s14-reg", "small", 384, 22.1, 12.5, None),
    _dinov2("b14", "base", 768, 86.6, 46.3, 82.1),
    _dinov2("b14-reg", "base", 768, 86.6, 47.1, None),
    _dinov2("l14", "large", 1024, 304.4, 162.0, 83.5),
    _dinov2("l14-reg", "large", 1024, 304.4, 164.6, None),
    _dinov2("g14", "giant", 1536, 1136.5, 598.8, 83.5),
    _dinov2("g14-reg", "giant", 1536, 1136.5, 608.3, 83.7),
    _mae("b16", "base_patch16", 768, 85.8, 35.1),
    _mae("l16", "large_patch16", 1024, 303.3, 123.1),
    _mae("h14", "huge_patch14", 1280, 630.8, 334.6),
    _dinov3("s16", "small", 384, 21.6, 12.5),
    _dinov3("s16plus", "small_plus", 384, 28.7, 16.2),
    _dinov3("b16", "base", 768, 85.6, 47.1),
    _dinov3("l16", "large", 1024, 303.1, 164.7),
    _dinov3("h16plus", "huge_plus", 1280, 840.5, 449.5),
    _dinov3("7b16", "7b", 4096, 6716.0, 3549.3),
    ImageModel("resnet50", "resnet", "resnet50.a1_in1k", "Apache-2.0", "own", 2048, 224, 23.5, 8.2,
               note="a CNN for comparison"),
)  # fmt: skip

IMAGE_MODELS: Mapping[str, ImageModel] = MappingProxyType({row.name: row for row in _ROWS})
"""By name. Parameters and GFLOPs are counted, not measured; accuracies are the authors'."""


def parse_image_name(name: str) -> ImageForm | None:
    """Parse the name of an image-only model; None if it is something else.

    Raises:
        SettingsError: a known model with an invalid pooling or size.
    """
    found = _NAME.fullmatch(name.strip())
    if found is None:
        return None
    model = found["model"].strip()
    row = IMAGE_MODELS.get(model.casefold())
    if row is None and not (model.startswith(TIMM) and len(model) > len(TIMM)):
        return None
    pool, size = _pool(found["pool"], name), _size(found["size"], name)
    if row is not None:
        model, pool, size = row.name, None if pool == row.pool else pool, None if size == row.size else size
    return ImageForm(model, row, None if pool == "own" and row is None else pool, size, found["path"] or "")


def _pool(text: str | None, name: str) -> Pool | None:
    if text is None:
        return None
    for known in get_args(Pool):
        if text.casefold() == known:
            return known  # type: ignore[no-any-return]
    raise SettingsError(f"{name}: there is no pooling {text!r}", f"use one of {', '.join(get_args(Pool))}")


def _size(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text) <= _LARGEST:
        return int(text)
    raise SettingsError(f"{name}: {text!r} is not a valid input size", f"give the side in pixels, from 1 to {_LARGEST}")

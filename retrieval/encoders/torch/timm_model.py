"""Build an image-only timm model from a local file: all weights are loaded, nothing is downloaded or random."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import torch
from torch.nn import functional

from retrieval.encoders.names.image_models import Pool
from retrieval.encoders.names.open_clip import INSTALL_TORCH
from retrieval.encoders.names.timm_weights import ImageSource
from retrieval.errors import EncoderError, RuntimeUnavailable, SettingsError, WeightsUnavailable


class ImageTower(torch.nn.Module):
    """A timm model, and which of its features is the embedding.

    Args:
        trunk: without classifier.
        pool: see ``image_models.Pool``.

    Raises:
        SettingsError: this model has no such feature.
    """

    def __init__(self, trunk: torch.nn.Module, pool: Pool) -> None:
        super().__init__()
        self.trunk: Any = trunk
        self.pool = pool
        self.prefix_tokens = int(getattr(trunk, "num_prefix_tokens", None) or 0)
        self._check()

    @property
    def dim(self) -> int:
        """Embedding dimension."""
        return int(self.trunk.num_features) * (2 if self.pool == "cls+gap" else 1)

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) float, normalised -> (n, dim), not of unit length."""
        tokens = self.trunk.forward_features(pixels)
        if self.pool == "own":
            pooled: torch.Tensor = self.trunk.forward_head(tokens, pre_logits=True)
            return pooled
        parts = []
        if self.pool != "gap":
            parts.append(tokens[:, 0])
        if self.pool != "cls":
            parts.append(tokens[:, self.prefix_tokens :].mean(dim=1))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def patch_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) float, normalised -> (n, patches, width): the last norm's output without class and
        register tokens, row by row from the top left."""
        if not hasattr(self.trunk, "num_prefix_tokens"):
            raise SettingsError("this model has no patch tokens", "use a ViT")
        tokens: torch.Tensor = self.trunk.forward_features(pixels)
        return tokens[:, self.prefix_tokens :]

    def _check(self) -> None:
        if self.pool == "own":
            return
        if not hasattr(self.trunk, "num_prefix_tokens"):
            raise SettingsError(f"this model has no tokens to pool with +{self.pool}", "omit the pooling")
        if self.pool != "gap" and not getattr(self.trunk, "cls_token", None) is not None:
            raise SettingsError(f"this model has no class token for +{self.pool}", "use +gap")
        if not isinstance(getattr(self.trunk, "fc_norm", None), torch.nn.Identity | None):
            # Its last norm is applied to the mean: the tokens themselves were never normalised in training.
            raise SettingsError(f"this model was trained with its own pooling, not +{self.pool}", "use +own")


def build_image_tower(source: ImageSource) -> ImageTower:
    """The tower on the CPU in float32, in evaluation mode, with no gradients.

    If the number of classes differs, timm loads the weights that fit and leaves the rest random. Here the
    classifier is removed first, and everything else must fit exactly.

    Raises:
        WeightsUnavailable: the weights are of another model.
        SettingsError: the size is not a multiple of the patches, or the pooling is invalid.
        RuntimeUnavailable: timm is not installed.
    """
    trunk = _bare(source)
    tower = ImageTower(trunk, source.pool)
    state = _state(source, trunk)
    missing, unexpected = trunk.state_dict().keys() - state.keys(), state.keys() - trunk.state_dict().keys()
    try:
        if missing or unexpected:
            names = ", ".join(sorted(missing or unexpected)[:3])
            raise RuntimeError(f"{names} {'missing' if missing else 'not known'}")
        trunk.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsUnavailable(
            f"{source.weights} does not fit the architecture {source.architecture}: "
            f"{' '.join(str(error).split())[:300]}",
            "the weights belong to another model, or are not in timm's layout",
        ) from error
    return tower.eval().requires_grad_(False)


def features_of(source: ImageSource) -> int:
    """Embedding dimension, determined from the architecture (without memory for its weights)."""
    with torch.device("meta"):
        return ImageTower(_bare(source), source.pool).dim


def _bare(source: ImageSource) -> torch.nn.Module:
    """The architecture for the requested input size, without loaded weights."""
    try:
        import timm
    except ImportError as error:
        raise RuntimeUnavailable(f"timm cannot be imported ({error})", INSTALL_TORCH) from error
    size = source.preprocessing.size
    arguments: dict[str, Any] = dict(source.model_args)
    if source.record.get("fixed_input_size"):
        arguments["img_size"] = size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: torch.nn.Module = timm.create_model(
                source.architecture, pretrained=False, num_classes=0, **arguments
            )
    except (RuntimeError, TypeError, ValueError, AssertionError, KeyError) as error:
        raise EncoderError(
            f"timm cannot build {source.architecture} for {size} pixels: {' '.join(str(error).split())[:300]}",
            "use another size or model",
        ) from error
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", (1, 1))
    if any(size % side for side in patch):
        near = [size // patch[0] * patch[0], -(-size // patch[0]) * patch[0]]
        raise SettingsError(
            f"{source.name}: patches of {patch[0]} pixels do not fill a picture of {size}",
            f"give {' or '.join(f'@{each}' for each in near if each)}",
        )
    return model


def _state(source: ImageSource, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The file's tensors under timm's names, without classifier, position embeddings resized for the model."""
    from safetensors.torch import load_file

    state = load_file(str(source.weights))
    wanted = getattr(model, "pos_embed", None)
    if source.meta_positions and wanted is not None and "pos_embed" in state:
        state["pos_embed"] = meta_positions(state["pos_embed"], math.isqrt(wanted.shape[1] - 1))
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        try:
            state = convert(state, model)
        except (RuntimeError, KeyError, ValueError, IndexError, AttributeError, AssertionError) as error:
            raise WeightsUnavailable(
                f"{source.weights} does not fit the architecture {source.architecture}: {str(error)[:300]}",
                "the weights belong to another model, or are not in timm's layout",
            ) from error
    heads = source.record.get("classifier") or ()
    heads = [heads] if isinstance(heads, str) else heads
    return {k: v for k, v in state.items() if k.rpartition(".")[0] not in heads}


def meta_positions(positions: torch.Tensor, grid: int) -> torch.Tensor:
    """(1, 1 + side², width) position embeddings, including the class token's -> (1, 1 + grid², width).

    Meta's ``interpolate_pos_encoding`` for DINOv2 without registers: bicubic, not antialiased, by the scale factor
    (grid + 0.1) / side instead of by size, as in the evaluation of those models.
    """
    side = math.isqrt(positions.shape[1] - 1)
    if positions.ndim != 3 or side * side != positions.shape[1] - 1:
        raise WeightsUnavailable(f"position embeddings of shape {tuple(positions.shape)} are no square", "another file")
    if side == grid:
        return positions
    square = positions[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factor = (grid + 0.1) / side
    resized = functional.interpolate(square, scale_factor=(factor, factor), mode="bicubic", antialias=False)
    return torch.cat([positions[:, :1].float(), resized.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], dim=1)

"""Internals of a model on torch: the attention of its blocks, and the similarity of a text to each patch.

Both are obtained by intercepting the two functions that every attention here calls (torch's scaled dot product, and the
multi-head attention of open_clip's own towers), so that no model has to be modified or reimplemented.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from indexes.base import Vectors
from retrieval.encoders.base import Pixels, unit
from retrieval.encoders.torch.encoder import TorchEncoder
from retrieval.errors import SettingsError
from retrieval.lab.explain.cells import HeatMap

_DOT: Any = F.scaled_dot_product_attention
_HEADS: Any = F.multi_head_attention_forward


def attentions(encoder: TorchEncoder, pixels: Pixels) -> list[NDArray[np.float32]]:
    """(heads, t, t) of every block, first to last; then (heads, 1, t) of an attention pooling.

    Raises:
        SettingsError: the model has no attention that can be intercepted.
        EncoderError, WeightsUnavailable, RuntimeUnavailable: from the first use of the model.
    """
    watched = _Watch()
    _run(encoder, pixels, watched)
    if not watched.seen:
        raise SettingsError(f"{encoder.spec.name} does not show its attention", "use --heat occlusion")
    return watched.seen


def dense_map(encoder: TorchEncoder, pixels: Pixels, target: Vectors, text: str) -> HeatMap:
    """Cosine of a text with the embedding of each patch.

    In the last block, attention is replaced by the identity, so only values and output projection are applied to each
    token (MaskCLIP, Zhou et al. 2022); then each patch token separately goes through the
    pooling and the projection that the pooled token would go through.

    Args:
        target: (dim,) unit vector of the text.

    Raises:
        SettingsError: the tower has no patch tokens that can be projected.
    """
    tokens = dense_tokens(encoder, pixels)
    grid = round(len(tokens) ** 0.5)
    if grid * grid != len(tokens):
        raise SettingsError(f"{encoder.spec.name}: {len(tokens)} patch tokens are no square", "use --heat occlusion")
    whole = encoder.encode_images(pixels[None])[0]
    return HeatMap(
        method="dense",
        values=(tokens @ target).astype(np.float64).reshape(grid, grid),
        meaning=f'cosine of "{text}" with each patch, read as if it were the whole picture',
        limits="the model was trained to answer for whole pictures; patches also hold what lies around them, large "
        "even areas may light up, and only differences within one map mean something",
        source="Zhou et al. 2022, Extract Free Dense Labels from CLIP (MaskCLIP)",
        score=float(whole @ target),
        text=text,
    )


def dense_tokens(encoder: TorchEncoder, pixels: Pixels) -> Vectors:
    """(patches, dim) unit vectors in the common space, row by row from the top left; see :func:`dense_map`.

    Raises:
        SettingsError: the tower has no patch tokens that can be projected.
    """
    blocks = sum(each.shape[-1] == each.shape[-2] for each in attentions(encoder, pixels))
    visual = getattr(encoder.model, "visual", None)
    projected = None
    if hasattr(visual, "trunk"):
        projected = _timm_tokens(visual, encoder, pixels, blocks)
    elif hasattr(visual, "transformer") and getattr(visual, "attn_pool", None) is None:
        projected = _open_clip_tokens(visual, encoder, pixels, blocks)
    if projected is None:
        raise SettingsError(f"{encoder.spec.name} makes no patch tokens beside texts", "use --heat occlusion")
    return unit(projected.float().cpu().numpy())


class _Watch(TorchFunctionMode):
    """Records the attention weights of one picture, and disables the attention between tokens in block ``alone``."""

    def __init__(self, alone: int | None = None) -> None:
        super().__init__()
        self.seen: list[NDArray[np.float32]] = []
        self._alone = alone

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _DOT:
            return self._dot(*args, **kwargs)
        if func is _HEADS:
            return self._heads(args, kwargs)
        return func(*args, **kwargs)

    def _dot(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        identity = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device).expand(*key.shape[:-1], -1)
        weights = _DOT(query, key, identity, *args, **kwargs)
        self.seen.append(weights[0].float().cpu().numpy())
        return value if self._is_alone() else _DOT(query, key, value, *args, **kwargs)

    def _heads(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out, weights = _HEADS(*args, **{**kwargs, "need_weights": True, "average_attn_weights": False})
        self.seen.append(weights[0].float().cpu().numpy())
        if not self._is_alone():
            return out, None
        tokens, matrix, offset, last, last_offset = args[2], args[5], args[6], args[11], args[12]
        width = tokens.shape[-1]
        value = F.linear(tokens, matrix[2 * width :], None if offset is None else offset[2 * width :])
        return F.linear(value, last, last_offset), None

    def _is_alone(self) -> bool:
        return self._alone is not None and len(self.seen) == self._alone


def _run(
    encoder: TorchEncoder, pixels: Pixels, watched: _Watch, function: Callable[[torch.Tensor], Any] | None = None
) -> Any:
    """Run a function of the prepared picture (1, 3, size, size), by default the tower; in float32, intercepted."""
    model = encoder.model
    place = next(model.parameters()).device
    mean, std = (
        torch.tensor(v, device=place).view(1, 3, 1, 1)
        for v in (encoder.spec.preprocessing.mean, encoder.spec.preprocessing.std)
    )
    x = (torch.from_numpy(np.ascontiguousarray(pixels[None])).to(place).float() / 255 - mean) / std
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it calls neither of the functions
    try:
        with torch.no_grad(), watched:
            return (function or model.encode_image)(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(was)


def _open_clip_tokens(visual: Any, encoder: TorchEncoder, pixels: Pixels, blocks: int) -> torch.Tensor:
    kept: list[torch.Tensor] = []
    hook = visual.transformer.register_forward_hook(lambda _, __, out: kept.append(out))
    try:
        _run(encoder, pixels, _Watch(alone=blocks))
    finally:
        hook.remove()
    with torch.no_grad():
        tokens: torch.Tensor = visual.ln_post(kept[0][0, 1:])
        return tokens if visual.proj is None else tokens @ visual.proj


def _timm_tokens(visual: Any, encoder: TorchEncoder, pixels: Pixels, blocks: int) -> torch.Tensor | None:
    trunk = visual.trunk
    features = _run(encoder, pixels, _Watch(alone=blocks), trunk.forward_features)
    if features.ndim != 3:
        return None
    with torch.no_grad():
        # One token is the whole sequence here, so any pooling (a class token, attention) gets only that one.
        tokens = features[0, int(trunk.num_prefix_tokens) :].unsqueeze(1)
        projected: torch.Tensor = visual.head(trunk.forward_head(tokens))
        return projected

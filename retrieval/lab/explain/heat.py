"""Choice of a heat map for an encoder."""

from __future__ import annotations

from typing import Any, Literal, get_args

from indexes.base import Vectors
from retrieval.encoders.adapter import AdaptedEncoder
from retrieval.encoders.base import Encoder, Pixels
from retrieval.encoders.files.description import EncoderFolder
from retrieval.errors import SettingsError
from retrieval.lab.explain.cells import HeatMap
from retrieval.lab.explain.shape import VisionShape

Method = Literal["auto", "occlusion", "rollout", "dense", "none"]

_EVERY = 5
"""Every fifth everyday label is compared: a hundred are enough for a mean."""


def make_heat(
    encoder: Encoder, pixels: Pixels, *, text: str = "", method: Method = "auto", shape: VisionShape | None = None
) -> HeatMap | None:
    """The heat map of a picture; None for the method ``none``.

    Args:
        pixels: (3, size, size) uint8, the input of the encoder.
        text: the text to locate; without it, the map shows what the embedding depends on.
        method: ``auto`` is the dense tokens for a text, if the model has them: on torch, and in ONNX form if
            the tower pools by a mean. Without a text it is attention rollout on torch, else occlusion.
        shape: of the image tower, if known: its patches are the cells.

    Raises:
        SettingsError: an unknown method, or one that this model does not support.
        TextNotSupported: a text for an image-only model.
        EncoderError, WeightsUnavailable, RuntimeUnavailable: from the first use of a tower.
    """
    if method not in get_args(Method):
        raise SettingsError(f"no heat map is called {method!r}", f"use one of {', '.join(get_args(Method))}")
    if method == "none":
        return None
    if text and not encoder.spec.has_text:
        encoder.encode_texts([text])  # raises TextNotSupported, with a hint to a model with a text tower
    target = encoder.encode_texts([text])[0] if text else None
    if method == "auto" and text and (found := _dense_if_it_has(encoder, pixels, target, text)) is not None:
        return found
    chosen = _automatic(encoder, text) if method == "auto" else method
    if chosen == "occlusion":
        from retrieval.lab.explain.occlusion import occlusion_map

        return occlusion_map(encoder, pixels, target, text=text, grid=shape.grid if shape else None)
    if text and chosen == "rollout":
        raise SettingsError("attention rollout knows no text", "leave out --text, or use --heat occlusion")
    if chosen == "rollout":
        return _rollout(encoder, pixels, shape)
    return _dense(encoder, pixels, target, text)


def _dense_if_it_has(encoder: Encoder, pixels: Pixels, target: Vectors | None, text: str) -> HeatMap | None:
    """The dense map of a model in ONNX form that pools by a mean; None for others."""
    if not isinstance(getattr(encoder, "folder", None), EncoderFolder):
        return None
    try:
        return _dense(encoder, pixels, target, text)
    except SettingsError:  # another kind of pooling
        return None


def _automatic(encoder: Encoder, text: str) -> Method:
    if isinstance(encoder, AdaptedEncoder) or not hasattr(encoder, "model"):
        return "occlusion"
    return "dense" if text else "rollout"


def _rollout(encoder: Any, pixels: Pixels, shape: VisionShape | None) -> HeatMap:
    inner: Any = encoder.base if isinstance(encoder, AdaptedEncoder) else encoder
    if shape is None:
        what = f"{encoder.spec.name} is no plain vision transformer"
        raise SettingsError(what, "use --heat dense, or --heat occlusion")
    from retrieval.lab.explain.rollout import rollout_map

    if isinstance(getattr(inner, "folder", None), EncoderFolder):
        from retrieval.lab.explain.onnx_maps import attentions
    else:
        from retrieval.lab.explain.torch_attention import attentions  # type: ignore[assignment]
    return rollout_map(attentions(inner, pixels), shape, encoder.spec.name)


def _dense(encoder: Any, pixels: Pixels, target: Vectors | None, text: str) -> HeatMap:
    if target is None:
        raise SettingsError("dense tokens are compared with a text", 'give one: --text "a dog"')
    if isinstance(getattr(encoder, "folder", None), EncoderFolder):
        from retrieval.lab.explain.onnx_maps import dense_map as onnx_dense_map
        from retrieval.labels.vocabulary import read_labels

        return onnx_dense_map(encoder, pixels, target, text, encoder.encode_texts(read_labels()[::_EVERY]))
    if not hasattr(encoder, "model"):
        raise SettingsError(f"{encoder.spec.name} shows no tokens", "use --heat occlusion")
    from retrieval.lab.explain.torch_attention import dense_map

    return dense_map(encoder, pixels, target, text)

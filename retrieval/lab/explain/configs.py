"""From open_clip's architecture description (``open_clip_config.json``, or its own table) to a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from retrieval.lab.explain.families import timm_shape
from retrieval.lab.explain.shape import ModelShape, TextShape, VisionShape

# Settings of open_clip's own towers that this arithmetic does not cover: such a model is counted on torch instead.
_UNKNOWN_IMAGE = frozenset(
    {"attentional_pool", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn", "scale_fc"}
)
_UNKNOWN_TEXT = frozenset({"hf_model_name", "embed_cls", "qk_norm", "scale_heads", "scale_attn", "scale_fc"})


def config_shape(model_cfg: Mapping[str, Any]) -> ModelShape | None:
    """The shape described by a configuration, or None if one of its settings is not supported here.

    Defaults are open_clip's ``CLIPVisionCfg`` and ``CLIPTextCfg``.
    """
    try:
        dim = int(model_cfg["embed_dim"])
        image = _image(model_cfg["vision_cfg"], dim)
    except (KeyError, TypeError, ValueError):
        return None
    text = config_text(model_cfg)
    if "multimodal_cfg" in model_cfg or image is None or text is None:
        return None
    return ModelShape(image, text)


def _image(cfg: Mapping[str, Any], dim: int) -> VisionShape | None:
    if "timm_model_name" in cfg:
        return _timm(cfg, dim)
    if any(cfg.get(key) for key in _UNKNOWN_IMAGE) or not isinstance(cfg.get("layers", 12), int):
        return None
    width = int(cfg.get("width", 768))
    return VisionShape(
        size=int(cfg.get("image_size", 224)),
        patch=int(cfg.get("patch_size", 16)),
        width=width,
        layers=int(cfg.get("layers", 12)),
        heads=width // int(cfg.get("head_width", 64)),
        hidden=int(width * float(cfg.get("mlp_ratio", 4.0))),
        patch_bias=False,
        positions="sincos" if cfg.get("pos_embed_type") == "sin_cos_2d" else "learned",
        layer_scale=cfg.get("ls_init_value") is not None,
        norm_before=not cfg.get("no_ln_pre", False),
        pool="mean" if cfg.get("pool_type") == "avg" else "cls",
        dim=dim,
    )


def _timm(cfg: Mapping[str, Any], dim: int) -> VisionShape | None:
    shape = timm_shape(str(cfg["timm_model_name"]), int(cfg.get("image_size", 224)))
    if shape is None:
        return None
    pool = {"map": "map", "token": "cls", "": shape.pool}.get(str(cfg.get("timm_pool", "avg")))
    if pool != shape.pool:
        return None
    if cfg.get("timm_proj", "linear") == "none":
        return shape
    bias = cfg.get("timm_proj") is None or bool(cfg.get("timm_proj_bias"))
    return None if cfg.get("timm_proj") == "mlp" else replace(shape, dim=dim, projection_bias=bias)


def config_text(model_cfg: Mapping[str, Any]) -> TextShape | None:
    """Only the text tower of a configuration, or None if one of its settings is not supported here."""
    try:
        return _text(model_cfg["text_cfg"], int(model_cfg["embed_dim"]))
    except (KeyError, TypeError, ValueError):
        return None


def _text(cfg: Mapping[str, Any], dim: int) -> TextShape | None:
    if any(cfg.get(key) for key in _UNKNOWN_TEXT) or cfg.get("ls_init_value") is not None:
        return None
    if cfg.get("proj_type", "linear") != "linear":
        return None
    width = int(cfg.get("width", 512))
    return TextShape(
        vocabulary=int(cfg.get("vocab_size", 49408)),
        context=int(cfg.get("context_length", 77)),
        width=width,
        layers=int(cfg.get("layers", 12)),
        heads=int(cfg.get("heads", 8)),
        hidden=int(width * float(cfg.get("mlp_ratio", 4.0))),
        causal=not cfg.get("no_causal_mask", False),
        dim=dim,
        projection_bias=bool(cfg.get("proj_bias", False)),
    )

"""Published shapes by name: open_clip's CLIP, SigLIP, PE and MobileCLIP-B, and timm's vision transformers.

Derived from the name only, so that a model can be explained if neither torch nor its weights are installed; tests
compare every name in the table of models with the model that the libraries build.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from retrieval.lab.explain.shape import Convolution, ModelShape, TextShape, VisionShape


class _Encoder(NamedTuple):
    width: int
    layers: int
    heads: int
    hidden: int


_ENCODERS = {
    "tiny": _Encoder(192, 12, 3, 768),
    "small": _Encoder(384, 12, 6, 1536),
    "base": _Encoder(768, 12, 12, 3072),
    "large": _Encoder(1024, 24, 16, 4096),
    "huge": _Encoder(1280, 32, 16, 5120),
    "so400m": _Encoder(1152, 27, 16, 4304),
}
_DINOV2_GIANT = _Encoder(1536, 40, 24, 4096)
_DINOV3 = {
    **_ENCODERS,
    "small_plus": _ENCODERS["small"],
    "huge_plus": _Encoder(1280, 32, 20, 5120),
    "7b": _Encoder(4096, 40, 32, 8192),
}
_DINOV3_GATED = frozenset({"small_plus", "huge_plus", "7b"})
_LETTERS = {"T": "tiny", "S": "small", "B": "base", "L": "large", "H": "huge", "SO400M": "so400m"}

_CLIP_VOCABULARY = 49408
_CLIP_DIM = {"B": 512, "L": 768, "H": 1024}
_CLIP_TEXT = {512: _Encoder(512, 12, 8, 2048), 768: _Encoder(768, 12, 12, 3072), 1024: _Encoder(1024, 24, 16, 4096)}

_CLIP = re.compile(r"(xlm-roberta-(?:base|large)-)?ViT-([BLH])-(\d+)(?:-(\d{3}))?(?:-quickgelu)?")
_SIGLIP = re.compile(r"ViT-(B|L|SO400M)-(\d+)-SigLIP(2?)(-i18n)?(?:-(\d{3}))?")
_PE = re.compile(r"PE-Core-([TSBL])-(\d+)(?:-(\d{3}))?")
_TIMM = re.compile(r"vit_([a-z0-9]+(?:_plus)?)_patch(\d+)(_reg4)?_(.+)")


def open_clip_shape(model: str) -> ModelShape | None:
    """The shape of an open_clip architecture (``ViT-B-32-256``, ``PE-Core-B-16``), or None if the name is unknown."""
    if found := _CLIP.fullmatch(model):
        return _clip(found[1] or "", found[2], int(found[3]), int(found[4] or 224))
    if found := _SIGLIP.fullmatch(model):
        return _siglip(found)
    if found := _PE.fullmatch(model):
        return _pe(found[1], int(found[2]), int(found[3] or 224))
    if model in ("MobileCLIP2-B", "MobileCLIP-B"):
        return _mobileclip_b()
    if model == "MobileCLIP2-L-14":
        image = VisionShape(
            224, 14, *_ENCODERS["large"], patch_bias=False, norm_before=True, dim=768, projection_bias=True
        )
        return ModelShape(image, clip_text(768, causal=False))
    return None


def timm_shape(architecture: str, size: int | None = None) -> VisionShape | None:
    """The shape of a timm vision transformer without its classifier, or None if the name is unknown.

    Args:
        size: side of the input in pixels, if it is not the architecture's own.
    """
    found = _TIMM.fullmatch(architecture.partition(".")[0])
    if found is None:
        return None
    encoder, patch, registers, rest = found[1], int(found[2]), 4 if found[3] else 0, found[4]
    shape = _timm_variant(encoder, patch, registers, rest)
    return replace(shape, size=size) if shape and size else shape


def clip_text(dim: int, *, context: int = 77, causal: bool = True, bias: bool = False) -> TextShape:
    """CLIP's text tower for an embedding of dimension ``dim``."""
    encoder = _CLIP_TEXT[dim]
    return TextShape(_CLIP_VOCABULARY, context, *encoder, causal=causal, dim=dim, projection_bias=bias)


def _clip(roberta: str, letter: str, patch: int, size: int) -> ModelShape:
    encoder, dim = _ENCODERS[_LETTERS[letter]], _CLIP_DIM[letter]
    image = VisionShape(size, patch, *encoder, patch_bias=False, norm_before=True, dim=dim)
    return ModelShape(image, _roberta(roberta.split("-")[2], dim) if roberta else clip_text(dim))


def _roberta(encoder: str, dim: int) -> TextShape:
    """XLM-RoBERTa (Conneau et al. 2020) with open_clip's two-layer projection."""
    form = _ENCODERS[encoder]
    return TextShape(
        250002, 77, *form, causal=False, dim=dim,
        position_rows=514, embedding_norm=True, projection_hidden=(form.width + dim) // 2,
    )  # fmt: skip


def _siglip(found: re.Match[str]) -> ModelShape:
    letter, patch, second, many, size = found[1], int(found[2]), found[3], found[4], found[5]
    encoder = _ENCODERS[_LETTERS[letter]]
    vocabulary = 250_000 if many else 256_000 if second else 32_000
    image = VisionShape(int(size or 224), patch, *encoder, class_token=False, pool="map", pool_hidden=encoder.hidden)
    context = 16 if (letter, size) == ("SO400M", None) and not second else 64
    text = TextShape(vocabulary, context, *encoder, causal=False, dim=encoder.width, projection_bias=True)
    return ModelShape(image, text)


def _pe(letter: str, patch: int, size: int) -> ModelShape:
    encoder = _ENCODERS[_LETTERS[letter]]
    dim = 512 if letter in "TS" else 1024
    image = VisionShape(
        size, patch, *encoder, patch_bias=False, positions="learned+rope", norm_before=True,
        pool="map", pool_hidden=4 * encoder.width, dim=dim, projection_bias=True,
    )  # fmt: skip
    return ModelShape(image, clip_text(dim, context=32))


def _mobileclip_b() -> ModelShape:
    """A stem of three convolutions instead of the patch projection (Vasu et al. 2024)."""
    stem = (
        Convolution(3, 192, 4, 56, extra=2 * 192),
        Convolution(192, 192, 2, 28, extra=2 * 192),
        Convolution(192, 768, 2, 14, extra=768),
    )
    image = VisionShape(224, 16, *_ENCODERS["base"], class_position=False, dim=512, projection_bias=True, stem=stem)
    return ModelShape(image, clip_text(512))


def _timm_variant(encoder: str, patch: int, registers: int, rest: str) -> VisionShape | None:
    if rest == "dinov2":
        form = _DINOV2_GIANT if encoder == "giant" else _ENCODERS.get(encoder)
        plain = _plain(form, 518, patch)
        return plain and replace(
            plain, registers=registers, layer_scale=True, gated=encoder == "giant", class_position=not registers
        )
    if rest in ("dinov3", "dinov3_qkvb"):
        plain = _plain(_DINOV3.get(encoder), 256, patch)
        return plain and replace(
            plain, registers=4, positions="rope", layer_scale=True, gated=encoder in _DINOV3_GATED,
            qkv_bias=rest.endswith("qkvb"),
        )  # fmt: skip
    if registers:
        return None
    kind, _, size = rest.rpartition("_")
    if not size.isdigit() or (encoder == "so400m" and kind != "siglip"):
        return None
    plain = _plain(_ENCODERS.get(encoder), int(size), patch)
    if plain is None or kind == "":
        return plain
    if kind == "siglip":
        return replace(plain, class_token=False, pool="map", pool_hidden=plain.hidden)
    if kind == "clip":
        return replace(plain, patch_bias=False, norm_before=True)
    return None


def _plain(encoder: _Encoder | None, size: int, patch: int) -> VisionShape | None:
    return None if encoder is None else VisionShape(size, patch, *encoder)

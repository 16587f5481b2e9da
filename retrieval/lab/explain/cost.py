"""Parameters and arithmetic of a shape, part by part, by formulas.

FLOPs are two per multiply-add and include matrix products and convolutions only (no norms, softmax or activations,
which are below 1 %), as in torch.utils.flop_counter. With t tokens of width d and a perceptron of width h, a block
of the encoder costs (Vaswani et al. 2017, section 3; the sum is that of Kaplan et al. 2020, table 1):

    queries, keys, values   2 · t · d · 3d
    scores, mixing          2 · t² · d  each: quadratic in tokens, which makes small patches expensive
    output                  2 · t · d · d
    perceptron              2 · t · d · h  twice (gated: three times)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from retrieval.lab.explain.shape import CHANNELS, Convolution, TextShape, VisionShape


class Part(NamedTuple):
    """One part of a tower: its parameters, and the FLOPs of one picture (or text of full length)."""

    name: str
    parameters: int
    flops: int


@dataclass(frozen=True)
class PatchCost:
    """The effect of another patch size on the same encoder.

    Args:
        patch, tokens: with the other size.
        attention: factor of FLOPs between tokens, including all tokens; ``over_patches`` without class token and
            registers, as in textbooks.
        encoder: factor of FLOPs of the blocks; ``tower`` including the patch projection (whose cost hardly depends on
            the patch) and the layers after the blocks.
        gflops: of the whole tower, 1e9.
    """

    patch: int
    tokens: int
    attention: float
    over_patches: float
    encoder: float
    tower: float
    gflops: float


class SizeCost(NamedTuple):
    """The same tower at another resolution: its side in pixels, tokens, GFLOPs, and their ratio to its own size."""

    size: int
    tokens: int
    gflops: float
    ratio: float


def image_parts(shape: VisionShape) -> tuple[Part, ...]:
    """All parameters and multiplications of an image tower, each once."""
    d, t = shape.width, shape.tokens
    parts = [
        _patch_embedding(shape),
        Part("position embeddings", shape.position_rows * d if shape.positions.startswith("learned") else 0, 0),
        Part("class and register tokens", shape.prefix * d, 0),
        *_blocks(t, d, shape.hidden, shape.layers, gated=shape.gated, biases=3 if shape.qkv_bias else 0),
        Part("norms and layer scales", _norms(shape), 0),
    ]
    if shape.pool == "map":
        parts.append(_map_pooling(d, t, shape.pool_hidden))
    if shape.dim is not None:
        parts.append(Part("projection", (d + shape.projection_bias) * shape.dim, 2 * d * shape.dim))
    return tuple(part for part in parts if part.parameters or part.flops)


def text_parts(shape: TextShape) -> tuple[Part, ...]:
    """All parameters of a text tower, and the multiplications for a text that fills the context."""
    d, t = shape.width, shape.context
    norms = 2 * d * (2 * shape.layers + 1)
    inner = shape.projection_hidden
    projection = (d + shape.dim) * inner if inner else d * shape.dim
    extra = shape.dim if shape.projection_bias else 0
    return (
        Part("token embeddings", shape.vocabulary * d, 0),
        Part("position embeddings", (shape.position_rows or t) * d + (d if shape.embedding_norm else 0), 0),
        *_blocks(t, d, shape.hidden, shape.layers, gated=False, biases=3),
        Part("norms", norms, 0),
        Part("projection", projection + extra, 2 * projection),
    )


def total(parts: Iterable[Part]) -> Part:
    """The sum of parts."""
    parts = tuple(parts)
    return Part("total", sum(part.parameters for part in parts), sum(part.flops for part in parts))


def attention_flops(tokens: int, width: int, layers: int) -> int:
    """FLOPs between tokens only: scores and mixing."""
    return layers * 4 * tokens**2 * width


def encoder_flops(shape: VisionShape) -> int:
    """FLOPs of the blocks, without the patch projection before them and the pooling and projection after them."""
    blocks = _blocks(shape.tokens, shape.width, shape.hidden, shape.layers, gated=shape.gated, biases=0)
    return total(blocks).flops


def patch_costs(shape: VisionShape, patches: Iterable[int]) -> tuple[PatchCost, ...]:
    """The same encoder with other patches that divide its picture evenly; empty for a stem."""
    own, own_blocks = total(image_parts(shape)).flops, encoder_flops(shape)
    found = []
    for patch in () if shape.stem else patches:
        other = replace(shape, patch=patch)
        if patch == shape.patch or shape.size % patch:
            continue
        flops = total(image_parts(other)).flops
        found.append(
            PatchCost(
                patch=patch,
                tokens=other.tokens,
                attention=(other.tokens / shape.tokens) ** 2,
                over_patches=(other.patches / shape.patches) ** 2,
                encoder=encoder_flops(other) / own_blocks,
                tower=flops / own,
                gflops=flops / 1e9,
            )
        )
    return tuple(found)


def size_costs(shape: VisionShape, sizes: Iterable[int]) -> tuple[SizeCost, ...]:
    """The same tower at other resolutions that are multiples of its patches."""
    own = total(image_parts(shape)).flops
    found = []
    for size in sizes:
        if size % shape.patch:
            continue
        other = replace(shape, size=size, stem=_scaled(shape, size))
        flops = total(image_parts(other)).flops
        found.append(SizeCost(size, other.tokens, flops / 1e9, flops / own))
    return tuple(found)


def _patch_embedding(shape: VisionShape) -> Part:
    if not shape.stem:
        bias = shape.width if shape.patch_bias else 0
        flops = 2 * shape.patches * shape.patch**2 * CHANNELS * shape.width
        return Part("patch embedding", shape.patch_weights + bias, flops)
    extra = sum(each.extra for each in shape.stem)
    flops = sum(2 * each.side**2 * each.inputs * each.outputs * each.kernel**2 for each in shape.stem)
    return Part("patch embedding", shape.patch_weights + extra, flops)


def _blocks(t: int, d: int, h: int, layers: int, *, gated: bool, biases: int) -> tuple[Part, ...]:
    matrices = 3 if gated else 2
    return (
        Part("attention projections", layers * (4 * d * d + (biases + 1) * d), layers * 8 * t * d * d),
        Part("attention between tokens", 0, attention_flops(t, d, layers)),
        Part("perceptrons", layers * (matrices * d * h + (matrices - 1) * h + d), layers * matrices * 2 * t * d * h),
    )


def _norms(shape: VisionShape) -> int:
    count = 2 * shape.layers + 1 + shape.norm_before
    return shape.width * (2 * count + (2 * shape.layers if shape.layer_scale else 0))


def _map_pooling(d: int, t: int, h: int) -> Part:
    """One learned query over all tokens, then a norm and a perceptron (timm's ``AttentionPoolLatent``)."""
    parameters = d + 4 * (d * d + d) + 2 * d + 2 * d * h + h + d
    flops = 2 * d * d + 2 * t * d * 2 * d + 4 * t * d + 2 * d * d + 4 * d * h
    return Part("attention pooling", parameters, flops)


def _scaled(shape: VisionShape, size: int) -> tuple[Convolution, ...]:
    return tuple(replace(each, side=each.side * size // shape.size) for each in shape.stem)

"""open_clip's vision transformer of any size with random weights as an ONNX graph, with its tensor names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.onnx_file import OnnxGraph, tensor_end

Weights = dict[str, NDArray[np.float32]]
EPS = 1e-5


@dataclass(frozen=True)
class VitSize:
    """Sizes of an image tower. The defaults are ViT-B-32-256's: 11.5 GFLOP per image.

    Args:
        image, patch: side in pixels.
        width: numbers per token.
        dim: embedding dimension.
    """

    image: int = 256
    patch: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12
    dim: int = 512

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.image // self.patch) ** 2 + 1


def block_weights(rng: np.random.Generator, layers: int, width: int) -> Weights:
    """The transformer's tensors, scaled as open_clip initialises them, so that activations stay in range."""
    weights: Weights = {}
    for layer in range(layers):
        name = f"transformer.resblocks.{layer}."
        for norm in ("ln_1", "ln_2"):
            weights |= norm_weights(name + norm, width)
        for part, out, into, scale in (
            ("attn.in_proj_", 3 * width, width, width**-0.5),
            ("attn.out_proj.", width, width, (2 * layers * width) ** -0.5),
            ("mlp.c_fc.", 4 * width, width, (2 * width) ** -0.5),
            ("mlp.c_proj.", width, 4 * width, (2 * layers * width) ** -0.5),
        ):
            weights[f"{name}{part}weight"] = normal(rng, (out, into), scale)
            weights[f"{name}{part}bias"] = normal(rng, (out,), 0.01)
    return weights


def norm_weights(name: str, width: int) -> Weights:
    """A LayerNorm with unit scale and zero bias."""
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def normal(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> NDArray[np.float32]:
    """Normal deviates of this standard deviation, float32."""
    return rng.standard_normal(shape, np.float32) * np.float32(scale)


def vit_weights(rng: np.random.Generator, size: VitSize) -> Weights:
    """Every tensor of the tower, named as in open_clip (without ``visual.``)."""
    scale = size.width**-0.5
    return {
        "conv1.weight": normal(rng, (size.width, 3, size.patch, size.patch), (3 * size.patch**2) ** -0.5),
        "class_embedding": normal(rng, (size.width,), scale),
        "positional_embedding": normal(rng, (size.tokens, size.width), scale),
        "proj": normal(rng, (size.width, size.dim), scale),
        **norm_weights("ln_pre", size.width),
        **norm_weights("ln_post", size.width),
        **block_weights(rng, size.layers, size.width),
    }


def write_vit(path: Path, size: VitSize, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Write the tower as ONNX: ``pixels`` (n, 3, image, image) float32 -> ``embedding`` (n, dim)."""
    graph = OnnxGraph()
    patches = graph.node(
        "Conv",
        "pixels",
        graph.weight("conv1.weight", weights["conv1.weight"]),
        kernel_shape=[size.patch] * 2,
        strides=[size.patch] * 2,
    )
    rows = graph.node("Transpose", graph.node("Reshape", patches, graph.shape(0, size.width, -1)), perm=[0, 2, 1])
    count = graph.node("Shape", "pixels", start=0, end=1)
    whole = graph.node("Concat", count, graph.shape(1, size.width), axis=0)
    first = graph.node("Expand", graph.weight("class_embedding", weights["class_embedding"]), whole)
    x = graph.node("Concat", first, rows, axis=1)
    x = graph.node("Add", x, graph.weight("positional_embedding", weights["positional_embedding"]))
    x = _norm(graph, x, "ln_pre", weights)
    for layer in range(size.layers):
        name = f"transformer.resblocks.{layer}."
        x = graph.node("Add", x, _attention(graph, _norm(graph, x, name + "ln_1", weights), name, size, weights))
        x = graph.node("Add", x, _mlp(graph, _norm(graph, x, name + "ln_2", weights), name, weights))
    pooled = graph.node("Gather", x, graph.weight("zero", np.array(0, np.int64)), axis=1)
    pooled = _norm(graph, pooled, "ln_post", weights)
    embedding = graph.node("MatMul", pooled, graph.weight("proj", weights["proj"]))
    pixels = tensor_end("pixels", ["n", 3, size.image, size.image])
    graph.write(path, [pixels], embedding, "embedding", ["n", size.dim])


def _attention(graph: OnnxGraph, x: str, name: str, size: VitSize, weights: Mapping[str, NDArray[np.float32]]) -> str:
    each = size.width // size.heads
    parts = graph.nodes("Split", 3, _linear(graph, x, f"{name}attn.in_proj_", weights), axis=2)
    heads = [graph.node("Reshape", part, graph.shape(0, 0, size.heads, each)) for part in parts]
    q = graph.node("Transpose", heads[0], perm=[0, 2, 1, 3])
    k = graph.node("Transpose", heads[1], perm=[0, 2, 3, 1])
    v = graph.node("Transpose", heads[2], perm=[0, 2, 1, 3])
    scores = graph.node("MatMul", graph.node("Mul", q, graph.number(each**-0.5)), k)
    mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), v)
    mixed = graph.node("Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = graph.node("Reshape", mixed, graph.shape(0, 0, size.width))
    return _linear(graph, mixed, f"{name}attn.out_proj.", weights)


def _mlp(graph: OnnxGraph, x: str, name: str, weights: Mapping[str, NDArray[np.float32]]) -> str:
    x = _linear(graph, x, f"{name}mlp.c_fc.", weights)
    erf = graph.node("Erf", graph.node("Div", x, graph.number(2**0.5)))
    x = graph.node("Mul", graph.node("Mul", x, graph.node("Add", erf, graph.number(1))), graph.number(0.5))
    return _linear(graph, x, f"{name}mlp.c_proj.", weights)


def _linear(graph: OnnxGraph, x: str, name: str, weights: Mapping[str, NDArray[np.float32]]) -> str:
    product = graph.node("MatMul", x, graph.weight(f"{name}weight", weights[f"{name}weight"].T))
    return graph.node("Add", product, graph.weight(f"{name}bias", weights[f"{name}bias"]))


def _norm(graph: OnnxGraph, x: str, name: str, weights: Mapping[str, NDArray[np.float32]]) -> str:
    scale = graph.weight(f"{name}.weight", weights[f"{name}.weight"])
    shift = graph.weight(f"{name}.bias", weights[f"{name}.bias"])
    return graph.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=EPS)

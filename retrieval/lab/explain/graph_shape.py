"""From an exported model's files to its shape, based on the graph's operations, never on the names of tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from retrieval.encoders.files.description import EncoderFolder
from retrieval.encoders.files.weights_file import WeightsFile
from retrieval.lab.explain.cost import image_parts, total
from retrieval.lab.explain.graph import Graph, Node, Sizes
from retrieval.lab.explain.shape import CHANNELS, Convolution, TextShape, VisionShape


@dataclass(frozen=True)
class _Trunk:
    """The matrices of the blocks as (layers, hidden, dimension of a projection after them)."""

    layers: int
    hidden: int
    dim: int | None


def graph_shape(graph: Graph, size: int) -> VisionShape | None:
    """The shape of an image tower of ``size`` pixels, or None if the graph is not a plain vision transformer,
    or its number of parameters differs from that of the derived shape."""
    try:
        return _shape(graph, size)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):  # nodes without the usual inputs and outputs
        return None


def _shape(graph: Graph, size: int) -> VisionShape | None:
    stem = _convolutions(graph, size)
    if not stem:
        return None
    last, grid = stem[-1], stem[-1].side
    width = last.outputs
    trunk = _trunk(_matrices(graph), width)
    if trunk is None or not grid or size % grid:
        return None
    patch = size // grid
    prefix = _prefix(graph, width, grid**2)
    if prefix is None:
        return None
    class_token, registers, rows = prefix
    is_plain = len(stem) == 1 and last.kernel == patch and last.inputs == CHANNELS
    shape = VisionShape(
        size=size,
        patch=patch,
        width=width,
        layers=trunk.layers,
        heads=_heads(graph, width),
        hidden=trunk.hidden,
        class_token=class_token,
        registers=registers,
        patch_bias=last.extra > 0,
        class_position=class_token and rows > grid**2,
        norm_before=sum(node.kind == "LayerNormalization" for node in graph.nodes) > 2 * trunk.layers + 1,
        pool="mean" if any(node.kind == "ReduceMean" for node in graph.nodes) else "cls",
        dim=trunk.dim,
        stem=() if is_plain else tuple(stem),
    )
    return _complete(shape, graph.parameters)


def text_shape(folder: EncoderFolder) -> TextShape | None:
    """The shape of a text tower from the sizes of its tensors; None if it is in ONNX form, or missing."""
    text = folder.text
    if text is None or text.kind != "clip-weights":
        return None
    weights = WeightsFile(folder.file(text.file))
    layers = len({name.split(".")[2] for name in weights if name.startswith("transformer.resblocks.")})
    vocabulary, width = weights.raw("token_embedding.weight").shape
    return TextShape(
        vocabulary=vocabulary,
        context=len(weights.raw("positional_embedding")),
        width=width,
        layers=layers,
        heads=text.heads,
        hidden=len(weights.raw("transformer.resblocks.0.mlp.c_fc.weight")),
        causal=text.causal,
        dim=folder.spec.dim,
        projection_bias="text_projection.bias" in weights,
    )


def _convolutions(graph: Graph, size: int) -> list[Convolution]:
    """The convolutions in order, each with the side of its output; empty if one is grouped or not square."""
    sides: dict[str, int] = {}
    found: list[Convolution] = []
    for node in graph.nodes:
        known = next((sides[name] for name in node.inputs if name in sides), size if not found else 0)
        if node.kind == "Conv":
            weight = graph.weights.get(node.inputs[1], ())
            stride, pads = node.ints.get("strides", (1, 1)), node.ints.get("pads", (0, 0, 0, 0))
            if len(weight) != 4 or weight[2] != weight[3] or node.ints.get("group", (1,)) != (1,) or not known:
                return []
            known = (known + pads[0] + pads[2] - weight[2]) // stride[0] + 1
            bias = math.prod(graph.weights[node.inputs[2]]) if len(node.inputs) > 2 else 0
            found.append(Convolution(weight[1], weight[0], weight[2], known, extra=bias))
        elif not found or node.kind in ("Reshape", "Flatten", "Shape", "Constant", "Cast", "Identity"):
            continue
        if known:
            sides.update(dict.fromkeys(node.outputs, known))
    return found


def _matrices(graph: Graph) -> list[Sizes]:
    """(inputs, outputs) of each product with a weight, in order."""
    found: list[Sizes] = []
    for node in graph.nodes:
        sizes = graph.weights.get(node.inputs[1], ()) if node.kind in ("MatMul", "Gemm") else ()
        if len(sizes) == 2:
            turned = node.kind == "Gemm" and node.ints.get("transB") == (1,)
            found.append((sizes[1], sizes[0]) if turned else sizes)
    return found


def _trunk(matrices: list[Sizes], width: int) -> _Trunk | None:
    """Blocks of four matrices (fused qkv, output, and a perceptron's two), and at most one matrix after them."""
    layers, rest = divmod(len(matrices), 4)
    if not layers or rest > 1 or matrices[2][0] != width:
        return None
    hidden = matrices[2][1]
    block = [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]
    if [tuple(each) for each in matrices[: 4 * layers]] != layers * block:
        return None
    if rest and matrices[-1][0] != width:
        return None
    return _Trunk(layers, hidden, matrices[-1][1] if rest else None)


def _prefix(graph: Graph, width: int, patches: int) -> tuple[bool, int, int] | None:
    """(class token, registers, rows of position embeddings); None if no position embeddings are found."""
    taken = {name for node in graph.nodes if node.kind in ("MatMul", "Gemm", "Conv") for name in node.inputs}
    rows = sorted(
        math.prod(graph.weights[name]) // width
        for name in graph.stored | graph.copies
        if name not in taken | _sources(graph, taken) and _is_rows(graph.weights[name], width)
    )
    positions = [each for each in rows if each >= patches]
    if len(positions) != 1:
        return None
    others = [each for each in rows if each < patches]
    registers = sum(each for each in others if each > 1)
    return 1 in others, registers, positions[0]


def _is_rows(sizes: Sizes, width: int) -> bool:
    """Two or more axes, one of them the width: such tensors are tokens or positions, whereas biases have one axis."""
    return len(sizes) >= 2 and width in (sizes[-1], sizes[1]) and math.prod(sizes) % width == 0


def _sources(graph: Graph, names: set[str]) -> set[str]:
    """The stored tensors of which these names are casts or copies."""
    return {n.inputs[0] for n in graph.nodes if n.kind in ("Cast", "Identity") and set(n.outputs) & names}


def _heads(graph: Graph, width: int) -> int:
    """Derived from the shapes of queries, keys and values: (n, tokens, 3, heads, each), or in torch's own
    multi-head attention (n, heads, tokens, each); 0 if the graph does not show it."""
    made = {name: node for node in graph.nodes for name in node.outputs}
    reshapes = [_ints(graph, made, node.inputs[1], 0) for node in graph.nodes if node.kind == "Reshape"]
    found = [sizes[3] for sizes in reshapes if len(sizes) == 5 and sizes[2] == 3]
    found = found or [sizes[1] for sizes in reshapes if len(sizes) == 4][-1:]
    return next((heads for heads in found if heads > 0 and width % heads == 0), 0)


def _ints(graph: Graph, made: dict[str, Node], name: str, depth: int) -> Sizes:
    """Whole numbers that a reshape's size is put together from; 0 for those that depend on the input."""
    if name in graph.constants:
        return graph.constants[name]
    node = made.get(name)
    if node is None or depth > 4 or len(node.inputs) > 8:  # no graph's size is that long; a forged one's may be
        return (0,)
    if node.kind == "Concat":
        return tuple(each for part in node.inputs for each in _ints(graph, made, part, depth + 1))
    if node.kind in ("Unsqueeze", "Cast", "Identity"):
        return _ints(graph, made, node.inputs[0], depth + 1)
    return (0,)


def _complete(shape: VisionShape, parameters: int) -> VisionShape | None:
    """The shape whose parameters are as many as the graph's, with layer scales if those are what is missing."""
    for candidate in (shape, replace(shape, layer_scale=True)):
        if total(image_parts(candidate)).parameters == parameters:
            return candidate
    return None

"""Parameters and arithmetic of an image tower that is not a plain vision transformer, counted from its graph.

For convolutional bodies, with or without transformer blocks after them: the side of each map follows from strides and
padding, and from it the cost of each convolution and each matrix product. FLOPs are counted as in ``cost``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from retrieval.lab.explain.cost import Part
from retrieval.lab.explain.graph import Graph, Node, Sizes

_POOLS = frozenset({"AveragePool", "MaxPool"})
_MAX_SIDE = 1 << 16


class GraphCost(NamedTuple):
    """The cost of a graph.

    Attributes:
        parts: all parameters and multiplications, each once.
        grid: positions along a side of the map that is finally pooled.
    """

    parts: tuple[Part, ...]
    grid: int


class _Sum:
    """Layers of one kind."""

    def __init__(self) -> None:
        self.layers = self.parameters = self.flops = 0

    def add(self, parameters: int, flops: int) -> None:
        self.layers += 1
        self.parameters += parameters
        self.flops += flops


def graph_cost(graph: Graph, size: int) -> GraphCost | None:
    """The parts of a graph for pictures of ``size`` pixels; None if the side of a map is unknown, or nothing is pooled
    over positions."""
    try:
        return _Count(graph, size).run()
    except (IndexError, KeyError, ValueError, ZeroDivisionError):  # nodes without the usual inputs and outputs
        return None


class _Count:
    def __init__(self, graph: Graph, size: int) -> None:
        self._graph = graph
        self._rows: dict[str, int] = {}
        """Number of positions of a map, by its name: a square for maps and tokens made of them, 1 after the pooling."""
        self._filled: set[str] = set()
        """Maps with computed padding: TensorFlow's "same", where a side is divided and rounded up."""
        self._size, self._grid, self._width = size, 0, 0
        self._dense, self._depthwise, self._tokens, self._head = _Sum(), _Sum(), _Sum(), _Sum()

    def run(self) -> GraphCost | None:
        for node in self._graph.nodes:
            rows = self._known(node)
            if node.kind == "Conv":
                rows = self._convolution(node, rows or self._size**2)
            elif node.kind in ("MatMul", "Gemm"):
                self._product(node, rows)
            elif rows is not None or node.kind in _POOLS:  # a pooling may precede all convolutions
                rows = self._moved(node, rows or self._size**2)
            if rows is not None:
                self._rows.update(dict.fromkeys(node.outputs, rows))
        if not self._grid or not self._dense.layers:
            return None
        parts = [
            _part("{} convolutions", self._dense),
            _part("{} depthwise convolutions", self._depthwise),
            _part("{} products over the positions (tokens, transformer blocks)", self._tokens),
            _part("{} products behind the pooling", self._head),
        ]
        rest = self._graph.parameters - sum(part.parameters for part in parts)
        parts.append(Part("biases, norms and positions", rest, 0))
        return (
            GraphCost(tuple(part for part in parts if part.parameters or part.flops), self._grid) if rest >= 0 else None
        )

    def _known(self, node: Node) -> int | None:
        """Positions of the first input that is a map; if there are several, of the largest."""
        known = [self._rows[name] for name in node.inputs if name in self._rows]
        return max(known, default=None)

    def _convolution(self, node: Node, rows: int) -> int:
        outputs, inputs, kernel, across = self._graph.weights[node.inputs[1]]
        if kernel != across:
            raise ValueError("a kernel that is not square")
        strides, pads = node.ints.get("strides", (1, 1)), node.ints.get("pads", (0, 0, 0, 0))
        if node.inputs[0] in self._filled:
            made = _squared(-(-math.isqrt(rows) // strides[0]))
        else:
            made = _strided(rows, kernel, strides, pads)
        weights = outputs * inputs * kernel**2
        is_depthwise = node.ints.get("group", (1,))[0] > 1
        (self._depthwise if is_depthwise else self._dense).add(weights, 2 * weights * made)
        return made

    def _product(self, node: Node, rows: int | None) -> None:
        sizes = self._graph.weights.get(node.inputs[1], ())
        if rows is None:
            return
        if len(sizes) == 2:
            turned = node.kind == "Gemm" and node.ints.get("transB") == (1,)
            inputs, outputs = (sizes[1], sizes[0]) if turned else sizes
            if outputs == 3 * inputs:
                self._width = inputs
            (self._tokens if rows > 1 else self._head).add(inputs * outputs, 2 * inputs * outputs * rows)
        else:  # tokens with tokens: attention scores and mixing
            self._tokens.add(0, 2 * rows * rows * self._width)

    def _moved(self, node: Node, rows: int) -> int:
        side = math.isqrt(rows)
        if node.kind == "GlobalAveragePool":
            return self._pooled(rows)
        if node.kind == "ReduceMean":
            axes = node.ints.get("axes") or self._graph.constants.get(
                node.inputs[1] if len(node.inputs) > 1 else "", ()
            )
            return rows if axes in ((-1,), (), (1, 2, 3)) or rows == 1 else self._pooled(rows)
        if node.kind in _POOLS:
            kernel = node.ints["kernel_shape"][0]
            return _strided(rows, kernel, node.ints.get("strides", (1, 1)), node.ints.get("pads", (0, 0, 0, 0)))
        if node.kind == "Pad":
            pads = self._graph.constants.get(node.inputs[1], ()) or node.ints.get("pads", ())
            if len(pads) == 8:
                return _squared(side + pads[2] + pads[6])
            self._filled.update(node.outputs)
        if node.kind == "SpaceToDepth":
            return _squared(side // node.ints["blocksize"][0])
        return rows

    def _pooled(self, rows: int) -> int:
        self._grid = math.isqrt(rows)
        return 1


def _strided(rows: int, kernel: int, strides: Sizes, pads: Sizes) -> int:
    return _squared((math.isqrt(rows) + pads[0] + pads[2] - kernel) // strides[0] + 1)


def _squared(side: int) -> int:
    if not 0 < side <= _MAX_SIDE:
        raise ValueError("a side that no picture has")
    return side * side


def _part(name: str, found: _Sum) -> Part:
    return Part(name.format(found.layers), found.parameters, found.flops)

"""The nodes of an ONNX file and the shapes of its weights, read from the file (onnx.proto), without an engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.encoders.onnx.graph_ends import as_message, message_fields, parse_graph

Sizes = tuple[int, ...]
_SAME = frozenset({"Cast", "Identity"})
_INT64 = 7


@dataclass(frozen=True)
class Node:
    """One operation: its kind, the names of its inputs and outputs, and its integer attributes."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ints: Mapping[str, Sizes]


@dataclass(frozen=True)
class Graph:
    """The parts of a graph from which a shape is derived.

    Args:
        nodes: in order of computation.
        weights: name -> sizes, of tensors in the file; also for names that are aliases (a cast, or a copy of equal
            values that the exporter stored once).
        stored: names of the tensors in the file.
        copies: names that are copies of a stored tensor, each a separate parameter in the model.
        constants: name -> integers, of small constants.
    """

    nodes: tuple[Node, ...]
    weights: Mapping[str, Sizes]
    stored: frozenset[str]
    copies: frozenset[str]
    constants: Mapping[str, Sizes] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """The number of weights, including copies."""
        return sum(math.prod(self.weights[name]) for name in (*self.stored, *self.copies))


def read_graph(path: Path) -> Graph:
    """Read nodes and sizes; the weights themselves are skipped.

    Raises:
        WeightsUnavailable: not an ONNX graph, or truncated.
    """
    return parse_graph(path, _graph)


def _graph(view: memoryview) -> Graph:
    graph = next((as_message(value) for number, value in message_fields(view) if number == 7), None)
    if graph is None:
        raise ValueError("there is no graph in it")
    nodes: list[Node] = []
    weights: dict[str, Sizes] = {}
    constants: dict[str, Sizes] = {}
    for number, value in message_fields(graph):
        if number == 1:
            nodes.append(_node(as_message(value), constants))
        elif number == 5:
            name, sizes, ints = _tensor(as_message(value))
            weights[name] = sizes
            if ints:
                constants[name] = ints
    # Integers among the stored tensors are sizes for reshaping, not parameters.
    stored = frozenset(weights) - frozenset(constants)
    copies = set()
    for node in nodes:
        source = node.inputs[0] if node.inputs else ""
        if node.kind in _SAME and source in weights and node.outputs:
            weights[node.outputs[0]] = weights[source]
            copies |= {node.outputs[0]} if node.kind == "Identity" else set()
    return Graph(tuple(nodes), weights, stored, frozenset(copies), constants)


def _node(view: memoryview, constants: dict[str, Sizes]) -> Node:
    inputs, outputs, kind, ints = [], [], "", {}
    value_ints: Sizes = ()
    for number, value in message_fields(view):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            kind = _text(value)
        elif number == 5:
            name, found, tensor = _attribute(as_message(value))
            ints[name] = found
            value_ints = tensor or value_ints
    if kind == "Constant" and outputs and value_ints:
        constants[outputs[0]] = value_ints
    return Node(kind, tuple(inputs), tuple(outputs), ints)


def _attribute(view: memoryview) -> tuple[str, Sizes, Sizes]:
    """(name, its integers, those of a tensor in it)."""
    name, found = "", list[int]()
    tensor: Sizes = ()
    for number, value in message_fields(view):
        if number == 1:
            name = _text(value)
        elif number == 3 and isinstance(value, int):
            found.append(value)
        elif number == 8:  # single values, or packed
            found += [value] if isinstance(value, int) else _packed(value)
        elif number == 5:
            tensor = _tensor(as_message(value))[2]
    return name, tuple(found), tensor


def _tensor(view: memoryview) -> tuple[str, Sizes, Sizes]:
    """(name, sizes, values of a small int64 tensor)."""
    name, kind = "", 0
    sizes: list[int] = []
    raw = b""
    for number, value in message_fields(view):
        if number == 1:
            sizes += [value] if isinstance(value, int) else _packed(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = _text(value)
        elif number == 9 and len(as_message(value)) <= 128:
            raw = bytes(as_message(value))
    if any(size < 0 or size > 1 << 40 for size in sizes):
        raise ValueError("a size is out of range")
    ints = [int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)]
    return name, tuple(sizes), tuple(ints) if kind == _INT64 else ()


def _packed(view: memoryview) -> list[int]:
    found, value, shift = [], 0, 0
    for byte in view:
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            found.append(value)
            value = shift = 0
    return found


def _text(value: int | memoryview) -> str:
    return bytes(as_message(value)).decode()

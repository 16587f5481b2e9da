"""Writes ONNX files field by field, so that a benchmark needs neither torch nor the onnx package.

The numbers are the field numbers of onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto,
ValueInfoProto), encoded as in protobuf: a key of (field << 3 | kind), kind 0 for a varint, 2 for bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 17
"""The first with LayerNormalization as one operation."""

_IR_VERSION = 8
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}


class OnnxGraph:
    """A graph that is built in order of computation."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []
        self._made = 0

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant (float32 or int64) and return its name."""
        dims = b"".join(_number(1, size) for size in values.shape)
        data = np.ascontiguousarray(values).tobytes()
        tensor = dims + _number(2, _TYPES[values.dtype]) + _text(8, name) + _bytes(9, data)
        self._weights.append(_bytes(5, tensor))
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.weight(self._new("number"), np.array(value, np.float32))

    def shape(self, *sizes: int) -> str:
        """A shape for Reshape: 0 keeps a size, -1 is inferred."""
        return self.weight(self._new("shape"), np.array(sizes, np.int64))

    def node(self, operation: str, *inputs: str, **attributes: float | int | Sequence[int]) -> str:
        """Add an operation with one output and return the output's name."""
        return self.nodes(operation, 1, *inputs, **attributes)[0]

    def nodes(self, operation: str, outputs: int, *inputs: str, **attributes: float | int | Sequence[int]) -> list[str]:
        """Add an operation with several outputs and return their names."""
        names = [self._new(operation) for _ in range(outputs)]
        body = b"".join([_text(1, name) for name in inputs] + [_text(2, name) for name in names])
        body += _text(3, names[0]) + _text(4, operation)
        body += b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
        self._nodes.append(_bytes(1, body))
        return names

    def write(
        self, path: Path, inputs: Iterable[bytes], output: str, output_name: str, output_shape: Sequence[int | str]
    ) -> None:
        """Write the model; the tensor ``output`` becomes the graph's output ``output_name``."""
        self._nodes.append(_bytes(1, _text(1, output) + _text(2, output_name) + _text(4, "Identity")))
        ends = [*(_bytes(11, value) for value in inputs), _bytes(12, tensor_end(output_name, output_shape))]
        parts = [*self._nodes, _text(2, "benchmark"), *self._weights, *ends]
        opset = _bytes(8, _number(2, OPSET))
        with path.open("wb") as file:
            file.write(_number(1, _IR_VERSION) + opset + _key(7, 2) + _varint(sum(map(len, parts))))
            file.writelines(parts)

    def _new(self, stem: str) -> str:
        self._made += 1
        return f"{stem}_{self._made}"


def tensor_end(name: str, shape: Sequence[int | str]) -> bytes:
    """A float32 input or output of the graph (ValueInfoProto); a size given as text is dynamic."""
    dims = b"".join(_bytes(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, dims)))


def _attribute(name: str, value: float | int | Sequence[int]) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _key(2, 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, 7)


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _bytes(field: int, data: bytes) -> bytes:
    return _key(field, 2) + _varint(len(data)) + data


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as their 64-bit two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)

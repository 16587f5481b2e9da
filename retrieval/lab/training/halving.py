"""An ONNX graph with its matrices in float16: half the size, the same arithmetic in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EncoderError

_LARGEST = 65504.0
"""The largest float16."""
_SMALLEST = 64
"""Smaller matrices are not changed: nothing would be saved."""


def halve_matrices(path: Path) -> int:
    """Store every float32 matrix and kernel of a graph as float16 with a cast; returns how many.

    Vectors (biases, norms) stay in float32: they are small, and the scale of a norm affects all numbers after it.
    Engines fold the cast when they load the graph, so nothing becomes slower.

    Raises:
        EncoderError: see :func:`in_half`.
    """
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    casts, count = [], 0
    for tensor in list(graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2 or np.prod(tensor.dims) < _SMALLEST:
            continue
        half = f"{tensor.name}_f16"
        values = in_half(onnx.numpy_helper.to_array(tensor), tensor.name)
        casts.append(onnx.helper.make_node("Cast", [half], [tensor.name], to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, half))
        count += 1
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return count


def in_half(values: NDArray[np.floating], name: str) -> NDArray[np.float16]:
    """The values in float16.

    Raises:
        EncoderError: one of them is not finite, or exceeds the range of float16.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= _LARGEST:  # also true for NaN
        raise EncoderError(
            f"the weights {name} reach {largest:.3g}, beyond what float16 holds",
            "the training went astray: try again with a smaller --rate",
        )
    return values.astype(np.float16)

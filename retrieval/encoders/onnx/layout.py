"""Convolutions of small nets on CPUs with AVX2 only: channels in blocks of eight.

OpenVINO keeps channels innermost there and computes convolutions with its kernels ``brgconv_avx2``. For networks of
inverted residuals (alternating 1 x 1 and depthwise convolutions: MobileNet, EfficientNet) its older kernels
``jit_avx2``, which keep channels in blocks of eight, take 0.83 of the CPU time (the built-in model, eight pictures at
once, 15 alternating rounds); the components of an embedding differ by at most 6e-7. OpenVINO has no setting for this,
but it follows an annotation on each convolution that only its own file format can contain. So the convolutions are
written in that format, without weights and with the annotation, read back, and replace those of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_KERNELS = "cpu:jit_avx2_1x1,cpu:jit_avx2_dw,cpu:jit_avx2"
_SLOWER = "brgconv_avx2"
_KINDS = ("Convolution", "GroupConvolution")
_FLOAT = "<Type: 'float32'>"
_LEAST_DEPTHWISE = 4
_WIDEST = 5
"""Pixels of a depthwise kernel: wider ones (ConvNeXt's) are between normalisations over channels, which are faster with
channels innermost. Such networks were not measured."""


def in_blocks(core: Any, model: Any, properties: Mapping[str, Any]) -> Any:
    """Let the convolutions of an ``openvino.Model`` use blocks of channels, if it is such a network on such a CPU.

    Args:
        core: OpenVINO's core.
        model: any model; it is modified.
        properties: those with which it will be compiled.

    Returns:
        The model.
    """
    convolutions = [node for node in model.get_ordered_ops() if _is_flat(node)]
    if sum(map(_is_depthwise, convolutions)) >= _LEAST_DEPTHWISE and is_slower_here(core, properties):
        replace_noted(core, convolutions)
    return model


def replace_noted(core: Any, convolutions: Sequence[Any]) -> None:
    """Replace these convolutions, all of one model, by convolutions with the annotation."""
    noted = core.read_model(_noted(convolutions).encode("ascii"))
    new = {node.get_friendly_name(): node for node in noted.get_ordered_ops() if node.get_type_name() in _KINDS}
    for number, old in enumerate(convolutions):
        node = new[f"convolution{number}"]
        for place in (0, 1):
            node.input(place).replace_source_output(old.input_value(place))
        node.set_friendly_name(old.get_friendly_name())
        old.output(0).replace(node.output(0))


def _is_flat(node: Any) -> bool:
    """True for a convolution of pictures in float32 with a known number of channels."""
    if node.get_type_name() not in _KINDS or any(str(value.get_element_type()) != _FLOAT for value in _inputs(node)):
        return False
    sizes = _dims(node.input_value(0)).split(",")
    return len(sizes) == 4 and sizes[1].isdigit()


def _inputs(node: Any) -> list[Any]:
    return [node.input_value(0), node.input_value(1)]


def _is_depthwise(node: Any) -> bool:
    weights = node.input_value(1).get_partial_shape()
    if node.get_type_name() != "GroupConvolution" or weights.is_dynamic:
        return False
    _, out, into, *sides = map(int, weights.to_shape())
    return out == into == 1 and max(sides) <= _WIDEST


def is_slower_here(core: Any, properties: Mapping[str, Any]) -> bool:
    """True if OpenVINO chooses the slower kernel on this CPU, which is tried with a small depthwise convolution."""
    import openvino
    from openvino import opset13 as ops

    channels = 32
    picture = ops.parameter([1, channels, 14, 14], np.float32)
    weights = ops.constant(np.ones((channels, 1, 1, 3, 3), np.float32))
    product = ops.group_convolution(picture, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    compiled = core.compile_model(openvino.Model([product], [picture]), "CPU", dict(properties))
    kernels = [kernel_of(node) for node in compiled.get_runtime_model().get_ops()]
    return any(kernel.startswith(_SLOWER) for kernel in kernels)


def kernel_of(node: Any) -> str:
    """The kernel of a node in a compiled model: ``jit_avx2_dw_f32``."""
    return str(node.get_rt_info()["primitiveType"].astype(str))


def _noted(convolutions: Sequence[Any]) -> str:
    """A model in OpenVINO's format: these convolutions, each with two inputs and the annotation."""
    note = f'<rt_info><attribute name="primitives_priority" version="0" value="{_KERNELS}"/></rt_info>'
    layers, edges = [], []
    for number, node in enumerate(convolutions):
        first, inputs, output = 4 * number, _inputs(node), node.output(0)
        for place, value in enumerate(inputs):
            shape = f'<data shape="{_dims(value)}" element_type="f32"/>'
            layers.append(_layer(first + place, f"input{first + place}", "Parameter", shape, [], [value]))
        settings = " ".join(f'{name}="{_text(value)}"' for name, value in node.get_attributes().items())
        inside = f"<data {settings}/>{note}"
        layers += [
            _layer(first + 2, f"convolution{number}", node.get_type_name(), inside, inputs, [output]),
            _layer(first + 3, f"result{number}", "Result", "", [output], []),
        ]
        edges += [(first, 0, first + 2, 0), (first + 1, 0, first + 2, 1), (first + 2, 2, first + 3, 0)]
    lines = [
        f'<edge from-layer="{source}" from-port="{out}" to-layer="{target}" to-port="{into}"/>'
        for source, out, target, into in edges
    ]
    return f'<net name="noted" version="11"><layers>{"".join(layers)}</layers><edges>{"".join(lines)}</edges></net>'


def _layer(number: int, name: str, kind: str, inside: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> str:
    ports = [_port(place, value) for place, value in enumerate([*inputs, *outputs])]
    taken, given = "".join(ports[: len(inputs)]), "".join(ports[len(inputs) :])
    taken = f"<input>{taken}</input>" if taken else ""
    given = f"<output>{given}</output>" if given else ""
    return f'<layer id="{number}" name="{name}" type="{kind}" version="opset1">{inside}{taken}{given}</layer>'


def _port(place: int, value: Any) -> str:
    sizes = _dims(value).replace("?", "-1").replace(",", "</dim><dim>")
    return f'<port id="{place}" precision="FP32"><dim>{sizes}</dim></port>'


def _dims(value: Any) -> str:
    """``?,3,224,224``"""
    return str(value.get_partial_shape())[1:-1].replace(" ", "")


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)

"""Convolutions in blocks of channels: equal results, other kernels, and only where they are faster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.onnx.encoder import shared_core
from retrieval.encoders.onnx.layout import in_blocks, is_slower_here, kernel_of, replace_noted

openvino = pytest.importorskip("openvino")
ops = pytest.importorskip("openvino.opset13")

PROPERTIES = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
KINDS = ("Convolution", "GroupConvolution")


def net(kernel: int, blocks: int = 4) -> Any:
    """A stem and inverted residuals: (n, 3, 32, 32) -> (n, 16, 8, 8)."""
    rng = np.random.default_rng(5)

    def weights(*shape: int) -> Any:
        return ops.constant((rng.standard_normal(shape) / 4).astype(np.float32))

    picture = ops.parameter([-1, 3, 32, 32], np.float32, name="pixels")
    at = ops.convolution(picture, weights(16, 3, 3, 3), [2, 2], [0, 0], [1, 1], [1, 1])
    for number in range(blocks):
        stride = 2 if number == 1 else 1
        wide = ops.clamp(ops.convolution(at, weights(24, 16, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1]), 0.0, 6.0)
        around = [kernel // 2] * 2
        deep = ops.group_convolution(wide, weights(24, 1, 1, kernel, kernel), [stride] * 2, around, around, [1, 1])
        narrow = ops.convolution(deep, weights(16, 24, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1])
        at = narrow if stride == 2 else ops.add(at, narrow)
    return openvino.Model([at], [picture])


def kernels(model: Any) -> set[str]:
    compiled = shared_core().compile_model(model, "CPU", PROPERTIES)
    return {kernel_of(node) for node in compiled.get_runtime_model().get_ops()}


def numbers(model: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    pixels = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    return np.array(shared_core().compile_model(model, "CPU", PROPERTIES)([pixels])[0])


def noted(model: Any) -> list[bool]:
    return [
        any("primitives_priority" in name for name, _ in node.get_rt_info().items())
        for node in model.get_ordered_ops()
        if node.get_type_name() in KINDS
    ]


@pytest.mark.parametrize("kernel", [3, 5])
def test_noted_convolutions_give_the_same_numbers(kernel: int) -> None:
    wanted, model = numbers(net(kernel)), net(kernel)
    replace_noted(shared_core(), [node for node in model.get_ordered_ops() if node.get_type_name() in KINDS])
    assert noted(model) == [True] * 13
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(numbers(model), wanted, atol=2e-5)


def test_only_where_openvino_would_take_the_slower_kernels() -> None:
    is_slower = is_slower_here(shared_core(), PROPERTIES)
    model = in_blocks(shared_core(), net(3), PROPERTIES)
    assert noted(model) == [is_slower] * 13
    assert any(kernel.startswith("brgconv_avx2") for kernel in kernels(net(3))) == is_slower
    assert not any(kernel.startswith("brgconv_avx2") for kernel in kernels(model))


@pytest.mark.parametrize(("kernel", "blocks"), [(7, 4), (3, 3)])
def test_other_nets_are_left_alone(kernel: int, blocks: int) -> None:
    """Wide kernels, as in ConvNeXt, and nets with few such convolutions, as the first patches of a transformer."""
    assert not any(noted(in_blocks(shared_core(), net(kernel, blocks), PROPERTIES)))


def test_the_built_in_model_is_such_a_net() -> None:
    model = in_blocks(shared_core(), shared_core().read_model(BUILTIN_FOLDER / "image.onnx"), PROPERTIES)
    assert len(noted(model)) > 40
    assert set(noted(model)) == {is_slower_here(shared_core(), PROPERTIES)}

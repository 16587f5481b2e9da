"""Optional int8 image tower: weights are quantized here, activations by OpenVINO at run time.

No calibration data and no other library are needed. By CPU time on a CPU with AVX512-VNNI, a ViT-B-32-256 of random
weights ran 1.27 times as fast as in bfloat16 and 2.4 times as fast as in float32; narrow towers lose (the built-in
model: 0.66 times bfloat16). What it costs in fidelity depends on the weights, so it is measured on the pictures
themselves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from indexes.base import Vectors
from retrieval.encoders.base import EncoderSpec, Pixels

log = logging.getLogger("photoseek")

# Activations are scaled in groups of so many. 64, 256 and 768 were slower (1.18, 1.18 and 1.07 times bfloat16's speed).
PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 128}
COMPARED = 32
NEIGHBOURS = 5


def int8_fingerprint(fingerprint: str) -> str:
    """Identity of the int8 form: its embeddings differ by more than an engine's rounding and share no index."""
    from blake3 import blake3

    return blake3(f"{fingerprint} int8 dynamic g128".encode("ascii")).hexdigest()


def int8_spec(spec: EncoderSpec) -> EncoderSpec:
    """The same model under its own fingerprint."""
    return replace(spec, fingerprint=int8_fingerprint(spec.fingerprint))


def round_weights(model: Any) -> Any:
    """Replace the constant matrices of an ``openvino.Model`` by int8 and one float32 scale an output channel.

    A classifier keeps its numbers: a softmax makes large differences of small ones, and it costs next to nothing.
    Symmetric: ``scale = max |row| / 127``. OpenVINO's CPU plugin recognises Convert and Multiply before a MatMul and
    multiplies in int8, scaling activations as they come.
    """
    from openvino import Type
    from openvino import opset13 as ops

    for product in model.get_ordered_ops():
        weights = _constant(product) if product.get_type_name() == "MatMul" else None
        if weights is None or _is_classifier(product):
            continue
        settings = product.get_attributes()
        rows = weights if settings["transpose_b"] else np.ascontiguousarray(weights.T)
        scale = np.abs(rows).max(axis=1, keepdims=True) / 127
        scale[scale == 0] = 1
        rounded = np.rint(rows / scale).astype(np.int8)
        matrix = ops.multiply(ops.convert(ops.constant(rounded, Type.i8), "f32"), ops.constant(scale))
        new = ops.matmul(product.input_value(0), matrix, settings["transpose_a"], True)
        product.output(0).replace(new.output(0))
    model.validate_nodes_and_infer_types()
    return model


def _is_classifier(product: Any) -> bool:
    """True if a softmax is made of a product, perhaps scaled and shifted before."""
    reached = product
    while True:
        consumers = [target.get_node() for target in reached.output(0).get_target_inputs()]
        if len(consumers) != 1 or consumers[0].get_type_name() not in ("Add", "Multiply", "Softmax"):
            return False
        if consumers[0].get_type_name() == "Softmax":
            return True
        reached = consumers[0]


def _constant(product: Any) -> Any:
    """The (in, out) or (out, in) float32 weights of a MatMul, None for what is no matrix of constants."""
    node = product.input_value(1).get_node()
    if node.get_type_name() == "Convert":  # stored as float16
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    values = np.asarray(node.data)
    is_matrix = values.ndim == 2 and values.dtype in (np.float16, np.float32)
    return values.astype(np.float32) if is_matrix else None


class FirstPictures:
    """Compares the first pictures with float32 and tells once, through the ``photoseek`` logger.

    Args:
        reference: makes the float32 tower, (n, 3, size, size) uint8 -> (n, dim) unit vectors; called once.
    """

    def __init__(self, reference: Callable[[], Callable[[Pixels], Vectors]]) -> None:
        self._reference = reference
        self._lock = threading.Lock()
        self._seen: list[tuple[Pixels, Vectors]] | None = []

    def saw(self, pixels: Pixels, vectors: Vectors) -> None:
        """Note a batch; the call that brings the number to :data:`COMPARED` makes the comparison."""
        with self._lock:
            if self._seen is None:
                return
            self._seen.append((pixels, vectors))
            if sum(len(batch) for batch, _ in self._seen) < COMPARED:
                return
            seen, self._seen = self._seen, None
        full = self._reference()
        wanted = np.concatenate([full(batch) for batch, _ in seen])
        log.warning("%s", difference_message(np.concatenate([found for _, found in seen]), wanted))


def difference_message(found: Vectors, wanted: Vectors) -> str:
    """One line about (n, dim) int8 embeddings beside those in float32; n above :data:`NEIGHBOURS`."""
    difference = float(np.abs(found - wanted).max())
    cosine = float((found * wanted).sum(axis=1).min())
    kept = [len(set(a) & set(b)) for a, b in zip(_nearest(found), _nearest(wanted), strict=True)]
    return (
        f"int8 against float32 on the first {len(found)} pictures: largest difference {difference:.4f}, lowest cosine "
        f"{cosine:.4f}, {np.mean(kept) / NEIGHBOURS:.0%} of the {NEIGHBOURS} nearest neighbours kept"
    )


def _nearest(vectors: Vectors) -> list[list[int]]:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2.0)
    nearest: list[list[int]] = np.argsort(-scores, axis=1)[:, :NEIGHBOURS].tolist()
    return nearest

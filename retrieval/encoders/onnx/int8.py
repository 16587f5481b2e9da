"""Optional int8 image tower: weights are quantized here, activations by OpenVINO at run time.

No calibration data and no other library are needed. By CPU time on a CPU with AVX512-VNNI, a ViT-B-32-256 with random
weights ran 1.27 times as fast as in bfloat16 and 2.4 times as fast as in float32; narrow towers become slower (the
built-in model: 0.66 times the speed of bfloat16). The loss of accuracy depends on the weights, so it is measured on the
user's pictures.
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

# Group size for scaling activations. 64, 256 and 768 were slower (1.18, 1.18 and 1.07 times the speed of bfloat16).
PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 128}
COMPARED = 32
NEIGHBOURS = 5


def int8_fingerprint(fingerprint: str) -> str:
    """Identity of the int8 form: its embeddings differ by more than rounding by the engine and need their own index."""
    from blake3 import blake3

    return blake3(f"{fingerprint} int8 dynamic g128".encode("ascii")).hexdigest()


def int8_spec(spec: EncoderSpec) -> EncoderSpec:
    """The same model with the fingerprint of its int8 form."""
    return replace(spec, fingerprint=int8_fingerprint(spec.fingerprint))


def round_weights(model: Any) -> Any:
    """Replace the constant matrices of an ``openvino.Model`` by int8 and one float32 scale per output channel.

    A classifier is not changed: softmax amplifies small differences, and it costs next to nothing.
    Symmetric: ``scale = max |row| / 127``. OpenVINO's CPU plugin recognises Convert and Multiply before a MatMul and
    multiplies in int8, scaling activations at run time.
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
    """True if the result of a product goes into a softmax, possibly after scaling and shifting."""
    reached = product
    while True:
        consumers = [target.get_node() for target in reached.output(0).get_target_inputs()]
        if len(consumers) != 1 or consumers[0].get_type_name() not in ("Add", "Multiply", "Softmax"):
            return False
        if consumers[0].get_type_name() == "Softmax":
            return True
        reached = consumers[0]


def _constant(product: Any) -> Any:
    """The (in, out) or (out, in) float32 weights of a MatMul, None if it has no constant matrix."""
    node = product.input_value(1).get_node()
    if node.get_type_name() == "Convert":  # stored as float16
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    values = np.asarray(node.data)
    is_matrix = values.ndim == 2 and values.dtype in (np.float16, np.float32)
    return values.astype(np.float32) if is_matrix else None


class FirstPictures:
    """Compares the first pictures with float32 and reports the result once, through the ``photoseek`` logger.

    Args:
        reference: creates the float32 tower, (n, 3, size, size) uint8 -> (n, dim) unit vectors; called once.
    """

    def __init__(self, reference: Callable[[], Callable[[Pixels], Vectors]]) -> None:
        self._reference = reference
        self._lock = threading.Lock()
        self._seen: list[tuple[Pixels, Vectors]] | None = []

    def saw(self, pixels: Pixels, vectors: Vectors) -> None:
        """Add a batch; the call that reaches :data:`COMPARED` pictures performs the comparison."""
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
    """One line that compares (n, dim) int8 embeddings with those in float32; n must exceed :data:`NEIGHBOURS`."""
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

"""Models in folder form on a CPU: the image tower with OpenVINO, the text tower with numpy (CLIP) or OpenVINO.

OpenVINO in bfloat16 encoded 1.9 times as many images as ONNX Runtime in float32; in float32 they are equal.
One-thread streams, one per caller, are faster than one call over all threads, because decoding uses the same cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors
from retrieval.encoders.base import EncoderSpec, Pixels, Precision, Preprocessing, unit
from retrieval.encoders.files.description import EncoderFolder, TextTower, verify_encoder_folder
from retrieval.encoders.names.known_models import text_not_supported
from retrieval.encoders.onnx.graph_ends import check_weights_listed
from retrieval.encoders.onnx.int8 import PROPERTIES as INT8_PROPERTIES
from retrieval.encoders.onnx.int8 import FirstPictures, int8_spec, round_weights
from retrieval.encoders.onnx.text_tower import NumpyTextTower
from retrieval.encoders.onnx.tokenizer import Tokenizer, load_tokenizer
from retrieval.errors import (
    EncoderError,
    RuntimeUnavailable,
    SettingsError,
    SystemProblem,
    WeightsUnavailable,
)
from retrieval.free_memory import NO_MEMORY, check_room

Features = NDArray[np.float32]

_HINTS = {"bf16": "bf16", "fp32": "f32"}
_MOST = 32  # maximal number of pictures or texts per inference
_TINY = 96  # pixels: for smaller inputs a call costs more than an image, so batches are larger


class OnnxEncoder:
    """An ``Encoder`` over a folder; nothing heavy is imported or compiled before its tower is used.

    Args:
        folder: the result of :func:`read_encoder_folder`.
        precision: of the image tower; ``auto`` is bf16 if the CPU supports it, else fp32. ``int8`` is another
            encoder with a separate fingerprint, see :mod:`retrieval.encoders.onnx.int8`.
        threads: streams and threads of the image tower; ``None`` for all CPUs that this process may use.

    Raises:
        SettingsError: less than one thread, or fp16; at the first image, bf16 or int8 on a CPU without it.
        RuntimeUnavailable, WeightsUnavailable: at the first use of a tower.
    """

    def __init__(self, folder: EncoderFolder, precision: Precision = "auto", threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise SettingsError(f"cannot encode with {threads} threads", "give 1 or more")
        if precision == "fp16":
            raise SettingsError("fp16 is for GPUs", "the ONNX form runs in bf16, fp32 or int8; or leave it at auto")
        self.folder = folder
        self.spec: EncoderSpec = int8_spec(folder.spec) if precision == "int8" else folder.spec
        self._precision, self._threads = precision, threads
        # Re-entrant: creating a tower accesses the core, which takes the same lock.
        self._lock = threading.RLock()
        self._first = FirstPictures(self._reference) if precision == "int8" else None

    @property
    def streams(self) -> int:
        """Maximal number of concurrent callers, each with its own one-thread stream."""
        return self._threads or available_cpus()

    @property
    def batch_size(self) -> int:
        """8 reaches 92 % of the best rate of a ViT-B-32, and Ctrl-C and commits stay prompt."""
        return _MOST if self.spec.preprocessing.size <= _TINY else 8

    @property
    def device(self) -> str:
        return f"cpu (OpenVINO, {self._image_precision})"

    @property
    def precision(self) -> str:
        """``bf16``, ``fp32`` or ``int8``."""
        return self._image_precision

    def encode_images(self, pixels: Pixels) -> Vectors:
        size = self.spec.preprocessing.size
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (3, size, size):
            raise EncoderError(
                f"pixels of shape {pixels.shape} and type {pixels.dtype} were given, "
                f"{self.spec.name} takes (n, 3, {size}, {size}) uint8",
                "prepare images with this encoder's own preprocessing",
            )
        if not len(pixels):
            return np.empty((0, self.spec.dim), np.float32)
        # In parts: the memory of a graph grows with its batch, by about 5 MB per picture of 224 px.
        tower, parts = self._image, range(0, len(pixels), _MOST)
        vectors = unit(np.concatenate([tower.run(np.ascontiguousarray(pixels[at : at + _MOST])) for at in parts]))
        if self._first is not None:
            self._first.saw(pixels, vectors)
        return vectors

    def _reference(self) -> Callable[[Pixels], Vectors]:
        return OnnxEncoder(self.folder, "fp32", threads=1).encode_images

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        rows = [self._tokenizer.encode(text) for text in texts]
        if not rows:
            return np.empty((0, self.spec.dim), np.float32)
        return unit(self._text_features(rows))

    def is_cut(self, text: str) -> bool:
        return self._tokenizer.is_cut(text)

    def _text_features(self, rows: Sequence[Sequence[int]]) -> Features:
        if isinstance(self._text, NumpyTextTower):
            return self._text.features(rows)
        out = np.empty((len(rows), self.spec.dim), np.float32)
        dtype = np.dtype(self._text_tower.ids_dtype)
        lengths = np.array([len(row) for row in rows])
        # Only rows of equal length are batched: a graph cannot distinguish our padding from tokens.
        for length in np.unique(lengths):
            (where,) = np.nonzero(lengths == length)
            for at in range(0, len(where), _MOST):
                some = where[at : at + _MOST]
                out[some] = self._text.run(np.array([rows[i] for i in some], dtype))
        return out

    @property
    def _text_tower(self) -> TextTower:
        if self.folder.text is None:
            raise text_not_supported(self.spec.name)
        return self.folder.text

    # Each tower is loaded once, even if several threads need it at the same time: cached_property does not lock.
    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tower = self._text_tower
        return load_tokenizer(self.folder.file(tower.tokenizer.file), tower)

    @property
    def _text(self) -> NumpyTextTower | _Graph:
        with self._lock:
            return self._awake_text

    @property
    def _image(self) -> _Graph:
        with self._lock:
            return self._awake_image

    @cached_property
    def _awake_text(self) -> NumpyTextTower | _Graph:
        tower = self._text_tower
        path = self.folder.file(tower.file)
        if tower.kind == "clip-weights":
            weights = NumpyTextTower(path, tower)
            _check_dim(path, weights.dim, self.spec.dim)
            return weights
        properties = {
            "INFERENCE_NUM_THREADS": self.streams,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        return _Graph(self._core, path, (tower.input, tower.output), self.spec.dim, properties)

    @cached_property
    def _awake_image(self) -> _Graph:
        image = self.folder.image
        properties = {
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": self.streams,
            "INFERENCE_PRECISION_HINT": _HINTS.get(self._image_precision, "f32"),
        }
        is_int8 = self._image_precision == "int8"
        properties |= INT8_PROPERTIES if is_int8 else {}
        verify_encoder_folder(self.folder, without_text=True)
        check_weights_listed(self.folder.path, image.file, self.folder.files)
        ends, path = (image.input, image.output), self.folder.file(image.file)
        weights = path.stat().st_size
        used, reserved = _USED * self.streams + weights, _RESERVED * self.streams + 2 * weights
        check_room(self.spec.name, used=used, reserved=reserved)

        def changed(model: Any) -> Any:
            from retrieval.encoders.onnx.layout import in_blocks

            return in_blocks(self._core, round_weights(model) if is_int8 else model, properties)

        change = None if self._image_precision == "bf16" else changed
        return _Graph(self._core, path, ends, self.spec.dim, properties, self.spec.preprocessing, change)

    @cached_property
    def _core(self) -> Any:
        try:
            return shared_core()
        except ImportError as error:
            raise RuntimeUnavailable(
                f"{self.spec.name} needs the openvino library", "pip install 'photoseek[cpu]'"
            ) from error

    @cached_property
    def _image_precision(self) -> str:
        if self._precision == "fp32":
            return "fp32"
        with self._lock:
            known = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self._precision == "int8":
            if "INT8" not in known:
                raise SettingsError("this CPU does not support int8", "leave the precision at auto, or use fp32")
            return "int8"
        capable = "BF16" in known
        if self._precision == "bf16" and not capable:
            raise SettingsError("this CPU does not support bf16", "leave the precision at auto, or use fp32")
        return "bf16" if capable else "fp32"


_USED, _RESERVED = 64 << 20, 400 << 20
"""Bytes that OpenVINO takes for each stream, besides the weights: 65 and 306 MiB were measured with the built-in model.
With fewer, its threads end the process instead of raising an error."""

_core_lock = threading.Lock()


def shared_core() -> Any:
    """OpenVINO's core: one for the whole process, never released.

    Its CPU plugin installs a signal stack in the thread that creates a core, and restores the previous one when the
    core is released. If two cores are not released in reverse order, the second restores a stack that the first has
    unmapped, and the next Ctrl-C crashes the process (OpenVINO 2026.4).
    """
    with _core_lock:
        return _make_core()


@cache
def _make_core() -> Any:
    """A core, after a single thread has initialised OpenVINO's numpy bridge.

    The bridge initialises itself at the first array it gets; if two threads pass their first arrays at the same time,
    they deadlock (each holds what the other needs: the interpreter lock, and the once-only flag).
    """
    import openvino

    _ = openvino.Tensor(np.zeros(1, np.float32)).data
    return openvino.Core()


def graph_behind(model: Any, nodes: Sequence[Any], output: str) -> Any | None:
    """The part of an OpenVINO model from the outputs of some of its nodes to one of its outputs; consumes the model.

    Args:
        nodes: of the model; their values become the inputs of the part, in this order, with a free first axis.
        output: the name of the model's output.

    Returns:
        None if that output depends on anything else in the model's inputs.
    """
    import openvino
    from openvino import opset13

    inputs = []
    for node in nodes:
        shape = node.output(0).get_partial_shape()
        shape[0] = openvino.Dimension()
        given = opset13.parameter(shape, node.output(0).get_element_type())
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(given.output(0))
        inputs.append(given)
    wanted = next(each for each in model.outputs if output in each.get_names())
    try:
        return openvino.Model([opset13.result(wanted.get_node().input_value(0))], inputs)
    except RuntimeError:
        return None


class _Graph:
    """One compiled ONNX graph, called from many threads, each with its own inference request."""

    def __init__(
        self,
        core: Any,
        file: Path,
        ends: tuple[str, str],
        dim: int,
        properties: Mapping[str, Any],
        preprocessing: Preprocessing | None = None,
        change: Callable[[Any], Any] | None = None,
    ) -> None:
        self._file, self._dim = file, dim
        self._own = threading.local()
        self._lock = threading.Lock()
        try:
            model = core.read_model(file)
            self._one_by_one = not _free_batch(model, ends[0])
            if preprocessing is not None:
                model = _takes_bytes(model, ends[0], preprocessing)
            if change is not None:
                model = change(model)
            self._output = [out.get_any_name() for out in model.outputs].index(ends[1])
            _check_dim(file, model.outputs[self._output].partial_shape[-1], dim)
            self._compiled = core.compile_model(model, "CPU", dict(properties))
        except (RuntimeError, ValueError) as error:
            raise _without_memory(error) or _broken(file, error) from error

    def run(self, batch: NDArray[Any]) -> Features:
        """(n, ...) -> (n, dim) float32, a copy."""
        if not len(batch):
            return np.empty((0, self._dim), np.float32)
        if not self._one_by_one:
            return self._infer(batch)
        return np.concatenate([self._infer(batch[i : i + 1]) for i in range(len(batch))])

    def _infer(self, batch: NDArray[Any]) -> Features:
        request = getattr(self._own, "request", None)
        if request is None:
            with self._lock:
                request = self._own.request = self._compiled.create_infer_request()
        try:
            request.infer([batch], share_inputs=True)
            found = request.get_output_tensor(self._output).data
        except RuntimeError as error:
            if _without_memory(error) is not None:
                raise EncoderError(NO_MEMORY, "close other programs") from error
            raise EncoderError(f"{self._file.name} failed: {str(error)[:300]}", "fetch the model again") from error
        if found.shape != (len(batch), self._dim):
            raise _broken(self._file, ValueError(f"gives {found.shape}, not {(len(batch), self._dim)}"))
        return np.array(found, np.float32)


def _free_batch(model: Any, name: str) -> bool:
    """False if the graph was traced with a fixed batch size: its first axis could be declared free afterwards, but
    constants of that size would remain inside and fail with the first larger batch."""
    return bool(model.input(name).partial_shape[0].is_dynamic)


def _takes_bytes(model: Any, name: str, preprocessing: Preprocessing) -> Any:
    """Fold scaling and normalisation into the graph: as exact as numpy in float32 (1e-7), and saves one pass."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    image = steps.input(name)
    image.tensor().set_element_type(Type.u8).set_layout(Layout("NCHW"))
    image.model().set_layout(Layout("NCHW"))
    mean, std = ([255.0 * value for value in values] for values in (preprocessing.mean, preprocessing.std))
    image.preprocess().convert_element_type(Type.f32).mean(mean).scale(std)
    return steps.build()


def _check_dim(file: Path, found: Any, dim: int) -> None:
    length = found if isinstance(found, int) else None if found.is_dynamic else found.get_length()
    if length is not None and length != dim:
        raise WeightsUnavailable(
            f"{file} gives vectors of {length} numbers, encoder.json says {dim}",
            "fetch or export the model again",
        )


def _broken(file: Path, error: Exception) -> WeightsUnavailable:
    return WeightsUnavailable(f"{file} cannot be used: {str(error)[:300]}", "fetch or export the model again")


def _without_memory(error: Exception) -> SystemProblem | None:
    from retrieval.system_errors import is_of_memory, no_memory

    return no_memory() if is_of_memory(error) else None


def available_cpus() -> int:
    """CPUs that this process may use: its affinity mask, limited by a container's quota (cgroup v2)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return max(1, min(count, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return max(1, count)

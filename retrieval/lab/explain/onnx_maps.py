"""Attention and dense tokens of a model in ONNX form, without torch.

Attention: the softmaxes are made outputs of the graph.

Dense tokens, for models that pool by a mean: as in MaskCLIP (Zhou et al. 2022, "Extract Free Dense Labels from CLIP",
section 3.2), the layers after the pooling are run on each position separately: the result for a position is the
embedding of a picture in which all positions are like it. The means over positions are removed from the graph, and the
layers after them are run on every position's features.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors
from retrieval.encoders.base import Pixels, unit
from retrieval.encoders.files.description import verify_encoder_folder
from retrieval.encoders.onnx.encoder import OnnxEncoder, graph_behind, shared_core
from retrieval.errors import RuntimeUnavailable, SettingsError, WeightsUnavailable
from retrieval.lab.explain.cells import HeatMap

_F32 = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}

CELLS = 4
"""Cells of the map per position of the grid: one position of a quarter of the picture covers two."""

Attentions = list[NDArray[np.float32]]


class DenseTower:
    """An image tower in ONNX form, without its pooling.

    Args:
        encoder: its graph is divided; the encoder is not changed.

    Raises:
        SettingsError: it pools in another way, or not at all.
        WeightsUnavailable, RuntimeUnavailable: the graph or the engine cannot be used.
    """

    def __init__(self, encoder: OnnxEncoder) -> None:
        folder = encoder.folder
        verify_encoder_folder(folder, without_text=True)
        self._name, self._spec, self._input = encoder.spec.name, encoder.spec, folder.image.input
        self._file = folder.file(folder.image.file)
        try:
            core = shared_core()
        except ImportError as error:
            raise RuntimeUnavailable(
                f"{self._name} needs the openvino library", "pip install 'photoseek[cpu]'"
            ) from error
        try:
            before, behind = core.read_model(self._file), core.read_model(self._file)
            means = _pooling(before)
            if not means:
                raise self._other_pooling()
            self._kept = len(before.outputs)
            before.add_outputs([mean.input_value(0) for mean in means])
            head = graph_behind(behind, _pooling(behind), folder.image.output)
            if head is None:
                raise self._other_pooling()
            self._before = core.compile_model(before, "CPU", _F32)
            self._head = core.compile_model(head, "CPU", _F32)
        except RuntimeError as error:
            raise self._broken(error) from error

    def tokens(self, pixels: Pixels) -> Vectors:
        """(3, size, size) uint8 -> (grid, grid, dim) float32 unit vectors, rows from the top."""
        wanted = self._spec.preprocessing
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (wanted.mean, wanted.std))
        try:
            request = self._before.create_infer_request()
            request.infer({self._input: ((pixels.astype(np.float32) / 255 - mean) / std)[None]})
            count = len(self._before.outputs) - self._kept
            maps = [_rows(request.get_output_tensor(self._kept + at).data) for at in range(count)]
            behind = self._head.create_infer_request()
            behind.infer([row.reshape(len(row), *shape) for row, shape in zip(maps, self._shapes(), strict=True)])
            found = np.array(behind.get_output_tensor(0).data, np.float32)
        except RuntimeError as error:
            raise self._broken(error) from error
        grid = math.isqrt(len(found))
        return unit(found).reshape(grid, grid, -1)

    def _shapes(self) -> list[tuple[int, ...]]:
        """The inputs of the head, without their first axis: a mean may keep the axes that it reduces."""
        return [tuple(int(size.get_length()) for size in each.partial_shape[1:]) for each in self._head.inputs]

    def _other_pooling(self) -> SettingsError:
        return SettingsError(f"{self._name} does not pool by a mean over positions", "use --heat occlusion")

    def _broken(self, error: Exception) -> WeightsUnavailable:
        return WeightsUnavailable(
            f"{self._file.name} cannot be used: {str(error)[:300]}", "fetch or export the model again"
        )


def _pooling(model: Any) -> list[Any]:
    """The means over all positions of a square grid: of (n, c, h, w) over the last two axes, of (n, t, c) over t.

    If there are several grids (squeeze-and-excitation pools inside the body), the one that is pooled last.
    """
    found: list[tuple[int, Any]] = []
    for op in model.get_ordered_ops():
        if op.get_type_name() != "ReduceMean" or op.input_value(1).get_node().get_type_name() != "Constant":
            continue
        shape = op.input_value(0).get_partial_shape()
        axes = sorted(int(axis) % len(shape) for axis in np.ravel(op.input_value(1).get_node().data))
        over = [shape[axis] for axis in axes]
        if (len(shape), axes) not in ((4, [2, 3]), (3, [1])) or any(size.is_dynamic for size in over):
            continue
        positions = math.prod(size.get_length() for size in over)
        if math.isqrt(positions) ** 2 == positions > 1:
            found.append((positions, op))
    return [op for positions, op in found if positions == found[-1][0]]


def _rows(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """(1, c, h, w) or (1, t, c) to (positions, c)."""
    first = features[0]
    rows = first.reshape(len(first), -1).T if first.ndim == 3 else first
    return np.ascontiguousarray(rows, np.float32)


def dense_map(encoder: OnnxEncoder, pixels: Pixels, target: Vectors, text: str, others: Vectors) -> HeatMap:
    """How much better a text fits each place than other words do.

    A grid of seven positions hardly locates small things, so the nine overlapping quarters of the picture
    are processed too, each enlarged to the full size, and the maps are combined.

    Args:
        target: (dim,) unit vector of the text.
        others: (n, dim) unit vectors of other words.

    Raises:
        SettingsError, WeightsUnavailable, RuntimeUnavailable: see :class:`DenseTower`.
    """
    tower = DenseTower(encoder)
    direction = target - others.mean(axis=0)
    whole = tower.tokens(pixels) @ direction
    grid = len(whole)
    total = np.kron(whole, np.ones((CELLS, CELLS)))
    count = np.ones_like(total)
    side = pixels.shape[-1]
    for row in range(3):
        for column in range(3):
            top, left = row * side // 4, column * side // 4
            near = tower.tokens(_enlarged(pixels[:, top : top + side // 2, left : left + side // 2], side)) @ direction
            at = (slice(row * grid, row * grid + 2 * grid), slice(column * grid, column * grid + 2 * grid))
            total[at] += np.kron(near, np.ones((2, 2)))
            count[at] += 1
    return HeatMap(
        method="dense",
        values=(total / count).astype(np.float64),
        meaning=f'how much nearer "{text}" is to each place than {len(others)} everyday words are on average',
        limits="the model was trained to answer for whole pictures; a place also holds what lies around it, and only "
        "differences within one map mean something",
        source="Zhou et al. 2022, Extract Free Dense Labels from CLIP (MaskCLIP), section 3.2",
        score=float(encoder.encode_images(pixels[None])[0] @ target),
        text=text,
    )


def _enlarged(pixels: Pixels, side: int) -> Pixels:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    enlarged = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(enlarged.transpose(2, 0, 1))


def attentions(encoder: OnnxEncoder, pixels: Pixels) -> Attentions:
    """(heads, t, t) of every block, first to last, in float32; then (heads, 1, t) of an attention pooling.

    Raises:
        SettingsError: the graph has no softmax over tokens.
        WeightsUnavailable, RuntimeUnavailable: the graph or the engine cannot be used.
    """
    folder, wanted = encoder.folder, encoder.spec.preprocessing
    verify_encoder_folder(folder, without_text=True)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (wanted.mean, wanted.std))
    prepared = ((pixels.astype(np.float32) / 255 - mean) / std)[None]
    try:
        core = shared_core()
    except ImportError as error:
        raise RuntimeUnavailable(
            f"{encoder.spec.name} needs the openvino library", "pip install 'photoseek[cpu]'"
        ) from error
    try:
        model = core.read_model(folder.file(folder.image.file))
        found = [op.output(0) for op in model.get_ordered_ops() if op.get_type_name() == "Softmax"]
        if not found:
            raise SettingsError(f"{encoder.spec.name} does not show its attention", "use --heat occlusion")
        kept = len(model.outputs)
        model.add_outputs(found)
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
        request = compiled.create_infer_request()
        request.infer({folder.image.input: prepared})
        made = [request.get_output_tensor(kept + n).data for n in range(len(found))]
    except RuntimeError as error:
        raise WeightsUnavailable(
            f"{folder.image.file} cannot be used: {str(error)[:300]}", "fetch or export the model again"
        ) from error
    return [np.array(each[0] if each.ndim == 4 else each, np.float32) for each in made]

"""The attention of a model in ONNX form: its softmaxes are made outputs of the graph, so no torch is needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.base import Pixels
from retrieval.encoders.files.description import verify_encoder_folder
from retrieval.encoders.onnx.encoder import OnnxEncoder, shared_core
from retrieval.errors import RuntimeUnavailable, SettingsError, WeightsUnavailable

Attentions = list[NDArray[np.float32]]


def attentions(encoder: OnnxEncoder, pixels: Pixels) -> Attentions:
    """(heads, t, t) of every block, first to last, in float32; behind them (heads, 1, t) of an attention pooling.

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

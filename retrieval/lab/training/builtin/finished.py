"""A finished model as towers on torch: the starting point of the next version if the checkpoints are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from retrieval.errors import SettingsError
from retrieval.lab.training.hybrid import HybridConfig, HybridTower
from retrieval.lab.training.lite import LiteBody
from retrieval.lab.training.towers import TextTower, TextTowerConfig

_PARTS = {
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attention.out": "attn.out_proj",
    "perceptron.0": "mlp.c_fc",
    "perceptron.2": "mlp.c_proj",
}


def text_state(file: Path, layers: int) -> dict[str, Tensor]:
    """The tensors of a ``text.safetensors`` under the names of :class:`.TextTower`, float32; without the projection."""
    old = load_file(file)
    state: dict[str, Tensor] = {
        "tokens.weight": old["token_embedding.weight"],
        "positions": old["positional_embedding"],
        "norm.weight": old["ln_final.weight"],
        "norm.bias": old["ln_final.bias"],
    }
    for layer in range(layers):
        for kind in ("weight", "bias"):
            prefix = f"transformer.resblocks.{layer}."
            for mine, theirs in _PARTS.items():
                state[f"blocks.{layer}.{mine}.{kind}"] = old[f"{prefix}{theirs}.{kind}"]
            state[f"blocks.{layer}.attention.query_key_value.{kind}"] = old[f"{prefix}attn.in_proj_{kind}"]
    return {key: value.float() for key, value in state.items()}


def text_tower(file: Path) -> TextTower:
    """The tower of a ``text.safetensors`` written by :func:`..export.export_towers`."""
    stored = load_file(file)
    projection = stored["text_projection.weight"].float()
    vocabulary, context = len(stored["token_embedding.weight"]), len(stored["positional_embedding"])
    tower = TextTower(TextTowerConfig(vocabulary=vocabulary, context=context, dim=len(projection)))
    tower.load_state_dict({**text_state(file, tower.config.layers), "project.weight": projection})
    return tower.eval()


def image_tower(file: Path, config: HybridConfig, body: LiteBody) -> HybridTower:
    """The tower of an ``image.onnx`` written by :func:`..export.export_towers`, with its body as published.

    If ``config`` has fewer own dimensions, only the first are used; tensors missing in the file keep their new values.

    Raises:
        SettingsError: the file is not of such a tower.
    """
    import onnx

    graph = onnx.load(str(file)).graph
    stored = {
        each.name.removesuffix("_f16"): torch.from_numpy(onnx.numpy_helper.to_array(each).astype(np.float32))
        for each in graph.initializer
    }
    tower = HybridTower(config, body)
    mine: dict[str, Any] = {name: value for name, value in tower.named_parameters() if not name.startswith("body.")}
    # The exporter transposes the matrices of linear layers and drops their names; they are in the tower's order.
    nameless = [
        name
        for node in graph.node
        if node.op_type == "MatMul"
        for name in node.input
        if name in stored and name not in mine
    ]
    found = {name: stored[name] for name in mine if name in stored}
    linear = [name for name in mine if name.endswith("weight") and mine[name].ndim == 2 and name not in stored]
    if len(linear) != len(nameless):
        raise SettingsError(f"{file} is no built-in image tower", "give the folder of a model that export has written")
    found |= {name: stored[theirs].T for name, theirs in zip(linear, nameless, strict=True)}
    for name in ("own.weight", "own.bias"):
        found[name] = found[name][: config.own]
    with torch.no_grad():
        for name, value in found.items():
            mine[name].copy_(value)
    return tower.eval()

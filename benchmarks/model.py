"""A model folder that costs what ViT-B-32-256 costs, with random weights: speed does not ask what they mean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.vit import VitSize, Weights, block_weights, norm_weights, normal, vit_weights, write_vit
from retrieval.encoders.base import Preprocessing
from retrieval.encoders.description import ImageTower, TextTower, TokenizerSpec, write_encoder_description
from retrieval.encoders.load import BUILTIN_FOLDER

NAME = "random-ViT-B-32-256"
_VOCABULARY = 49408
_CONTEXT = 77
_TEXT_WIDTH, _TEXT_LAYERS, _TEXT_HEADS = 512, 12, 8


def write_random_model(folder: Path, size: VitSize | None = None, *, seed: int = 0) -> None:
    """Write ``encoder.json``, both towers and a tokenizer (the built-in model's merges) into an empty folder.

    About 600 MB: as many float32 numbers as the trained model has.
    """
    size = size or VitSize()
    rng = np.random.default_rng(seed)
    write_vit(folder / "image.onnx", size, vit_weights(rng, size))
    write_safetensors(folder / "text.safetensors", _text_weights(rng, size.dim))
    shutil.copyfile(BUILTIN_FOLDER / "merges.bin", folder / "merges.bin")
    text = TextTower(
        file="text.safetensors",
        kind="clip-weights",
        tokenizer=TokenizerSpec("clip-bpe", "merges.bin", start=_VOCABULARY - 2, end=_VOCABULARY - 1),
        context_length=_CONTEXT,
        heads=_TEXT_HEADS,
    )
    write_encoder_description(
        folder,
        name=NAME,
        family="clip",
        source="random weights",
        dim=size.dim,
        preprocessing=Preprocessing(size=size.image),
        image=ImageTower("image.onnx"),
        text=text,
        licence="CC0-1.0",
    )


def _text_weights(rng: np.random.Generator, dim: int) -> Weights:
    return {
        "token_embedding.weight": normal(rng, (_VOCABULARY, _TEXT_WIDTH), 0.02),
        "positional_embedding": normal(rng, (_CONTEXT, _TEXT_WIDTH), 0.01),
        "text_projection": normal(rng, (_TEXT_WIDTH, dim), _TEXT_WIDTH**-0.5),
        **norm_weights("ln_final", _TEXT_WIDTH),
        **block_weights(rng, "", _TEXT_LAYERS, _TEXT_WIDTH),
    }


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Write float32 tensors: uint64 length of a JSON header, the header, the data."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # data aligned to 8 bytes, as the format's own writer does
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, "<f4").tobytes())

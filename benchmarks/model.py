"""A model folder with the cost of ViT-B-32-256 and random weights, which do not affect the speed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.vit import VitSize, Weights, block_weights, norm_weights, normal, vit_weights, write_vit
from retrieval.encoders.base import Preprocessing
from retrieval.encoders.files.description import ImageTower, TextTower, TokenizerSpec, write_encoder_description
from retrieval.encoders.installed import BUILTIN_FOLDER

NAME = "random-ViT-B-32-256"


@dataclass(frozen=True)
class TextSize:
    """Sizes of a text tower; the defaults are ViT-B-32-256's. The vocabulary must contain the tokenizer's ids."""

    vocabulary: int = 49408
    context: int = 77
    width: int = 512
    layers: int = 12
    heads: int = 8


def write_random_model(folder: Path, image: VitSize | None = None, text: TextSize | None = None) -> None:
    """Write ``encoder.json``, both towers and a tokenizer (the built-in model's merges) into an empty folder.

    By default about 600 MB: as many float32 numbers as in the trained model.
    """
    image, text = image or VitSize(), text or TextSize()
    rng = np.random.default_rng(0)
    write_vit(folder / "image.onnx", image, vit_weights(rng, image))
    write_safetensors(folder / "text.safetensors", _text_weights(rng, text, image.dim))
    shutil.copyfile(BUILTIN_FOLDER / "merges.bin", folder / "merges.bin")
    tower = TextTower(
        file="text.safetensors",
        kind="clip-weights",
        tokenizer=TokenizerSpec("clip-bpe", "merges.bin", start=text.vocabulary - 2, end=text.vocabulary - 1),
        context_length=text.context,
        heads=text.heads,
    )
    write_encoder_description(
        folder,
        name=NAME,
        family="clip",
        source="random weights",
        dim=image.dim,
        preprocessing=Preprocessing(size=image.image),
        image=ImageTower("image.onnx"),
        text=tower,
        licence="CC0-1.0",
    )


def _text_weights(rng: np.random.Generator, size: TextSize, dim: int) -> Weights:
    return {
        "token_embedding.weight": normal(rng, (size.vocabulary, size.width), 0.02),
        "positional_embedding": normal(rng, (size.context, size.width), 0.01),
        "text_projection": normal(rng, (size.width, dim), size.width**-0.5),
        **norm_weights("ln_final", size.width),
        **block_weights(rng, size.layers, size.width),
    }


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Write float32 tensors: uint64 length of a JSON header, the header, the data."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # data aligned to 8 bytes, as by the format's own writer
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, "<f4").tobytes())

"""Writes small safetensors files for the tests, without the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = {"float32": "F32", "float16": "F16", "uint16": "BF16"}


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    header: dict[str, object] = {"__metadata__": {"made": "for a test"}}
    body = b""
    for name, tensor in tensors.items():
        raw = np.ascontiguousarray(tensor).tobytes()
        header[name] = {
            "dtype": TYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)  # as the library does it, so that tensors lie on their own alignment
    path.write_bytes(len(head).to_bytes(8, "little") + head + body)


def random_text_tower(
    seed: int, *, vocabulary: int = 40, context: int = 16, width: int = 16, layers: int = 2, dim: int = 8
) -> dict[str, NDArray[np.float32]]:
    """Random tensors under open_clip's names; large enough that every part of the tower shows in the output."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    tensors = {
        "token_embedding.weight": some(vocabulary, width),
        "positional_embedding": some(context, width),
        "ln_final.weight": 1 + some(width),
        "ln_final.bias": some(width),
        "text_projection": some(width, dim),
    }
    for n in range(layers):
        block = f"transformer.resblocks.{n}."
        for norm in ("ln_1", "ln_2"):
            tensors |= {f"{block}{norm}.weight": 1 + some(width), f"{block}{norm}.bias": some(width)}
        tensors |= {
            block + "attn.in_proj_weight": some(3 * width, width),
            block + "attn.in_proj_bias": some(3 * width),
            block + "attn.out_proj.weight": some(width, width),
            block + "attn.out_proj.bias": some(width),
            block + "mlp.c_fc.weight": some(4 * width, width),
            block + "mlp.c_fc.bias": some(4 * width),
            block + "mlp.c_proj.weight": some(width, 4 * width),
            block + "mlp.c_proj.bias": some(width),
        }
    return tensors

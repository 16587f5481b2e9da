"""Small timm models with random weights, scaled up so that mistakes show, as folders in timm's layout."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

VIT = {"embed_dim": 64, "depth": 2, "num_heads": 2}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
CLASSES = 7


def write_timm(
    folder: Path, architecture: str, size: int, *, seed: int = 0, normalisation: dict[str, Any] = HALF, **arguments: Any
) -> Path:
    """``config.json`` and ``model.safetensors`` as timm's ``push_to_hf_hub`` writes them, with a classifier."""
    from safetensors.torch import save_file

    record = {
        "input_size": [3, size, size],
        "crop_pct": 1.0,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "license": "mit",
        **normalisation,
    }
    config = {"architecture": architecture, "num_classes": CLASSES, "pretrained_cfg": record, "model_args": arguments}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    model = new_timm(architecture, size, seed, num_classes=CLASSES, **arguments)
    save_file({k: v.contiguous().clone() for k, v in model.state_dict().items()}, str(folder / "model.safetensors"))
    return folder


def new_timm(architecture: str, size: int, seed: int = 0, **arguments: Any) -> Any:
    """A random model whose matrices are three times larger than usual and whose vectors are not the usual 0 and 1."""
    import timm
    import torch

    torch.manual_seed(seed)
    if architecture.startswith("vit"):
        arguments["img_size"] = size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = timm.create_model(architecture, **arguments).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("_token", "pos_embed")):
                weight.normal_(0, 0.5)
            elif weight.ndim >= 2:
                weight.mul_(3)
            elif "gamma" in name:  # LayerScale starts at 1e-5 and would hide the blocks
                weight.normal_(0, 1)
            else:
                weight.add_(torch.randn_like(weight) * 0.2)
    return model


def to_transformers(state: dict[str, Any], layers: str = "layers", **names: str) -> dict[str, Any]:
    """A timm ViT's tensors under transformers' names; ``names`` replaces single parts of them."""
    parts = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "reg_token": "embeddings.register_tokens",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "norm1": "norm1",
        "norm2": "norm2",
        "attn.proj": "attention.o_proj",
        "ls1.gamma": "layer_scale1.lambda1",
        "ls2.gamma": "layer_scale2.lambda1",
        "gamma_1": "layer_scale1.lambda1",
        "gamma_2": "layer_scale2.lambda1",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
        "norm": "layernorm",
        **names,
    }
    new: dict[str, Any] = {}
    for key, value in state.items():
        block = re.match(r"blocks\.(\d+)\.", key)
        prefix, rest = (f"{layers}.{block[1]}.", key[block.end() :]) if block else ("", key)
        if rest.startswith("attn.qkv"):
            ends = [f"{prefix}{parts.get('attn', 'attention')}.{one}_proj.{rest.rpartition('.')[2]}" for one in "qkv"]
            new.update(zip(ends, value.chunk(3), strict=True))
        elif not rest.startswith("head."):
            part = max((p for p in parts if rest == p or rest.startswith(f"{p}.")), key=len)
            new[prefix + parts[part] + rest[len(part) :]] = value
    return new


def load_exactly(model: Any, state: dict[str, Any], *unused: str) -> Any:
    """Load every tensor of ``state`` and leave none of the model's random, but those named."""
    found = model.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    assert set(found.missing_keys) <= set(unused)
    return model.eval()

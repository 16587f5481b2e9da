"""The numpy text tower compared with open_clip's own, with random weights scaled up so that mistakes show."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.encoders.files.description import TextTower, TokenizerSpec
from retrieval.encoders.onnx.text_tower import NumpyTextTower
from tests.retrieval.encoders.weight_files import write_safetensors

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
transformer = pytest.importorskip("open_clip.transformer")

GELU, TANH, QUICK = torch.nn.GELU, partial(torch.nn.GELU, approximate="tanh"), transformer.QuickGELU
EPS6 = partial(transformer.LayerNorm, eps=1e-6)
SIGLIP = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True, "norm_layer": EPS6}
# Name, what open_clip is given, what our description says.
TOWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip": ({"act_layer": GELU}, {"activation": "gelu"}),
    "openai": ({"act_layer": QUICK}, {"activation": "quick_gelu"}),
    "mobileclip": ({"act_layer": GELU, "no_causal_mask": True}, {"causal": False}),
    "siglip2": (
        {"act_layer": TANH, **SIGLIP},
        {"activation": "gelu_tanh", "causal": False, "pool": "last", "eps": 1e-6},
    ),
}  # fmt: skip


def unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.fixture(params=TOWERS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, NumpyTextTower, int | None]:
    theirs, ours = TOWERS[request.param]
    torch.manual_seed(7)
    model = transformer.TextTransformer(
        context_length=24, vocab_size=300, width=128, heads=4, layers=4, output_dim=64, **theirs
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    write_safetensors(tmp_path / "t.safetensors", tensors)
    pad_to = 24 if not ours.get("causal", True) else None
    tokenizer = TokenizerSpec("clip-bpe", "m", start=298, end=299, pad_to=pad_to)
    text = TextTower("t.safetensors", "clip-weights", tokenizer, 24, heads=4, **ours)
    return model, NumpyTextTower(tmp_path / "t.safetensors", text), pad_to


def test_features_equal_open_clips(pair: tuple[Any, NumpyTextTower, int | None]) -> None:
    model, ours, pad_to = pair
    rng = np.random.default_rng(8)
    rows = [[298, *rng.integers(0, 298, n % 23).tolist(), 299] for n in range(60)]
    padded = torch.tensor([row + [0] * (24 - len(row)) for row in rows])
    with torch.no_grad():
        wanted = model(padded).numpy()
    found = ours.features(rows if pad_to is None else padded.tolist())
    assert np.abs(unit(found) - unit(wanted)).max() <= 1e-5
    # Random weights can hide a mistake by giving every text the same embedding: these do not.
    similarity = unit(wanted) @ unit(wanted).T
    assert np.median(similarity[~np.eye(60, dtype=bool)]) < 0.9

"""The built-in model's image tower: its memory, its blocks and its own dimensions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from retrieval.encoders.base import Preprocessing  # noqa: E402
from retrieval.encoders.files.description import read_encoder_folder  # noqa: E402
from retrieval.encoders.installed import BUILTIN_FOLDER  # noqa: E402
from retrieval.encoders.onnx.encoder import OnnxEncoder  # noqa: E402
from retrieval.errors import SettingsError  # noqa: E402
from retrieval.lab.training.builtin.finished import image_tower, text_tower  # noqa: E402
from retrieval.lab.training.builtin.text_stage import folded, tower_for  # noqa: E402
from retrieval.lab.training.export import export_towers  # noqa: E402
from retrieval.lab.training.hybrid import COLOURS, HybridConfig, HybridTower, cells  # noqa: E402
from retrieval.lab.training.lite import MEAN, STD, LiteBody  # noqa: E402

pytestmark = pytest.mark.torch

CONFIG = HybridConfig(width=40, layers=1, heads=2, words=32, own=16, size=64)


@pytest.fixture(scope="module")
def tower() -> HybridTower:
    torch.manual_seed(0)
    made = HybridTower(CONFIG, LiteBody())
    torch.nn.init.normal_(made.kinds)
    return made.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_a_fresh_tower_says_what_the_body_believes(tower: HybridTower, images: torch.Tensor) -> None:
    out = tower(images)
    features = tower.body.head(tower.body(images)).mean((2, 3))
    belief = tower.body.classifier(features).softmax(-1)
    wanted = F.normalize(sum(belief[:, at, None] * tower.kinds[at] for at in range(1000)), dim=-1)  # ConSE, equation 4
    words, colours, own = out.split((32, len(COLOURS), 16), dim=-1)
    assert not colours.any()  # nothing is known of them yet
    assert torch.allclose(F.normalize(words, dim=-1), wanted, atol=1e-5)
    assert torch.allclose(words.norm(dim=-1) ** 2, torch.full((3,), 0.5), atol=1e-5)
    assert torch.allclose(own.norm(dim=-1) ** 2, torch.full((3,), 0.5), atol=1e-5)


@torch.inference_mode()
def test_behind_the_body_the_mean_features_say_the_same(tower: HybridTower, images: torch.Tensor) -> None:
    grid = tower.body(images)
    features = tower.body.head(grid)
    torch.nn.init.normal_(tower.learned.weight)
    whole = tower.behind(grid, cells(images), features)
    assert torch.allclose(whole, tower(images), atol=1e-5)
    assert torch.allclose(whole, tower.behind(grid, cells(images), features.mean((2, 3), keepdim=True)), atol=1e-5)
    torch.nn.init.zeros_(tower.learned.weight)


@torch.inference_mode()
def test_tokens_see_the_colour_of_their_own_patch(tower: HybridTower, images: torch.Tensor) -> None:
    grid, colours = tower.body(images), cells(images)
    patch = F.conv2d(colours, tower.patches.weight, stride=4)
    for row, column in ((0, 0), (1, 1)):
        mean = images[:, :, row * 32 : row * 32 + 32, column * 32 : column * 32 + 32]
        mean = F.avg_pool2d(mean, 8).flatten(1)
        assert torch.allclose(patch[:, :, row, column], mean @ tower.patches.weight.flatten(1).T, atol=1e-5)
    assert not torch.allclose(tower.tokens(grid, colours), tower.tokens(grid, colours.flip(0)), atol=1e-3)


@torch.inference_mode()
def test_at_another_size_positions_are_interpolated(tower: HybridTower, images: torch.Tensor) -> None:
    torch.nn.init.normal_(tower.positions)
    same = tower.at_size(64)
    assert torch.equal(same.positions, tower.positions) and torch.allclose(same(images), tower(images), atol=1e-6)
    larger = tower.at_size(96)
    assert larger.config.grid == 3 and larger.positions.shape == (1, 9, 40)
    assert torch.allclose(larger.positions.mean(1), tower.positions.mean(1), atol=1e-5)
    assert larger(torch.randn(2, 3, 96, 96)).shape == (2, 32 + len(COLOURS) + 16)
    torch.nn.init.zeros_(tower.positions)


def test_written_as_onnx_it_is_the_same_tower_and_texts_are_zero_in_its_own_dimensions(
    tower: HybridTower, tmp_path: Path
) -> None:
    merges = BUILTIN_FOLDER / "merges.bin"
    torch.manual_seed(2)
    projection = torch.cat([torch.randn(32, 384), torch.zeros(len(COLOURS) + 16, 384)])
    parity = export_towers(
        tower,
        folded(tower_for(merges), projection),
        tmp_path,
        merges=merges,
        preprocessing=Preprocessing(64, mean=MEAN, std=STD),
        name="made",
        licence="none",
        scale=20.0,
    )
    assert max(parity.image, parity.text) < parity.gate and parity.image_rounded < parity.rounding_gate
    encoder = OnnxEncoder(read_encoder_folder(tmp_path))
    texts = encoder.encode_texts(["a cat", "two red cars"])
    assert encoder.spec.dim == CONFIG.dim and not texts[:, 32:].any()
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)


@torch.inference_mode()
def test_a_finished_model_is_read_back(tower: HybridTower, images: torch.Tensor, tmp_path: Path) -> None:
    merges = BUILTIN_FOLDER / "merges.bin"
    for seed, block in enumerate((tower.learned.weight, tower.own.weight, tower.painter.usual)):
        torch.nn.init.normal_(block, generator=torch.Generator().manual_seed(seed))
    torch.nn.init.constant_(tower.painter.scale, 0.05)
    text = tower_for(merges)
    wanted = Preprocessing(64, mean=MEAN, std=STD)
    said = folded(text, torch.randn(CONFIG.dim, 384))
    export_towers(tower, said, tmp_path, merges=merges, preprocessing=wanted, name="made", licence="none", scale=20.0)
    again = image_tower(tmp_path / "image.onnx", CONFIG, tower.body)
    assert torch.allclose(again(images), tower(images), atol=5e-3)  # in float16 on disk
    fewer = image_tower(tmp_path / "image.onnx", replace(CONFIG, own=9), tower.body)
    assert torch.equal(fewer.own.weight, again.own.weight[:9])
    rows = torch.tensor([[5, 70, 16385]])
    assert torch.allclose(text_tower(tmp_path / "text.safetensors")(rows), said(rows), atol=2e-2)
    for block in (tower.learned.weight, tower.painter.usual, tower.painter.scale):
        torch.nn.init.zeros_(block)


def test_another_models_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="no built-in image tower"):
        image_tower(BUILTIN_FOLDER / "image.onnx", replace(CONFIG, layers=2), LiteBody())

"""Our own towers, exported and run by the engines that users run, compared with torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("openvino")

import torch

from retrieval.encoders.base import Preprocessing
from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.files.merges import MergeTable
from retrieval.encoders.files.weights_file import WeightsFile
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.registry import load_encoder
from retrieval.errors import EncoderError
from retrieval.lab.training.export import PARITY_GATE, ROUNDING_GATE, at_size, export_towers, torch_images
from retrieval.lab.training.towers import ImageTower, ImageTowerConfig, TextTower, TextTowerConfig

pytestmark = pytest.mark.torch

MERGES = BUILTIN_FOLDER / "merges.bin"
VOCABULARY = 512 + len(MergeTable(MERGES)) + 2
LINEAR = ImageTowerConfig(size=32, patch=8, width=48, layers=2, heads=3, dim=24, pooling="cls")
STEM = ImageTowerConfig(size=32, patch=8, width=48, layers=1, heads=3, dim=24, stem=(8, 16, 32), blocks=(0, 1, 0))
PREPROCESSING = Preprocessing(size=32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
TEXTS = ["a red bird", "two dogs, and a very long story about them " * 8, "", "naïve café"]


def towers(config: ImageTowerConfig, *, seed: int = 0) -> tuple[ImageTower, TextTower]:
    """Random towers whose weights are scaled up, so that a wrong detail shows; norms and biases are not at rest."""
    torch.manual_seed(seed)
    image, text = ImageTower(config), TextTower(TextTowerConfig(VOCABULARY, context=16, width=32, heads=2, dim=24))
    with torch.no_grad():
        for tower in (image, text):
            for name, weight in tower.named_parameters():
                if weight.ndim >= 2 and "stem" not in name:
                    weight.mul_(3)
                elif weight.ndim < 2:
                    weight.add_(0.2 * torch.randn_like(weight))
        for module in image.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return image.eval(), text.eval()


def unit(x: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(x.float(), dim=-1).numpy()


@pytest.mark.parametrize("config", [LINEAR, STEM], ids=["linear", "stem"])
def test_exported_encoder_equals_torch(tmp_path: Path, config: ImageTowerConfig) -> None:
    image, text = towers(config)
    before = {k: v.clone() for k, v in image.state_dict().items()}
    parity = export_towers(
        image, text, tmp_path / "mine", merges=MERGES, preprocessing=PREPROCESSING,
        name="mine", licence="CC0-1.0", scale=20.0, bias=-3.0, templates=("{}!",),
    )  # fmt: skip
    assert max(parity.image, parity.text) < PARITY_GATE
    assert 0 < max(parity.image_rounded, parity.text_rounded) < ROUNDING_GATE
    assert all(torch.equal(before[k], v) for k, v in image.state_dict().items())

    encoder = load_encoder(str(tmp_path / "mine"), precision="fp32")
    assert (encoder.spec.logit_scale, encoder.spec.logit_bias) == (20.0, -3.0)
    assert (encoder.spec.name, encoder.spec.licence, encoder.spec.prompt_templates) == ("mine", "CC0-1.0", ("{}!",))
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 32, 32), np.uint8)
    difference = np.abs(encoder.encode_images(pixels) - torch_images(image, pixels, PREPROCESSING)).max()
    assert difference < ROUNDING_GATE
    # Each text by itself, through the tower's own padding rule: what follows the end token plays no part.
    for words in TEXTS:
        ids = encoder._tokenizer.encode(words)  # type: ignore[attr-defined]
        assert len(ids) <= 16 and ids[-1] == VOCABULARY - 1
        padded = torch.tensor([ids + [0] * (16 - len(ids))])
        with torch.no_grad():
            assert np.abs(encoder.encode_texts([words]) - unit(text(padded))).max() < ROUNDING_GATE
    assert encoder.is_cut(TEXTS[1])


def test_matrices_are_stored_in_half(tmp_path: Path) -> None:
    image, text = towers(STEM)
    export_towers(image, text, tmp_path, merges=MERGES, preprocessing=PREPROCESSING, name="m", licence="x", scale=1.0)
    weights = WeightsFile(tmp_path / "text.safetensors")
    assert {weights.raw(name).dtype for name in weights if weights.raw(name).ndim == 2} == {np.dtype("<f2")}
    assert {weights.raw(name).dtype for name in weights if weights.raw(name).ndim == 1} == {np.dtype("<f4")}
    numbers = sum(p.numel() for p in image.parameters())
    assert (tmp_path / "image.onnx").stat().st_size < 3 * numbers + 40_000


def test_export_at_another_size_interpolates_positions(tmp_path: Path) -> None:
    image, text = towers(LINEAR)
    larger = Preprocessing(size=48, mean=PREPROCESSING.mean, std=PREPROCESSING.std)
    export_towers(image, text, tmp_path, merges=MERGES, preprocessing=larger, name="m", licence="x", scale=1.0)
    pixels = np.random.default_rng(2).integers(0, 256, (3, 3, 48, 48), np.uint8)
    exported = load_encoder(str(tmp_path), precision="fp32").encode_images(pixels)
    assert np.abs(exported - torch_images(image, pixels, larger)).max() < ROUNDING_GATE
    assert at_size(image, 48).positions.shape[1] == 37


def test_a_foreign_merge_table_is_refused(tmp_path: Path) -> None:
    image, _ = towers(LINEAR)
    text = TextTower(TextTowerConfig(vocabulary=999, context=16, width=32, heads=2, dim=24))
    with pytest.raises(EncoderError, match="999 tokens"):
        export_towers(
            image, text, tmp_path, merges=MERGES, preprocessing=PREPROCESSING, name="m", licence="x", scale=1.0
        )


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_broken_weights_are_not_exported(tmp_path: Path, value: float) -> None:
    image, text = towers(LINEAR)
    with torch.no_grad():
        text.blocks[0].perceptron[0].weight[0, 0] = value
    with pytest.raises(EncoderError, match=r"perceptron\.0\.weight"):
        export_towers(
            image, text, tmp_path / "m", merges=MERGES, preprocessing=PREPROCESSING, name="m", licence="x", scale=1.0
        )


def test_the_folder_is_whole(tmp_path: Path) -> None:
    image, text = towers(LINEAR)
    export_towers(image, text, tmp_path, merges=MERGES, preprocessing=PREPROCESSING, name="m", licence="x", scale=1.0)
    folder = read_encoder_folder(tmp_path)
    assert set(folder.files) == {"image.onnx", "text.safetensors", "merges.bin"}

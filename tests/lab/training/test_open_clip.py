"""Training an open_clip model: the last blocks or all of it; the result can be used like any other model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("onnx")
pytest.importorskip("openvino")

import torch

from retrieval.encoders.registry import load_encoder
from retrieval.errors import EncoderError, SettingsError
from retrieval.lab.experiments.drawn import draw_folders
from retrieval.lab.training.augment import Variation
from retrieval.lab.training.pairs import Pairs, read_pairs
from retrieval.lab.training.run import Plan, train
from retrieval.lab.training.start import Mode, start_model
from retrieval.lab.training.trainable import freeze
from retrieval.lab.training.trainer import Settings
from tests.retrieval.encoders.tiny_clip import write_model

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]

SETTINGS = Settings(epochs=1, batch=16, rate=1e-3, variation=Variation(area=0.9))


@pytest.fixture
def own_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Digests are remembered in a folder of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PHOTOSEEK_MODELS", str(tmp_path / "models"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return read_pairs(draw_folders(tmp_path_factory.mktemp("drawn") / "pictures", 2))


@pytest.mark.parametrize(("kind", "mode"), [("clip", Mode(1)), ("quickgelu", Mode())])
def test_a_trained_model_is_exported_and_goes_on(tmp_path: Path, pairs: Pairs, kind: str, mode: Mode) -> None:
    source = write_model(tmp_path / "source", kind)
    out = tmp_path / "mine"
    report, _ = train(pairs, Plan(f"local-dir:{source}", mode, SETTINGS, out, share=0.2))
    body = json.loads((out / "training.json").read_text())
    assert body["parity"]["image"] < 1e-4 and body["parity"]["text"] < 1e-4
    assert sorted(p.name for p in out.iterdir()) == [
        "checkpoint", "encoder.json", "image.onnx", "merges.bin", "text.safetensors", "torch", "training.json",
    ]  # fmt: skip
    trained = load_encoder(str(out), precision="fp32")
    assert trained.spec.name == "mine"
    original = start_model(f"local-dir:{source}")
    again = start_model(str(out))  # from the torch form beside it
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    assert np.abs(again.encode_images(pixels) - trained.encode_images(pixels)).max() < 1e-4
    assert np.abs(again.encode_images(pixels) - original.encode_images(pixels)).max() > 1e-3
    before, after = original.module.state_dict(), again.module.state_dict()
    untouched = [name for name in before if torch.equal(before[name], after[name])]
    if mode.last_blocks == 1:
        assert "visual.conv1.weight" in untouched and "token_embedding.weight" in untouched
        assert any(name.startswith("visual.transformer.resblocks.0.") for name in untouched)
        assert not any(name.startswith("visual.transformer.resblocks.1.mlp") for name in untouched)
    else:
        assert not [name for name in untouched if name.endswith("weight") and "token_embedding" not in name]
    assert [row[0] for row in report.tables[0].rows][-1] == "zero-shot top-1"


def test_the_sigmoid_loss_brings_its_bias_along(tmp_path: Path, pairs: Pairs) -> None:
    source = write_model(tmp_path / "source", "clip")
    settings = Settings(loss="siglip", epochs=1, batch=16, rate=1e-3)
    train(pairs, Plan(f"local-dir:{source}", Mode(0), settings, tmp_path / "mine", share=0.2))
    spec = load_encoder(str(tmp_path / "mine")).spec
    assert spec.logit_bias == pytest.approx(-10, abs=0.5) and spec.logit_scale == pytest.approx(10, rel=0.1)


def test_more_blocks_than_there_are(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source", "clip")
    with pytest.raises(SettingsError, match="no 3 blocks"):
        freeze(start_model(f"local-dir:{source}"), 3)


def test_a_pickle_is_never_loaded(tmp_path: Path, pairs: Pairs) -> None:
    """A folder whose weights are a pickle that would write a file."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    source = write_model(tmp_path / "source", "clip")
    (source / "open_clip_model.safetensors").unlink()
    torch.save({"state_dict": Evil()}, source / "open_clip_pytorch_model.bin")
    with pytest.raises(EncoderError, match="pickle"):
        train(pairs, Plan(f"local-dir:{source}", Mode(), SETTINGS, tmp_path / "mine"))
    assert not (tmp_path / "ran").exists()

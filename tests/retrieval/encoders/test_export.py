"""An exported folder, run by the engine that users run, compared with open_clip itself."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("onnx")
pytest.importorskip("openvino")

import torch

from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.install import export as export_module
from retrieval.encoders.install.export import PARITY_GATE, export_name, export_onnx
from retrieval.encoders.names.open_clip_weights import find_source
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.onnx.graph_ends import read_graph_ends
from retrieval.encoders.torch.clip import ClipEncoder
from retrieval.encoders.torch.graph import write_graph
from retrieval.errors import EncoderError, WeightsUnavailable
from tests.retrieval.encoders.tiny_clip import KINDS, TEXTS, reference, write_model

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]


def encoder_of(folder: Path) -> ClipEncoder:
    return ClipEncoder(find_source(f"local-dir:{folder}"), device="cpu")


def unit(x: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(x.float(), dim=-1).numpy()


def check_against_open_clip(source: Path, exported: Path, gate: float = PARITY_GATE) -> None:
    model, _, tokenizer = reference(source)
    candidate = OnnxEncoder(read_encoder_folder(exported), precision="fp32", threads=1)
    settings = candidate.spec.preprocessing
    pixels = np.random.default_rng(5).integers(0, 256, (9, 3, settings.size, settings.size), np.uint8)
    mean, std = (np.array(v, np.float64).reshape(3, 1, 1) for v in (settings.mean, settings.std))
    prepared = torch.from_numpy(((pixels / 255 - mean) / std).astype(np.float32))
    with torch.no_grad():
        images, texts = unit(model.encode_image(prepared)), unit(model.encode_text(tokenizer(TEXTS)))
    assert np.abs(candidate.encode_images(pixels) - images).max() < PARITY_GATE
    assert np.abs(candidate.encode_texts(TEXTS) - texts).max() < gate
    assert np.abs(texts[0] - texts[1]).max() > 1e-2, "the weights tell texts apart"


@pytest.mark.parametrize("kind", KINDS)
def test_export_equals_open_clip(tmp_path: Path, kind: str) -> None:
    source = write_model(tmp_path / "source", kind)
    encoder = encoder_of(source)
    report = export_onnx(encoder, tmp_path / "models")
    check_against_open_clip(source, report.folder)
    assert report.image_difference < PARITY_GATE
    assert report.text_difference < PARITY_GATE
    assert sum(report.bytes.values()) == sum(
        p.stat().st_size for p in report.folder.iterdir() if p.name != "encoder.json"
    ), "every file is accounted for"
    written = read_encoder_folder(report.folder).spec
    assert not encoder.model.training, "torch's exporter switches it"
    assert written == replace(encoder.spec, name="source"), (
        "same row, same fingerprint: a gallery built with one opens with the other"
    )


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_text_tower_as_graph(tmp_path: Path, kind: str) -> None:
    source = write_model(tmp_path / "source", kind)
    report = export_onnx(encoder_of(source), tmp_path / "models", text_onnx=True)
    assert read_encoder_folder(report.folder).text.kind == "onnx"
    check_against_open_clip(source, report.folder)


def test_float16_text_weights_are_half_as_large(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source", "clip")
    full = export_onnx(encoder_of(source), tmp_path / "full")
    half = export_onnx(encoder_of(source), tmp_path / "half", weight_type="float16")
    assert half.bytes["text.safetensors"] < 0.51 * full.bytes["text.safetensors"]
    check_against_open_clip(source, half.folder, gate=2e-3)


def test_towers_that_numpy_cannot_run_become_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LayerScale in the text blocks: the numpy tower would leave it out."""
    config, preprocess = KINDS["clip"]
    scaled = {**config, "text_cfg": {**config["text_cfg"], "ls_init_value": 0.5}}
    monkeypatch.setitem(KINDS, "scaled", (scaled, preprocess))
    source = write_model(tmp_path / "source", "scaled")
    report = export_onnx(encoder_of(source), tmp_path / "models")
    assert read_encoder_folder(report.folder).text.kind == "onnx"
    check_against_open_clip(source, report.folder)


def test_text_tower_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A multilingual model: the text tower's configuration comes from the hub cache, the tower becomes a graph."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    repository = tmp_path / "hf" / "hub" / "models--nobody--tiny-roberta"
    snapshot = repository / "snapshots" / "77"
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    ends = {"vocab_size": 400, "max_position_embeddings": 100, "pad_token_id": 0}
    transformers.XLMRobertaConfig(**sizes, **ends).save_pretrained(snapshot)
    config, preprocess = KINDS["clip"]
    text = {
        "hf_model_name": str(snapshot),
        "hf_tokenizer_name": "nobody/tiny-roberta",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
        "hf_model_pretrained": False,
    }
    monkeypatch.setitem(KINDS, "roberta", ({**config, "text_cfg": text, "custom_text": True}, preprocess))
    source = write_model(tmp_path / "source", "roberta")
    by_name = {**config, "text_cfg": {**text, "hf_model_name": "nobody/tiny-roberta"}}
    ours = Path(shutil.copytree(source, tmp_path / "ours"))
    (ours / "open_clip_config.json").write_text(json.dumps({"model_cfg": by_name, "preprocess_cfg": preprocess}))
    with pytest.raises(WeightsUnavailable, match="nobody/tiny-roberta"):
        encoder_of(ours).encode_texts(["a"])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("77")
    report = export_onnx(encoder_of(ours), tmp_path / "models")
    assert read_encoder_folder(report.folder).text.kind == "onnx"
    check_against_open_clip(source, report.folder)


def test_names_of_exports(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "w.safetensors").touch()
    assert export_name("ViT-B-32/laion2b_s34b_b79k") == "ViT-B-32/laion2b_s34b_b79k"
    assert export_name(f"local-dir:{tmp_path}/holiday/") == "holiday"
    assert export_name(str(tmp_path / "holiday" / "w.safetensors")) == "holiday"
    assert export_name("hf-hub:someone/model") == "someone/model"


def test_export_that_disagrees_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The description claims the other activation, the mistake that cosines hide."""
    source = write_model(tmp_path / "source", "clip")
    monkeypatch.setattr("retrieval.encoders.install.export_text._activation", lambda text: "quick_gelu")
    with pytest.raises(EncoderError, match="disagrees with torch"):
        export_onnx(encoder_of(source), tmp_path / "models")
    assert [p.name for p in (tmp_path / "models").iterdir() if not p.name.startswith(".lock-")] == []


def test_broken_export_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(write_model(tmp_path / "source", "clip"))
    first = export_onnx(encoder, tmp_path / "models")
    before = (first.folder / "encoder.json").read_bytes()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "text_tower", full_disk)
    with pytest.raises(OSError, match="No space"):
        export_onnx(encoder, tmp_path / "models")
    assert (first.folder / "encoder.json").read_bytes() == before
    assert not list((tmp_path / "models").glob(".staging-*"))
    monkeypatch.undo()
    again = export_onnx(encoder, tmp_path / "models")
    assert again.folder == first.folder
    assert not list((tmp_path / "models").glob(".replaced-*"))


def test_torch_settings_are_as_before(tmp_path: Path) -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(EncoderError, match="cannot be written as ONNX"):
        write_graph(NoForm(), torch.zeros(2, 3), tmp_path / "x.onnx", input_name="x", dynamic={0: "n"})
    assert torch.backends.mha.get_fastpath_enabled() == before


class NoForm(torch.nn.Module):
    """An operation that the exporter has no form for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x.T @ x).real


def test_graph_ends_are_read_without_an_engine(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.sum((2, 3))

    path = tmp_path / "sum.onnx"
    write_graph(Sum(), torch.zeros(2, 3, 8, 8), path, input_name="pixels", dynamic={0: "n"})
    ends = read_graph_ends(path)
    assert [(e.name, e.dtype, e.shape) for e in ends.inputs] == [("pixels", "float32", (None, 3, 8, 8))]
    assert [(e.name, e.shape) for e in ends.outputs] == [("embedding", (None, 3))]
    raw = path.read_bytes()
    for cut in range(1, len(raw) - 16, 7):  # what follows the graph is its version only
        path.write_bytes(raw[:cut])
        with pytest.raises(WeightsUnavailable):
            read_graph_ends(path)
    for junk in (b"", b"\x00" * 64, b"\xff" * 64, b"version https://git-lfs"):
        path.write_bytes(junk)
        with pytest.raises(WeightsUnavailable):
            read_graph_ends(path)

"""Text search by one model, look-alikes by another: a gallery with both, through the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")

from retrieval.encoders.install.export import export_onnx
from retrieval.encoders.torch.image_only import load_image_encoder
from tests.conftest import EXAMPLES
from tests.retrieval.encoders.tiny_timm import VIT, write_timm
from tests.test_cli import Run, run  # noqa: F401

pytestmark = pytest.mark.torch

ARCHITECTURE = "vit_small_patch14_dinov2"
BIRDS = EXAMPLES / "birds"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return write_timm(tmp_path / "tiny", ARCHITECTURE, 70, **VIT)


def paths(out: str) -> list[str]:
    return [Path(line).name for line in out.splitlines()]


def test_words_and_look_alikes_from_one_gallery(run: Run, weights: Path) -> None:  # noqa: F811
    name = f"dinov2-s14+cls+gap@42={weights}"
    assert run("index", BIRDS, "--model", "builtin-224", "-q")[0] == 0
    by_words = run("search", "a flamingo", "--paths", "-n", "3")
    code, _, err = run("index", BIRDS, "--model", name, "--device", "cpu")
    assert code == 0, err
    assert "searches continue with builtin-224" in err and f"--model {name}" in err
    assert run("search", "a flamingo", "--paths", "-n", "3") == by_words

    flamingo = BIRDS / "flamingo.png"
    code, out, err = run("similar", flamingo, "--model", "dinov2-s14", "--json", "-n", "4")
    assert (code, err) == (0, "")
    hits = [json.loads(line) for line in out.splitlines()]
    assert len(hits) == 4 and flamingo.name not in {Path(hit["path"]).name for hit in hits}
    assert paths(run("similar", flamingo, "--paths", "-n", "4")[1]) != [Path(hit["path"]).name for hit in hits]

    outside = EXAMPLES / "animals" / "dog.jpg"
    assert run("similar", outside, "--model", "dinov2-s14", "-n", "1", "--paths")[0] == 0, "its weights are found again"

    code, out, err = run("search", "a flamingo", "--model", "dinov2-s14")
    assert (code, out) == (2, "")
    assert err.count("\n") == 2 and "cannot search by words" in err and "--model builtin-224" in err
    code, out, err = run("similar", flamingo, "--model", "dinov2-l14")
    assert (code, out, err.count("\n")) == (2, "", 2)
    assert "did you mean dinov2-s14" in err

    code, _, err = run("models", "drop", "dinov2-s14")
    assert code == 0 and "searches use builtin-224" in err
    assert run("search", "a flamingo", "--paths", "-n", "3") == by_words
    assert run("similar", flamingo, "--model", "dinov2-s14")[0] == 2
    code, _, err = run("models", "drop", "builtin-224")
    assert code == 2 and "--yes" in err
    assert run("models", "drop", "builtin-224", "--yes")[0] == 0
    assert run("search", "a flamingo")[0] == 3


def test_an_exported_image_tower_indexes_without_torch(
    run: Run,  # noqa: F811
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("openvino")
    export_onnx(load_image_encoder(f"dinov2-s14@42={weights}", device="cpu"), tmp_path / "models")
    monkeypatch.setattr("retrieval.encoders.registry.find_spec", lambda name: None)
    code, _, err = run("index", BIRDS, "--model", "dinov2-s14@42")
    assert code == 0, err
    assert "OpenVINO" in err
    assert run("similar", EXAMPLES / "animals" / "dog.jpg", "-n", "2", "--paths")[0] == 0
    code, _, err = run("search", "a dog")
    assert code == 2 and "builtin-224" in err


def test_the_list_tells_pictures_only_and_licences(run: Run) -> None:  # noqa: F811
    rows = {row["name"]: row for row in map(json.loads, run("models", "--json")[1].splitlines())}
    assert not rows["dinov2-b14"]["has_text"] and rows["builtin-224"]["has_text"]
    assert not any(row["default"] for row in rows.values() if not row["has_text"])
    lines = {line.split()[0]: line for line in run("models")[1].splitlines() if line.strip()}
    assert "(pictures only)" in lines["dinov2-b14"] and "(pictures only)" not in lines["ViT-B-32/laion2b_s34b_b79k"]
    assert "CC-BY-NC-4.0" in lines["mae-b16"] and "apple-amlr" in lines["MobileCLIP2-S0/dfndr2b"]

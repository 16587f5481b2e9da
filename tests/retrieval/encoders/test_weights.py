"""From names to files: spellings, QuickGELU, and all refusals of weights, with reasons."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")


from retrieval.encoders.files.checks import check_present
from retrieval.encoders.names import open_clip_weights as weights_module
from retrieval.encoders.names.open_clip import find_tagged, open_clip_tables, preprocessing_from, split_name
from retrieval.encoders.names.open_clip_weights import hub_place
from retrieval.encoders.torch.clip import load_clip_encoder
from retrieval.errors import (
    EncoderError,
    RuntimeUnavailable,
    UnknownEncoder,
    WeightsUnavailable,
)
from tests.retrieval.encoders.tiny_clip import CLIP, CLIP_MEAN, TEXTS

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("own_caches")]


def pictures(size: int, n: int = 5) -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (n, 3, size, size), np.uint8)


def test_names_in_three_spellings() -> None:
    for name in ("ViT-B-32/openai", "ViT-B-32:openai", "ViT-B-32__openai"):
        assert split_name(name) == ("ViT-B-32", "openai")
    with pytest.raises(UnknownEncoder):
        split_name("ViT-B-32")


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ("ViT-B-32/openai", "ViT-B-32-quickgelu"),
        ("ViT-L-14/metaclip_400m", "ViT-L-14-quickgelu"),
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32"),
        ("ViT-B-32/laion2b-s34b-b79k", "ViT-B-32"),
        ("ViT-B-32-quickgelu/openai", "ViT-B-32-quickgelu"),
    ],
)
def test_quickgelu_checkpoints_get_their_activation(given: str, model: str) -> None:
    found = find_tagged(given)
    assert found.model == model
    assert bool(found.model_cfg.get("quick_gelu")) == bool(found.tag_cfg.get("quick_gelu"))


def test_no_tag_of_open_clip_is_left_with_the_wrong_activation() -> None:
    for model, tags in open_clip_tables().tags.items():
        for tag in tags:
            found = find_tagged(f"{model}/{tag}")
            assert found.model_cfg.get("quick_gelu") or not found.tag_cfg.get("quick_gelu"), (model, tag)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UnknownEncoder) as caught:
        find_tagged("ViT-B-32/lion2b_s34b_b79k")
    assert "ViT-B-32/laion2b_s34b_b79k" in caught.value.hint
    with pytest.raises(UnknownEncoder, match="no model"):
        load_clip_encoder("Nonsense-9/nothing")


def test_preprocessing_of_tags_is_theirs() -> None:
    siglip = find_tagged("ViT-B-32-SigLIP2-256/webli")
    ours = preprocessing_from(siglip.tag_cfg, 256, "x")
    assert (ours.resize, ours.mean) == ("squash", (0.5, 0.5, 0.5))
    odd = preprocessing_from(find_tagged("ViT-L-14/laion2b_s32b_b82k").tag_cfg, 224, "x")
    assert odd.mean == (0.5, 0.5, 0.5), "this checkpoint differs from its family"


def test_missing_weights_are_named_at_once_with_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("loading opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailable) as caught:
        load_clip_encoder("ViT-B-32-256/datacomp_s34b_b86k")
    assert str(tmp_path / "hub") in str(caught.value)
    assert "photoseek models fetch --weights ViT-B-32-256/datacomp_s34b_b86k" in caught.value.hint
    with pytest.raises(WeightsUnavailable, match="not on this machine"):
        load_clip_encoder("hf-hub:nobody/nothing")


def test_filled_hub_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: dict[str, Path]
) -> None:
    """The layout that huggingface_hub writes: refs/main names a snapshot."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    repository = tmp_path / "hub" / "models--nobody--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    shutil.copytree(tiny_models["siglip"], repository / "snapshots" / "abc123")
    cached = load_clip_encoder("hf-hub:nobody/tiny", device="cpu")
    local = load_clip_encoder(f"local-dir:{tiny_models['siglip']}", device="cpu")
    assert cached.spec.fingerprint == local.spec.fingerprint
    assert np.array_equal(cached.encode_texts(TEXTS), local.encode_texts(TEXTS))


def test_tag_is_loaded_from_the_hub_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: dict[str, Path]
) -> None:
    """A real tag whose architecture is swapped for the tiny one: names, places and loading are the real ones."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    tagged = find_tagged("ViT-B-32-256/datacomp_s34b_b86k")
    small = type(tagged)(tagged.model, tagged.tag, CLIP, tagged.tag_cfg)
    monkeypatch.setattr(weights_module, "find_tagged", lambda name: small)
    repository, names = hub_place(tagged.tag_cfg)
    folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("1234")
    (folder / "snapshots" / "1234").mkdir(parents=True)
    shutil.copyfile(tiny_models["clip"] / names[0], folder / "snapshots" / "1234" / names[0])
    encoder = load_clip_encoder("ViT-B-32-256__datacomp_s34b_b86k", device="cpu")
    assert encoder.spec.name == "ViT-B-32-256/datacomp_s34b_b86k"
    assert encoder.spec.licence == "MIT"
    assert encoder.encode_texts(["a dog"]).shape == (1, 32)


def test_configuration_without_weights_is_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    """open_clip's create_model would hand out random weights here."""
    shutil.copy(tiny_models["clip"] / "open_clip_config.json", tmp_path)
    with pytest.raises(WeightsUnavailable, match="no weights"):
        load_clip_encoder(f"local-dir:{tmp_path}")


def test_weights_without_configuration_are_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    bare = shutil.copy(tiny_models["siglip"] / "open_clip_model.safetensors", tmp_path / "bare.safetensors")
    for name in (str(bare), f"local-dir:{tmp_path}"):
        with pytest.raises(WeightsUnavailable, match=r"no open_clip_config\.json"):
            load_clip_encoder(name)


def test_configuration_without_mean_and_std_is_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_models["siglip"], tmp_path / "m"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    for change, error in (({}, "mean"), ({"mean": CLIP_MEAN}, "std"), ({"mean": [1, 2], "std": [1, 1, 1]}, "mean")):
        (folder / "open_clip_config.json").write_text(json.dumps({**config, "preprocess_cfg": change}))
        with pytest.raises(WeightsUnavailable, match=f"which {error}"):
            load_clip_encoder(f"local-dir:{folder}")
    wrong = {**config["preprocess_cfg"], "resize_mode": "longest"}
    (folder / "open_clip_config.json").write_text(json.dumps({**config, "preprocess_cfg": wrong}))
    with pytest.raises(EncoderError, match="longest"):
        load_clip_encoder(f"local-dir:{folder}")


def test_weight_file_with_its_configuration(tiny_models: dict[str, Path]) -> None:
    path = tiny_models["clip"] / "open_clip_model.safetensors"
    by_file = load_clip_encoder(str(path)).spec
    assert by_file.fingerprint == load_clip_encoder(f"local-dir:{tiny_models['clip']}").spec.fingerprint


@pytest.mark.parametrize("name", ["model.pt", "open_clip_pytorch_model.bin", "model.pth"])
def test_pickles_are_refused_unread(tiny_models: dict[str, Path], tmp_path: Path, name: str) -> None:
    shutil.copy(tiny_models["clip"] / "open_clip_config.json", tmp_path)
    (tmp_path / name).write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    for given in (str(tmp_path / name), f"local-dir:{tmp_path}"):
        with pytest.raises(WeightsUnavailable, match="pickle") as caught:
            load_clip_encoder(given)
        assert "save_file" in caught.value.hint


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-LFS pointer"),
        (lambda raw: b"", "empty"),
        (lambda raw: raw[:-1], "bytes"),
        (lambda raw: raw[:2000], "damaged"),
        (lambda raw: b"\xff" * 5000, "does not fit"),
        (lambda raw: raw + b"x", "bytes"),
    ],
)
def test_damaged_weights_are_named(tiny_models: dict[str, Path], tmp_path: Path, damage, message: str) -> None:
    folder = Path(shutil.copytree(tiny_models["clip"], tmp_path / "m"))
    file = folder / "open_clip_model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(WeightsUnavailable, match=message):
        load_clip_encoder(f"local-dir:{folder}")


def test_weights_of_another_model_are_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_models["clip"], tmp_path / "m"))
    shutil.copy(tiny_models["siglip"] / "open_clip_model.safetensors", folder)
    with pytest.raises(WeightsUnavailable, match="does not fit"):
        load_clip_encoder(f"local-dir:{folder}", device="cpu").encode_texts(["a"])


def test_a_missing_tensor_is_never_random(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_models["clip"], tmp_path / "m"))
    state = load_file(folder / "open_clip_model.safetensors")
    del state["visual.transformer.resblocks.1.mlp.c_fc.weight"]
    save_file(state, folder / "open_clip_model.safetensors")
    with pytest.raises(WeightsUnavailable, match=r"c_fc\.weight"):
        load_clip_encoder(f"local-dir:{folder}", device="cpu").encode_images(pictures(32))


def test_missing_tokenizer_is_named(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_models["siglip"], tmp_path / "m"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsUnavailable, match="nobody/tiny-siglip"):
        load_clip_encoder(f"local-dir:{folder}")


def test_missing_libraries_are_named(tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "open_clip" else real(n, *a))
    with pytest.raises(RuntimeUnavailable, match="open_clip") as caught:
        load_clip_encoder(f"local-dir:{tiny_models['clip']}")
    assert "photoseek[torch]" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_weights_that_are_a_pipe_or_a_device_are_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "image.onnx")
    (tmp_path / "text.safetensors").symlink_to("/dev/zero")
    for name in ("image.onnx", "text.safetensors"):
        with pytest.raises(WeightsUnavailable, match="not an ordinary file"):
            check_present(tmp_path / name, None)

"""Fetching from a stand-in hub on loopback: layout, resume, hashes, licence, and all refusals."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("onnx")
pytest.importorskip("openvino")

import torch

from retrieval.encoders.files.description import read_encoder_folder, verify_encoder_folder
from retrieval.encoders.install.fetch import (
    FetchPlan,
    export_repositories,
    fetch_model,
    fetch_weights,
    plan_model,
)
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.errors import EncoderError, SystemProblem, UnknownEncoder, WeightsUnavailable
from tests.retrieval.encoders.published_export import NAME, REPOSITORY
from tests.retrieval.encoders.standin_hub import COMMIT, Hub
from tests.retrieval.encoders.tiny_clip import TEXTS, reference

pytestmark = pytest.mark.torch


def yes(plan: FetchPlan) -> bool:
    return True


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".lock-"))


def test_fetched_model_equals_open_clip(hub: Hub, tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = fetch_model(NAME, tmp_path / "models", accept_licence=yes)
    assert visible(tmp_path / "models") == ["tiny-SigLIP__random"]
    encoder = OnnxEncoder(read_encoder_folder(folder), precision="fp32", threads=1)
    model, _, tokenizer = reference(tiny_models["siglip"])
    pixels = np.random.default_rng(2).integers(0, 256, (3, 3, 160, 160), np.uint8)
    with torch.no_grad():
        prepared = torch.from_numpy(((pixels / 255 - 0.5) / 0.5).astype(np.float32))
        images = torch.nn.functional.normalize(model.encode_image(prepared), dim=-1).numpy()
        texts = torch.nn.functional.normalize(model.encode_text(tokenizer(TEXTS)), dim=-1).numpy()
    assert np.abs(encoder.encode_images(pixels) - images).max() < 1e-4
    assert np.abs(encoder.encode_texts(TEXTS) - texts).max() < 1e-4
    assert encoder.is_cut(TEXTS[-1])
    assert not encoder.is_cut(TEXTS[0])


def test_description_is_translated(hub: Hub, tmp_path: Path) -> None:
    found = read_encoder_folder(fetch_model(NAME, tmp_path, accept_licence=yes))
    assert found.spec.name == NAME
    assert found.spec.source == f"{REPOSITORY}@{COMMIT}"
    assert (found.spec.dim, found.spec.context_length, found.spec.family) == (96, 64, "siglip")
    assert found.spec.preprocessing.resize == "squash"
    assert found.spec.preprocessing.std == (0.5, 0.5, 0.5)
    assert (found.image.file, found.image.input, found.image.output) == ("visual/model.onnx", "image", "embedding")
    assert found.text is not None
    assert (found.text.input, found.text.ids_dtype) == ("text", "int32")
    assert (found.text.tokenizer.pad_to, found.text.tokenizer.pad_id) == (64, 0)
    assert found.text.tokenizer.clean == "canonicalize"
    verify_encoder_folder(found)
    assert not list(tmp_path.rglob("*.rknn")) + list(tmp_path.rglob("*.armnn")) + list(tmp_path.rglob("*.part"))


def test_a_fetch_twice_gives_the_same_fingerprint(hub: Hub, tmp_path: Path) -> None:
    first = read_encoder_folder(fetch_model(NAME, tmp_path, accept_licence=yes)).spec
    again = read_encoder_folder(fetch_model(f"{REPOSITORY}", tmp_path, accept_licence=yes)).spec
    assert again == first
    assert visible(tmp_path) == ["tiny-SigLIP__random"]


def test_licence_is_asked_before_the_first_byte(hub: Hub, tmp_path: Path) -> None:
    shown: list[FetchPlan] = []

    def no(plan: FetchPlan) -> bool:
        shown.append(plan)
        return False

    with pytest.raises(EncoderError, match="not accepted"):
        fetch_model(NAME, tmp_path / "models", accept_licence=no)
    assert [p for _, p, _ in hub.requests if "/resolve/" in p] == []
    assert not (tmp_path / "models").exists()
    assert shown[0].bytes > 1_000_000
    assert shown[0].repositories == REPOSITORY


def test_licence_comes_from_our_table(hub: Hub, published: Path) -> None:
    hub.repositories["immich-app/ViT-B-32__openai"] = published
    assert plan_model("ViT-B-32-quickgelu/openai").licence == "MIT"
    assert plan_model(NAME).licence.startswith("unknown")


def test_progress_grows_to_the_whole(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch_model(NAME, tmp_path, accept_licence=yes, on_progress=lambda done, whole: seen.append((done, whole)))
    dones = [done for done, _ in seen]
    assert dones == sorted(dones)
    assert dones[-1] == seen[0][1] == plan_model(NAME).bytes


def test_dropped_connection_is_continued(hub: Hub, tmp_path: Path) -> None:
    hub.drop_after["visual/model.onnx"] = [100_000, 50_000]
    folder = fetch_model(NAME, tmp_path, accept_licence=yes)
    ranges = [r for _, path, r in hub.requests if path.endswith("visual/model.onnx")]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    verify_encoder_folder(read_encoder_folder(folder))


def test_broken_download_is_continued_by_the_next_process(hub: Hub, tmp_path: Path) -> None:
    """The first fetch gives up for good; nothing is installed, and nothing is downloaded twice."""
    hub.drop_after["visual/model.onnx"] = [100_000, *[0] * 50]
    with pytest.raises(WeightsUnavailable, match="stopped at 100000 of"):
        fetch_model(NAME, tmp_path, accept_licence=yes)
    assert not [p for p in visible(tmp_path) if not p.startswith(".")]
    hub.drop_after.clear()
    hub.requests.clear()
    folder = fetch_model(NAME, tmp_path, accept_licence=yes)
    asked = {path.partition(COMMIT)[2]: r for _, path, r in hub.requests if "/resolve/" in path}
    assert asked["/visual/model.onnx"] == "bytes=100000-"
    assert "/textual/model.onnx" not in asked, "it was complete"
    verify_encoder_folder(read_encoder_folder(folder))
    assert visible(tmp_path) == ["tiny-SigLIP__random"]


def test_server_without_ranges(hub: Hub, tmp_path: Path) -> None:
    hub.ignore_ranges = True
    hub.drop_after["visual/model.onnx"] = [100_000]
    verify_encoder_folder(read_encoder_folder(fetch_model(NAME, tmp_path, accept_licence=yes)))


@pytest.mark.parametrize("file", ["visual/model.onnx", "config.json"])
def test_content_is_checked_by_hash(hub: Hub, tmp_path: Path, file: str) -> None:
    """A large file by sha256, a small one by git's object name: both have the announced size."""
    hub.corrupt.add(file)
    with pytest.raises(WeightsUnavailable, match=f"{file}.*damaged"):
        fetch_model(NAME, tmp_path, accept_licence=yes)
    assert not [p for p in visible(tmp_path) if not p.startswith(".")]
    hub.corrupt.clear()
    fetch_model(NAME, tmp_path, accept_licence=yes)


def test_failed_fetch_keeps_the_installed_model(hub: Hub, tmp_path: Path) -> None:
    folder = fetch_model(NAME, tmp_path, accept_licence=yes)
    before = (folder / "encoder.json").read_bytes()
    hub.corrupt.add("visual/model.onnx")
    with pytest.raises(WeightsUnavailable):
        fetch_model(NAME, tmp_path, accept_licence=yes)
    assert (folder / "encoder.json").read_bytes() == before
    verify_encoder_folder(read_encoder_folder(folder))


# Refusals


def test_offline_is_immediate_and_opens_nothing(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for fetch in (
        lambda: fetch_model(NAME, tmp_path, accept_licence=yes),
        lambda: fetch_weights("ViT-B-32-256/datacomp_s34b_b86k", accept_licence=yes),
    ):
        with pytest.raises(WeightsUnavailable, match="HF_HUB_OFFLINE is set"):
            fetch()
    assert hub.requests == []


def test_no_network_is_said_without_trying_again(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(WeightsUnavailable, match="cannot be reached"):
            fetch_model(NAME, tmp_path, accept_licence=yes)
    assert sum(slept) < 5, "the hub's own library tries for 46 s"


def test_unknown_repository(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.encoders.install.fetch.find_spec", lambda module: None)
    hub.private.add("immich-app/ViT-Z-9__secret")
    for name in ("ViT-Z-9/nothing", "ViT-Z-9/secret", "someone/ViT-Z-9__x"):
        with pytest.raises(UnknownEncoder, match="no ready ONNX export") as caught:
            fetch_model(name, tmp_path, accept_licence=yes)
        assert "photoseek[torch]" in caught.value.hint
    with pytest.raises(UnknownEncoder):
        fetch_model(NAME, tmp_path, accept_licence=yes, revision="no-such-branch")


def test_endpoint_must_be_http(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(WeightsUnavailable, match="HF_ENDPOINT"):
        fetch_model(NAME, tmp_path, accept_licence=yes)


def test_file_names_that_leave_the_folder(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for evil in ("../../evil", "/etc/passwd", "visual/../../evil"):
        listing = hub.listing(REPOSITORY)
        listing["siblings"] = [*listing["siblings"], {"rfilename": evil, "size": 1}]
        monkeypatch.setattr(hub, "listing", lambda repository, answer=listing: answer)
        with pytest.raises(WeightsUnavailable, match="did not return a file list"):
            fetch_model(NAME, tmp_path, accept_licence=yes)
        monkeypatch.undo()
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_list_that_is_nested_too_deep(hub: Hub, tmp_path: Path) -> None:
    hub.says = b"[" * 200_000
    with pytest.raises(WeightsUnavailable, match="did not return a file list"):
        fetch_model(NAME, tmp_path, accept_licence=yes)


def test_full_disk_is_said_before_the_download(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(EncoderError, match="1 MB free"):
        fetch_model(NAME, tmp_path, accept_licence=yes)
    assert [p for _, p, _ in hub.requests if "/resolve/" in p] == []


def test_published_names() -> None:
    assert export_repositories("ViT-B-32-quickgelu/openai")[0] == "immich-app/ViT-B-32__openai", "our table"
    assert "immich-app/ViT-X-1__laion2b-s1b-b2k" in export_repositories("ViT-X-1/laion2b_s1b_b2k")
    assert export_repositories("someone/ViT-X-1__a_b") == ["someone/ViT-X-1__a_b"]


def change(file: str, **values: Any):
    def apply(folder: Path) -> None:
        data = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**data, **values}))

    return apply


def test_unsupported_export_leaves_nothing(hub: Hub, published: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "source"))
    change("visual/preprocess_cfg.json", resize_mode="longest")(copy)
    hub.repositories[REPOSITORY] = copy
    with pytest.raises(EncoderError, match="longest"):
        fetch_model(NAME, tmp_path / "models", accept_licence=yes)
    assert visible(tmp_path / "models") == []


def test_full_disk_during_the_download_is_said(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if path.name.endswith(".part") and mode != "rb":
            raise OSError(28, "No space left on device")
        return real(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(SystemProblem, match="the disk is full"):
        fetch_model(NAME, tmp_path / "models", accept_licence=yes)


def test_two_fetches_of_one_model_do_not_meet(hub: Hub, tmp_path: Path) -> None:
    inner: list[str] = []

    def meanwhile(done: int, whole: int) -> None:
        if not inner:
            with pytest.raises(EncoderError) as caught:
                fetch_model(NAME, tmp_path, accept_licence=yes)
            inner.append(str(caught.value))

    fetch_model(NAME, tmp_path, accept_licence=yes, on_progress=meanwhile)
    assert "another process is installing" in inner[0]

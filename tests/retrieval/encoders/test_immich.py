"""Local folders in the layout of Immich's exports: imported, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("open_clip")
pytest.importorskip("onnx")
pytest.importorskip("openvino")

import onnx
import torch

from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.install.fetch import (
    import_immich_folder,
)
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.encoders.torch.graph import traceable
from retrieval.errors import EncoderError, RetrievalError
from tests.retrieval.encoders.published_export import NAME

pytestmark = pytest.mark.torch


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".lock-"))


def test_local_folder_is_imported(published: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "tiny-SigLIP__random"))
    folder = import_immich_folder(copy, tmp_path / "models", licence="MIT")
    found = read_encoder_folder(folder)
    assert (found.spec.name, found.spec.licence) == (NAME, "MIT")
    assert OnnxEncoder(found, precision="fp32").encode_texts(["a dog"]).shape == (1, 96)
    assert not (folder / "visual" / "model.armnn").exists()


def change(file: str, **values: Any):
    def apply(folder: Path) -> None:
        data = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**data, **values}))

    return apply


def external(location: str):
    """The textual graph with a weight that is said to be in another file."""

    def apply(folder: Path) -> None:
        graph = onnx.load(str(folder / "textual/model.onnx"))
        weight = next(each for each in graph.graph.initializer if each.raw_data)
        onnx.external_data_helper.set_external_data(weight, location)
        (folder / "textual/model.onnx").write_bytes(graph.SerializeToString())

    return apply


TEXT_CFG = {"context_length": 64}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "textual/tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda f: (f / "visual/model.onnx").write_bytes(b"version https://git-lfs"), "git-LFS pointer"),
        (lambda f: (f / "visual/model.onnx").write_bytes((f / "visual/model.onnx").read_bytes()[:-500]), "damaged"),
        (lambda f: (f / "config.json").write_text("{"), "damaged"),
        (lambda f: (f / "textual/tokenizer.json").write_text("[]"), "no tokenizer"),
        (change("config.json", embed_dim=512), "different models"),
        (change("config.json", embed_dim=[96]), "different models"),
        (change("config.json", text_cfg={"context_length": "many"}), "context_length"),
        (change("config.json", text_cfg={"context_length": [64]}), "context_length"),
        (change("config.json", text_cfg={**TEXT_CFG, "tokenizer_kwargs": ["clean"]}), "tokenizer_kwargs"),
        (change("config.json", text_cfg={**TEXT_CFG, "tokenizer_kwargs": {"clean": ["soap"]}}), "tokenizer.clean"),
        (change("visual/preprocess_cfg.json", size={"height": 160}), "square"),
        (change("visual/preprocess_cfg.json", size=[[160, 160]]), "square"),
        (change("visual/preprocess_cfg.json", mean=[10**400, 0, 0]), "which mean"),
        (external("../../elsewhere"), "leaves the folder"),
        (change("config.json", text_cfg={"context_length": 77}), "77 tokens"),
        (change("visual/preprocess_cfg.json", resize_mode="longest"), "longest"),
        (change("visual/preprocess_cfg.json", size=224), "visual/model.onnx takes"),
        (change("visual/preprocess_cfg.json", size=[160, 224]), "square"),
        (change("visual/preprocess_cfg.json", mean=None), "which mean"),
        (change("textual/tokenizer_config.json", pad_token="[none]"), "pad_token"),
    ],
)
def test_damaged_folders_are_refused(published: Path, tmp_path: Path, damage: Any, message: str) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "source"))
    damage(copy)
    with pytest.raises(RetrievalError, match=message):
        import_immich_folder(copy, tmp_path / "models", name=NAME)
    assert visible(tmp_path / "models") == []


def test_graphs_that_normalise_themselves_are_refused(published: Path, tmp_path: Path) -> None:
    """Later revisions take uint8 (n, size, size, 3): fed with prepared pictures they would answer nonsense."""

    class Later(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.float().mean((1, 2)).repeat(1, 32)

    copy = Path(shutil.copytree(published, tmp_path / "source"))
    with traceable():
        torch.onnx.export(
            Later(),
            (torch.zeros(1, 160, 160, 3, dtype=torch.uint8),),
            str(copy / "visual" / "model.onnx"),
            dynamo=False,
            input_names=["image"],
            output_names=["image_embedding"],
        )
    with pytest.raises(EncoderError, match=r"image: uint8 \[1, 160, 160, 3\]"):
        import_immich_folder(copy, tmp_path / "models", name=NAME)

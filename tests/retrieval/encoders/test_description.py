from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.base import Preprocessing
from retrieval.encoders.files.description import (
    DESCRIPTION,
    EncoderFolder,
    ImageTower,
    TextTower,
    TokenizerSpec,
    fingerprint_of,
    hash_file,
    read_encoder_folder,
    text_settings,
    verify_encoder_folder,
    write_encoder_description,
)
from retrieval.encoders.installed import BUILTIN_FOLDER
from retrieval.encoders.onnx.graph_ends import check_weights_listed
from retrieval.errors import WeightsUnavailable

TEXT = TextTower(
    "text.safetensors", "clip-weights", TokenizerSpec("clip-bpe", "merges.bin", start=10, end=11), 16, heads=4
)


def write(path: Path, **changes: Any) -> EncoderFolder:
    settings: dict[str, Any] = {
        "name": "small",
        "family": "clip",
        "source": "a test",
        "dim": 8,
        "preprocessing": Preprocessing(32, "squash", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "image": ImageTower("image.onnx"),
        "text": TEXT,
        "licence": "MIT",
        "logit_scale": 100.0,
        "logit_bias": -10.0,
        "prompt_templates": ["a photo of a {}.", "das Foto von {}"],
    }
    return write_encoder_description(path, **(settings | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("image.onnx", "text.safetensors", "merges.bin"):
        (tmp_path / name).write_bytes(name.encode() * 300)
    write(tmp_path)
    return tmp_path


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    edit(data)
    (folder / DESCRIPTION).write_text(json.dumps(data), "utf-8")


def test_what_is_written_is_read_back(folder: Path) -> None:
    read = read_encoder_folder(folder)
    assert read == write(folder)
    assert read.text == TEXT
    assert read.image == ImageTower("image.onnx", "pixels", "embedding")
    spec = read.spec
    assert (spec.name, spec.dim, spec.has_text, spec.context_length) == ("small", 8, True, 16)
    assert spec.preprocessing == Preprocessing(32, "squash", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (spec.logit_scale, spec.logit_bias) == (100.0, -10.0)
    assert spec.prompt_templates == ("a photo of a {}.", "das Foto von {}")
    assert set(read.files) == {"image.onnx", "text.safetensors", "merges.bin"}
    verify_encoder_folder(read)


def test_no_temporary_file_is_left(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"encoder.json", "image.onnx", "text.safetensors", "merges.bin"}


def test_image_only_folder(tmp_path: Path) -> None:
    (tmp_path / "image.onnx").write_bytes(b"graph")
    spec = write(tmp_path, text=None).spec
    assert not spec.has_text
    assert spec.context_length == 0


def test_external_data_is_hashed_too(folder: Path) -> None:
    (folder / "image.onnx.data").write_bytes(b"weights")
    written = write(folder)
    assert written.files["image.onnx.data"].bytes == 7
    (folder / "image.onnx.data").write_bytes(b"Weights")
    with pytest.raises(WeightsUnavailable, match=r"image\.onnx\.data"):
        verify_encoder_folder(written)


def test_a_changed_byte_is_found_by_verify_only(folder: Path) -> None:
    read = read_encoder_folder(folder)
    content = bytearray((folder / "text.safetensors").read_bytes())
    content[1000] ^= 1
    (folder / "text.safetensors").write_bytes(content)
    assert read_encoder_folder(folder) == read
    with pytest.raises(WeightsUnavailable, match=r"text\.safetensors is damaged: its content"):
        verify_encoder_folder(read)


def test_fingerprint_follows_settings_and_files_not_their_names() -> None:
    pre = Preprocessing(224)
    base = fingerprint_of(pre, text=text_settings(TEXT), weights=["a", "b"])
    assert base == fingerprint_of(pre, text=text_settings(TEXT), weights=["b", "a"])
    renamed = replace(TEXT, file="t.st", tokenizer=replace(TEXT.tokenizer, file="m.bin"))
    assert base == fingerprint_of(pre, text=text_settings(renamed), weights=["a", "b"])
    others = [
        fingerprint_of(replace(pre, resize="squash"), text=text_settings(TEXT), weights=["a", "b"]),
        fingerprint_of(pre, text=None, weights=["a", "b"]),
        fingerprint_of(pre, text=text_settings(TEXT), weights=["a", "c"]),
        fingerprint_of(pre, text=text_settings(replace(TEXT, activation="quick_gelu")), weights=["a", "b"]),
        fingerprint_of(
            pre,
            text=text_settings(replace(TEXT, tokenizer=replace(TEXT.tokenizer, clean="canonicalize"))),
            weights=["a", "b"],
        ),
    ]
    assert len({base, *others}) == 6


def test_an_exported_model_carries_the_fingerprint_of_its_source(folder: Path) -> None:
    assert write(folder, fingerprint="0f" * 32).spec.fingerprint == "0f" * 32
    assert read_encoder_folder(folder).spec.fingerprint == "0f" * 32


def test_no_description(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"no encoder\.json"):
        read_encoder_folder(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}', b"[" * 100_000, b" " * (1 << 20) + b"{}"]
)
def test_descriptions_that_are_no_descriptions(folder: Path, content: bytes) -> None:
    (folder / DESCRIPTION).write_bytes(content)
    with pytest.raises(WeightsUnavailable, match="is damaged"):
        read_encoder_folder(folder)


def test_another_format_is_refused(folder: Path) -> None:
    change(folder, lambda data: data.update(format=2))
    with pytest.raises(WeightsUnavailable, match="format 2"):
        read_encoder_folder(folder)


@pytest.mark.parametrize("name", ["../image.onnx", "/etc/passwd", "a/../../b", "..\\b", "C:b", "", "."])
def test_no_path_leaves_the_folder(folder: Path, name: str) -> None:
    (folder.parent / "image.onnx").write_bytes(b"x")

    def edit(data: dict[str, Any]) -> None:
        data["image"]["file"] = name
        data["files"][name] = data["files"]["image.onnx"]

    change(folder, edit)
    with pytest.raises(WeightsUnavailable, match="leaves the folder"):
        read_encoder_folder(folder)
    with pytest.raises(WeightsUnavailable, match="leaves the folder"):
        write(folder, image=ImageTower(name))


BAD: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("dim", lambda d: d.update(dim=0)),
    ("dim", lambda d: d.update(dim=True)),
    ("name", lambda d: d.update(name="")),
    ("licence", lambda d: d.pop("licence")),
    ("fingerprint", lambda d: d.update(fingerprint="abc")),
    ("logit_scale", lambda d: d.update(logit_scale="100")),
    ("prompt_templates", lambda d: d.update(prompt_templates=["no place"])),
    ("preprocessing.size", lambda d: d["preprocessing"].update(size=-1)),
    ("preprocessing.size", lambda d: d["preprocessing"].update(size=30_000)),
    ("preprocessing.resize_to", lambda d: d["preprocessing"].update(resize_to=30_000)),
    ("dim", lambda d: d.update(dim=1 << 40)),
    ("text.context_length", lambda d: d["text"].update(context_length=1 << 40)),
    ("text.heads", lambda d: d["text"].update(heads=1 << 40)),
    ("preprocessing.resize", lambda d: d["preprocessing"].update(resize="stretch")),
    ("preprocessing.interpolation", lambda d: d["preprocessing"].update(interpolation="nearest")),
    ("preprocessing.mean", lambda d: d["preprocessing"].update(mean=[0.5])),
    ("preprocessing.std", lambda d: d["preprocessing"].update(std=[0.5, 0.5, 0])),
    ("preprocessing.crop", lambda d: d["preprocessing"].update(crop="left")),
    ("text.kind", lambda d: d["text"].update(kind="pickle")),
    ("text.heads", lambda d: d["text"].update(heads=0)),
    ("text.activation", lambda d: d["text"].update(activation="relu")),
    ("text.pool", lambda d: d["text"].update(pool="mean")),
    ("pad_to", lambda d: d["text"].update(causal=False)),
    ("pad_to", lambda d: d["text"]["tokenizer"].update(pad_to=17)),
    ("tokenizer.clean", lambda d: d["text"]["tokenizer"].update(clean="upper")),
    ("start and end", lambda d: d["text"]["tokenizer"].update(end=None)),
    ("context_length", lambda d: d["text"].pop("context_length")),
    ("files", lambda d: d["files"].pop("merges.bin")),
    ("files.bytes", lambda d: d["files"]["merges.bin"].update(bytes="10")),
    ("image", lambda d: d.update(image=["image.onnx"])),
]


@pytest.mark.parametrize(("word", "edit"), BAD)
def test_settings_that_cannot_be(folder: Path, word: str, edit: Callable[[dict[str, Any]], object]) -> None:
    change(folder, edit)
    with pytest.raises(WeightsUnavailable) as caught:
        read_encoder_folder(folder)
    assert word in caught.value.message


def test_missing_truncated_and_pointer_files(folder: Path) -> None:
    whole = (folder / "image.onnx").read_bytes()
    (folder / "image.onnx").write_bytes(whole[:-1])
    with pytest.raises(WeightsUnavailable, match=f"{len(whole) - 1} bytes, not {len(whole)}"):
        read_encoder_folder(folder)
    (folder / "image.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(WeightsUnavailable, match="git-LFS pointer"):
        read_encoder_folder(folder)
    (folder / "image.onnx").unlink()
    with pytest.raises(WeightsUnavailable, match=r"image\.onnx is missing"):
        read_encoder_folder(folder)
    with pytest.raises(WeightsUnavailable, match=r"image\.onnx is missing"):
        write(folder)


def test_the_built_in_folder_is_what_its_description_says(tmp_path: Path) -> None:
    read = read_encoder_folder(BUILTIN_FOLDER)
    verify_encoder_folder(read)
    assert {path.name for path in BUILTIN_FOLDER.iterdir()} == {*read.files, DESCRIPTION, "MODEL_CARD.md"}
    assert read.text is not None
    assert read.spec.fingerprint == fingerprint_of(
        read.spec.preprocessing,
        text=text_settings(read.text),
        weights=[hash_file(BUILTIN_FOLDER / name) for name in read.files],
    )
    copy = tmp_path / "copy"
    shutil.copytree(BUILTIN_FOLDER, copy)
    assert read_encoder_folder(copy).spec == read.spec


def test_weights_in_a_file_without_a_hash_are_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="makes a graph")
    weight = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    onnx.external_data_helper.set_external_data(weight, "image.onnx.data")
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 2]) for name in ("x", "y")]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [ends[0]], [ends[1]], [weight])
    (tmp_path / "image.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    check_weights_listed(tmp_path, "image.onnx", ["image.onnx", "image.onnx.data"])
    with pytest.raises(WeightsUnavailable, match="whose hash is not recorded"):
        check_weights_listed(tmp_path, "image.onnx", ["image.onnx"])

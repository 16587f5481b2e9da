"""Folders as labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.lab.evaluation.class_folders import read_class_folders, read_labels
from tests.pictures import save_picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "val"
    for name in ("red_thing/a.png", "red_thing/deep/b.png", "blue/c.png", "loose.png"):
        save_picture(root / name, "red")
    (root / "empty").mkdir()
    (root / "blue" / "notes.txt").write_text("x", encoding="utf-8")
    return root


def test_folders_are_classes(folder: Path) -> None:
    found = read_class_folders(folder)
    assert found.folders == ("blue", "red_thing")
    assert found.names == ("blue", "red thing")
    pairs = zip(found.paths, found.labels.tolist(), strict=True)
    assert {path.name: label for path, label in pairs} == {"a.png": 1, "b.png": 1, "c.png": 0}


def test_names_from_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text("red_thing\ta red thing, large\nblue\tthe sea\nother\tx\n", encoding="utf-8")
    assert read_class_folders(folder, tmp_path / "labels.tsv").names == ("the sea", "a red thing, large")
    (tmp_path / "labels.tsv").write_text("blue\tthe sea\n", encoding="utf-8")
    with pytest.raises(QueryError, match="'red_thing'"):
        read_class_folders(folder, tmp_path / "labels.tsv")


def test_a_second_folder_has_the_classes_of_the_first(folder: Path, tmp_path: Path) -> None:
    save_picture(tmp_path / "test" / "red_thing" / "d.png", "red")
    found = read_class_folders(tmp_path / "test", folders=("blue", "red_thing"))
    assert found.labels.tolist() == [1]
    with pytest.raises(QueryError, match="'red_thing'"):
        read_class_folders(tmp_path / "test", folders=("blue", "green"))


def test_imagenets_numbers_need_names(tmp_path: Path) -> None:
    for number in ("n01440764", "n01443537"):
        save_picture(tmp_path / "val" / number / "a.png", "red")
    with pytest.raises(QueryError, match="ImageNet"):
        read_class_folders(tmp_path / "val")
    mapping = tmp_path / "LOC_synset_mapping.txt"
    mapping.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n", encoding="utf-8")
    assert read_class_folders(tmp_path / "val", mapping).names == ("tench", "goldfish")
    index = tmp_path / "imagenet_class_index.json"
    index.write_text(json.dumps({"0": ["n01440764", "tench"], "1": ["n01443537", "gold_fish"]}), encoding="utf-8")
    assert read_class_folders(tmp_path / "val", index).names == ("tench", "gold fish")
    plain = tmp_path / "names.json"
    plain.write_text(json.dumps({"n01440764": "tench", "n01443537": "goldfish"}), encoding="utf-8")
    assert read_labels(plain) == {"n01440764": "tench", "n01443537": "goldfish"}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("l.tsv", b"blue\n"),
        ("l.tsv", b"blue\t \n"),
        ("l.tsv", b"\xff\t\n"),
        ("l.json", b"{"),
        ("l.json", b"[1]"),
        ("l.json", b'{"a": 1}'),
        ("l.json", b'{"a": [1, 2]}'),
        ("l.json", b"[" * 100_000),
        ("none", None),
    ],
)
def test_bad_files_of_names_are_refused(tmp_path: Path, name: str, body: bytes | None) -> None:
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(QueryError):
        read_labels(tmp_path / name)


def test_one_class_is_none(tmp_path: Path) -> None:
    save_picture(tmp_path / "val" / "red" / "a.png", "red")
    with pytest.raises(QueryError, match="fewer than two"):
        read_class_folders(tmp_path / "val")
    with pytest.raises(QueryError, match="no folder"):
        read_class_folders(tmp_path / "nowhere")

"""Files of captions, valid and invalid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.lab.evaluation.captions_file import read_captions

EXPECTED = ((0, "a dog"), (0, 'the "dog", again'), (1, "a cat"))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("c.tsv", 'path\tcaption\na.jpg\ta dog\nsub/b.png\ta cat\na.jpg\tthe "dog", again\n'),
        ("c.tsv", 'a.jpg\ta dog\tthe "dog", again\nsub/b.png\t a cat \na.jpg\ta dog\n'),
        ("c.txt", '\ufeffa.jpg\ta dog\r\na.jpg\tthe "dog", again\r\n\r\nsub/b.png\ta cat\t\r\n'),
        ("c.csv", 'image,caption\na.jpg,a dog\na.jpg,"the ""dog"", again"\nsub/b.png,a cat\n'),
        (
            "c.jsonl",
            (
                '{"path": "a.jpg", "captions": ["a dog", "the \\"dog\\", again"]}\n\n'
                '{"image": "sub/b.png", "text": "a cat"}'
            ),
        ),
    ],
)
def test_forms(tmp_path: Path, name: str, body: str) -> None:
    (tmp_path / name).write_text(body, encoding="utf-8", newline="")
    found = read_captions(tmp_path / name)
    assert found.paths == (tmp_path / "a.jpg", tmp_path / "sub" / "b.png")
    assert sorted(found.pairs) == sorted(EXPECTED)


def test_karpathys_json(tmp_path: Path) -> None:
    sentences = [{"raw": f"caption {number}"} for number in range(7)]
    images = [
        {"filepath": "val2014", "filename": "a.jpg", "split": "test", "sentences": sentences},
        {"filepath": "val2014", "filename": "b.jpg", "split": "restval", "sentences": sentences},
        {"filename": "c.jpg", "split": "test", "sentences": sentences[:1]},
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images}), encoding="utf-8")
    found = read_captions(tmp_path / "dataset_coco.json")
    assert found.paths == (tmp_path / "val2014" / "a.jpg", tmp_path / "c.jpg")
    assert [row for row, _ in found.pairs] == [0, 0, 0, 0, 0, 1], "five captions count"


def test_absolute_paths_stay(tmp_path: Path) -> None:
    (tmp_path / "c.tsv").write_text("/pictures/a.jpg\ta dog\n", encoding="utf-8")
    assert read_captions(tmp_path / "c.tsv").paths == (Path("/pictures/a.jpg"),)


@pytest.mark.parametrize(
    ("name", "body", "word"),
    [
        ("c.tsv", b"", "no captions"),
        ("c.tsv", b"path\tcaption\n", "no captions"),
        ("c.tsv", b"a.jpg\ta dog\nb.jpg\n", "line 2 has no caption"),
        ("c.tsv", b"a.jpg\t \n", "line 1 has no caption"),
        ("c.tsv", b"\ta dog\n", "line 1 names no picture"),
        ("c.tsv", b"a\0.jpg\ta dog\n", "line 1"),
        ("c.tsv", b"a.jpg\t\xff\n", "not UTF-8"),
        ("c.csv", b'a.jpg,"a dog\n', "line"),
        ("c.tsv", b"a.jpg\t" + b"x" * 200_000, "line 1"),
        ("c.jsonl", b"{", "line 1 is not JSON"),
        ("c.jsonl", b"[]", "line 1 names no picture"),
        ("c.jsonl", b'{"path": 5, "caption": "x"}', "names no picture"),
        ("c.jsonl", b'{"path": "a.jpg", "caption": 5}', "no caption"),
        ("c.jsonl", b'{"path": "a.jpg", "captions": [1]}', "no caption"),
        ("c.json", b"{}", "Karpathy"),
        ("c.json", b'{"images": [{"split": "test", "filename": "a.jpg", "sentences": []}]}', "no caption"),
        ("c.json", b"[" * 100_000, "Karpathy"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, body: bytes, word: str) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(QueryError, match=word):
        read_captions(tmp_path / name)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="No such file"):
        read_captions(tmp_path / "none.tsv")

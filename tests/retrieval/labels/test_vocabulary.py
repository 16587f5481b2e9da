"""Where labels come from: the built-in ones, files, lists; each label once."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.errors import QueryError, SettingsError
from retrieval.labels import vocabulary
from retrieval.labels.vocabulary import read_labels
from retrieval.tag_text import clean_tag


def test_the_everyday_labels_are_tags_already_and_each_stands_once() -> None:
    labels = read_labels("builtin")
    assert 300 <= len(labels) <= 800
    assert [clean_tag(label) for label in labels] == list(labels)
    written = [line.strip() for line in vocabulary._EVERYDAY.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert [line for line in written if not line.startswith("#")] == list(labels)
    assert {"dog", "kitchen", "receipt", "screenshot", "wedding", "sunset", "car", "baby"} <= set(labels)


def test_a_file_has_a_label_a_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeff# mine\nThe Dog\n\n  cat  \nthe  dog\nred, white\r\n #no\n".encode())
    assert read_labels(str(path)) == ("The Dog", "cat", "red, white")


def test_a_list_has_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_labels("cat, dog ,,Cat,big  car") == ("cat", "dog", "big car")
    assert read_labels("dog") == ("dog",)
    monkeypatch.chdir(tmp_path)
    Path("cat,dog").write_text("horse\n", encoding="utf-8")
    assert read_labels("cat,dog") == ("horse",)
    assert len(read_labels(",".join(f"label {n}" for n in range(2000)))) == 2000  # longer than a file name may be


def test_what_holds_no_labels_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n\n", encoding="utf-8")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "bad.txt").write_text("cat\x1b[31m\n", encoding="utf-8")
    for name in ("empty.txt", "binary.txt", "missing.txt"):
        with pytest.raises(SettingsError, match=name):
            read_labels(str(tmp_path / name))
    with pytest.raises(SettingsError, match="no label"):
        read_labels(" , ,")
    with pytest.raises(QueryError, match="character"):
        read_labels(str(tmp_path / "bad.txt"))
    monkeypatch.setattr(vocabulary, "MAX_LABELS", 2)
    with pytest.raises(SettingsError, match="too many"):
        read_labels("a,b,c")
    monkeypatch.setattr(vocabulary, "_MAX_FILE_BYTES", 3)
    (tmp_path / "long.txt").write_text("a\nb\nc\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="larger than"):
        read_labels(str(tmp_path / "long.txt"))

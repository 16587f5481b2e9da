"""What a walk learns about files, one after another or many at the same time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from retrieval.indexing import found_files
from retrieval.indexing.found_files import AT_ONCE, BROKEN_LINK, FoundFile, Glances, Looks, look_at


def listed(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 files, and everything that is no ordinary file."""
    for number in range(60):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"x" * number)
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "link.jpg").symlink_to("07.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    return tmp_path


@pytest.mark.parametrize("slow_s", [0.0, 3600.0], ids=["a share", "a disk"])
def test_the_same_is_found_in_the_same_order(folder: Path, slow_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_files, "_SLOW_S", slow_s)
    entries = listed(folder)
    gone = entries[30]
    Path(gone.path).unlink()
    with Looks() as looks:
        found = looks(entries)
        assert looks(entries[:2]) == found[:2]
        assert looks([]) == []
    assert len(found) == len(entries)
    named = dict(zip([entry.name for entry in entries], found, strict=True))
    assert named.pop("pipe.jpg") is None and named.pop(gone.name) is None
    assert named.pop("broken.jpg") == FoundFile("broken.jpg", -1, -1, BROKEN_LINK)
    assert named.pop("link.jpg") == named["07.jpg"]._replace(name="link.jpg")  # type: ignore[union-attr]
    assert [(file.name, file.size) for file in named.values() if file is not None] == [
        (f"{number:02}.jpg", number) for number in range(60) if number != 30
    ]


def test_where_each_takes_long_many_are_asked_for_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are on their way wait for each other: one after another, they would wait for ever."""
    monkeypatch.setattr(found_files, "_SLOW_S", 0.0)
    together = threading.Barrier(AT_ONCE, timeout=60)
    entries = listed(folder)[: found_files._PROBED + AT_ONCE]
    asked = []

    def slow(entry: os.DirEntry[str]) -> FoundFile | None:
        asked.append(entry.name)
        if len(asked) > found_files._PROBED:
            together.wait()
        return look_at(entry)

    monkeypatch.setattr(found_files, "look_at", slow)
    with Looks() as looks:
        assert None not in looks(entries)
    assert sorted(asked) == [entry.name for entry in entries]


def test_no_thread_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_files, "_SLOW_S", 0.0)
    with Looks() as looks:
        looks(listed(folder))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stat")]


def test_a_glance_tells_names_only(folder: Path) -> None:
    with Glances() as glances:
        found = glances(listed(folder))
    assert found[0] == FoundFile("00.jpg", -1, -1) and found[-1] is None

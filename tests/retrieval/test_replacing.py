"""Files that are replaced: nothing half written is left, not even by runs that were killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from retrieval import regular_files
from retrieval.regular_files import replacing


def test_what_killed_runs_left_is_removed_when_it_is_an_hour_old(tmp_path: Path) -> None:
    old, new, other = (tmp_path / f".photoseek-{name}" for name in ("0a.part", "0b.part", "mine.txt"))
    for path in (old, new, other):
        path.write_text("left")
    for path in (old, other):
        os.utime(path, (time.time() - 3700,) * 2)
    regular_files._remove_leftovers.cache_clear()
    with replacing(tmp_path / "list.csv") as file:
        file.write(b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {new.name, other.name, "list.csv"}


def test_after_an_error_what_was_there_is_there(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("before")
    with pytest.raises(RuntimeError), replacing(tmp_path / "list.csv") as file:
        file.write(b"half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("list.csv", "before")]

"""The real ``photoseek index``: killed at any time, on the wrong device, with unreadable input."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.paths import CLI
from tests.conftest import EXAMPLES

BIRDS = EXAMPLES / "birds"


def photoseek(gallery: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PHOTOSEEK_GALLERY": str(gallery)}
    command = [sys.executable, CLI, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [("index", BIRDS), ("eval", "zeroshot", EXAMPLES), ("explain", "builtin-224", "--measure")],
    ids=lambda command: str(command[0]),
)
def test_no_command_falls_back_to_the_cpu_in_silence(command: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = photoseek(tmp_path / "gallery", *command, "--device", "cuda")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 2), done.stderr
    assert "runs on the CPU only" in done.stderr


@pytest.mark.parametrize("left", ["no byte", "no table", "no picture"])
def test_a_first_run_that_was_cut_off_is_done_again(left: str, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    if left == "no byte":
        (gallery / "catalog.sqlite").touch()
    elif left == "no table":
        with closing(sqlite3.connect(gallery / "catalog.sqlite")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    else:
        with Gallery(gallery).writer():
            pass
    done = photoseek(gallery, "index", BIRDS)
    assert done.returncode == 0, done.stderr
    assert photoseek(gallery, "search", "a bird", "-n", "1").returncode == 0


def test_an_index_of_what_cannot_be_read_says_so_and_so_does_a_search(tmp_path: Path) -> None:
    photos, gallery = tmp_path / "photos", tmp_path / "gallery"
    photos.mkdir()
    (photos / "broken.jpg").write_text("no picture")
    (photos / "a.mp3").write_text("sound")
    done = photoseek(gallery, "index", photos)
    assert done.returncode == 1
    for words in ("no picture could be indexed", "1 file could not be read", "audio 1"):
        assert words in done.stderr
    searched = photoseek(gallery, "search", "a bird")
    assert (searched.returncode, "1 file could not be read" in searched.stderr) == (3, True), searched.stderr

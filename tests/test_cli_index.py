"""The real ``photoseek index``: killed at any moment, on the wrong device, of what cannot be read."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
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


def test_a_command_killed_at_any_moment_can_be_given_again(tmp_path: Path) -> None:
    environment = {**os.environ, "PHOTOSEEK_GALLERY": str(tmp_path / "gallery")}
    catalog = tmp_path / "gallery/catalog.sqlite"
    killed = 0
    for delay in (0.0, 0.005, 0.02, 0.05, 0.2):  # after the file of the catalog is there
        shutil.rmtree(tmp_path / "gallery", ignore_errors=True)
        child = subprocess.Popen([sys.executable, CLI, "index", str(BIRDS)], env=environment, stderr=subprocess.DEVNULL)
        while not catalog.exists() and child.poll() is None:
            time.sleep(0.0005)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        done = photoseek(tmp_path / "gallery", "index", BIRDS)
        assert done.returncode == 0, (delay, done.stderr)
        with Gallery(tmp_path / "gallery").reader() as reader:
            assert reader.count() == len(list(BIRDS.iterdir()))
    assert killed


def test_an_index_of_what_cannot_be_read_says_so_and_so_does_a_search(tmp_path: Path) -> None:
    photos, gallery = tmp_path / "photos", tmp_path / "gallery"
    photos.mkdir()
    (photos / "broken.jpg").write_text("no picture")
    (photos / "a.cr2").write_text("raw")
    done = photoseek(gallery, "index", photos)
    assert done.returncode == 1
    for words in ("no picture could be indexed", "1 file could not be read", "RAW 1"):
        assert words in done.stderr
    searched = photoseek(gallery, "search", "a bird")
    assert (searched.returncode, "1 file could not be read" in searched.stderr) == (3, True), searched.stderr

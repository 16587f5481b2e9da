"""Galleries on full and on read-only disks: run by test_disks.py in a private mount namespace."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import EXAMPLES
from tests.crashes import Commands

ROOT = Path(__file__).parent.parent
BIRDS = EXAMPLES / "birds"
OWL = str(BIRDS / "owl.jpg")

READING = [
    ["search", "a dog"], ["search", "a dog", "--json", "--sort", "date"], ["search", "a dog", "--relevant"],
    ["similar", OWL], ["info"], ["label", OWL], ["duplicates"], ["clusters", "--k", "2"], ["map", "--method", "pca"],
]  # fmt: skip
WRITING = [
    ["label", OWL, "-t", "x"], ["label", str(BIRDS), "--import-xmp"], ["tag", "--labels", "cat,dog"],
    ["forget", str(BIRDS)], ["index", str(EXAMPLES / "space")], ["duplicates", "--trash", "--yes"],
    ["models", "drop", "builtin-224", "--yes"],
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made") / "gallery"
    Indexer(Gallery(place), load_encoder("builtin-224")).run(BIRDS)
    return place


@pytest.fixture
def disk(tmp_path: Path, made: Path) -> Iterator[Path]:
    """A file system of 4 MB with a gallery."""
    point = tmp_path / "disk"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", point], check=True)
    shutil.copytree(made, point / "gallery")
    yield point
    subprocess.run(["umount", point], check=True)


def fill(disk: Path) -> Path:
    """No byte is free afterwards; the file to remove for room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4096))
        except OSError:
            return ballast


class Photoseek(Protocol):
    def __call__(self, gallery: Path, *arguments: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="module")
def photoseek() -> Iterator[Photoseek]:
    """Each command in a fork of a process that has everything imported: there are many."""
    commands = Commands(Path(os.devnull) / "models")

    def run(gallery: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return commands.plain(gallery, *arguments, PHOTOSEEK_MODELS=str(gallery.parent / "models"))

    yield run
    commands.close()


def two_lines(done: subprocess.CompletedProcess[str], what: str, advice: str) -> None:
    assert done.returncode == 3, done.stderr
    first, second = done.stderr.splitlines()[-2:]
    assert first.startswith("photoseek: ") and what in first and advice in second, done.stderr
    assert "Traceback" not in done.stderr and "backup" not in done.stderr


def test_a_full_disk(disk: Path, photoseek: Photoseek) -> None:
    gallery = disk / "gallery"
    ballast = fill(disk)
    for asked in READING:
        done = photoseek(gallery, *asked)
        assert done.returncode == (1 if "--relevant" in asked else 0) and "Traceback" not in done.stderr, done.stderr
    for asked in WRITING:
        two_lines(photoseek(gallery, *asked), "the disk is full", "free some space")
    for file in ("x.html", "x/y"):
        flag = "--html" if "." in file else "--copy-to"
        done = photoseek(gallery, "search", "a dog", flag, str(disk / file))
        assert done.returncode == 3 and "full" in done.stderr + os.strerror(28).lower(), done.stderr
    ballast.unlink()
    assert photoseek(gallery, *WRITING[0]).returncode == 0
    assert photoseek(gallery, "search", "a dog", "--tag", "x", "--paths").stdout == OWL + "\n"


@pytest.mark.parametrize("was_cut_off", [False, True])
def test_a_folder_that_can_only_be_read(disk: Path, photoseek: Photoseek, was_cut_off: bool) -> None:
    gallery = disk / "gallery"
    for file in gallery.glob("catalog.sqlite-*"):
        file.unlink()
    if was_cut_off:  # what its last writer committed lies in the log alone
        code = (
            "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('PRAGMA wal_autocheckpoint = 0')\n"
            "c.execute(\"UPDATE images SET camera = 'Only in the log'\"); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", code, str(gallery / "catalog.sqlite")], check=True)
        (gallery / "catalog.sqlite-shm").unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for asked in READING:
        done = photoseek(gallery, *asked)
        assert done.returncode == (1 if "--relevant" in asked else 0), (asked, done.stderr)
    found = photoseek(gallery, "search", "a bird", "--json").stdout
    assert ("Only in the log" in found) == was_cut_off
    for asked in WRITING:
        two_lines(photoseek(gallery, *asked), "read-only", "mount it for writing")


def test_a_file_that_may_not_grow(disk: Path) -> None:
    """RLIMIT_FSIZE: as a quota or an old file system has it."""
    gallery = disk / "gallery"
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (33_000,) * 2); import cli\n"
    asked = [sys.executable, "-c", code + "cli.main()", "tag", "--labels", "cat,dog"]
    done = subprocess.run(
        asked, env=os.environ | {"PHOTOSEEK_GALLERY": str(gallery)}, cwd=ROOT, capture_output=True, text=True
    )
    two_lines(done, "the disk does not accept it", "ulimit")
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as catalog:
        assert catalog.execute("PRAGMA integrity_check").fetchone() == ("ok",)

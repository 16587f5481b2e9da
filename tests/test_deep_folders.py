"""Nested folders: deeper than Python's recursion limit, and longer than a path can be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES
from tests.test_cli import Run, run  # noqa: F401

pytest.importorskip("openvino")

LEVELS = 1200
OWL = EXAMPLES / "birds" / "owl.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Path]:
    """Removed by ``rm``: what Python and pytest remove folders with calls itself at every level."""
    folder = tmp_path / "photos"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def nest(folder: Path, name: str, shown: dict[int, Path]) -> None:
    """``LEVELS`` folders of one name in each other; in some of them a picture."""
    at = os.open(folder, os.O_RDONLY)
    for level in range(1, LEVELS + 1):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
        if level in shown:
            file = os.open(f"{level}.jpg", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at)
            with os.fdopen(file, "wb") as out:
                out.write(shown[level].read_bytes())
    os.close(at)


def test_a_picture_below_1200_folders_is_one_like_any_other(run: Run, photos: Path) -> None:  # noqa: F811
    nest(photos, "d", {600: OWL, LEVELS: EXAMPLES / "animals" / "dog.jpg"})
    code, _, err = run("index", photos)
    assert code == 0, err
    deepest = str(photos) + "/d" * LEVELS
    code, out, err = run("search", "a dog", "--paths", "-n", "1")
    assert (code, out, err) == (0, f"{deepest}/{LEVELS}.jpg\n", "")
    code, out, _ = run("search", "a dog", "--paths", "--under", str(photos) + "/d" * 601)
    assert code == 0 and len(out.splitlines()) == 1
    code, out, _ = run("similar", f"{deepest}/{LEVELS}.jpg", "--paths")
    assert code == 0 and out.endswith("/600.jpg\n")
    code, _, err = run("label", deepest, "--tag", "deep")
    assert code == 0 and "1 picture" in err
    code, _, err = run("index", "--dry-run")
    assert code == 0, err
    code, _, err = run("forget", str(photos) + "/d" * 601)
    assert code == 0 and "1 picture" in err
    code, _, _ = run("index")
    assert code == 0 and json.loads(run("info", "--json")[1])["images"] == 1


def test_what_lies_deeper_than_a_path_can_be_is_told_and_kept(run: Run, photos: Path) -> None:  # noqa: F811
    shutil.copy(OWL, photos)
    nest(photos, "folder", {300: EXAMPLES / "animals" / "dog.jpg", LEVELS: EXAMPLES / "animals" / "cow.jpg"})
    for folders in ((photos,), ()):
        code, _, err = run("index", *folders)
        assert code == 0, err
        told = [line for line in err.splitlines() if "name too long" in line]
        assert len(told) == 1 and "Traceback" not in err, err
        assert told[0].startswith(str(photos)) and "its 0 pictures are kept" in told[0]
        assert json.loads(run("info", "--json")[1])["images"] == 2
    code, out, err = run("search", "a dog", "--paths", "-n", "1")
    assert code == 0 and out.endswith("/300.jpg\n"), err

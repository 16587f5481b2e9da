"""A dry run says what the run after it does, and leaves everything as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from retrieval.encoders.base import Encoder
from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.comparison import Looks
from retrieval.indexing.dry_run import DryRun
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.report import IndexReport
from retrieval.indexing.wishes import Wishes
from retrieval.paths import CLI
from tests.pictures import save_picture

SAID = (
    "added", "updated", "encoded_again", "verified", "moved", "restored", "retired", "failed", "unchanged", "images",
    "failures_known", "passed_over", "lifted", "problems",
)  # fmt: skip


@pytest.fixture(scope="module")
def builtin() -> Encoder:
    return load_encoder("builtin-224")


def touch(file: Path, seconds: int) -> None:
    found = file.stat()
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns + seconds * 10**9))


def new(photos: Path) -> None:
    save_picture(photos / "new/new.png", "yellow", seed=90)
    save_picture(photos / "new.jpg", "yellow", seed=91)
    shutil.copy(photos / "new.jpg", photos / "new/unsure")


def changed(photos: Path) -> None:
    save_picture(photos / "green.jpg", "yellow", seed=92)
    touch(photos / "red-1.jpg", 5)
    (photos / "red-2.png").chmod(0o600)


def moved(photos: Path) -> None:
    (photos / "green.jpg").rename(photos / "a name.jpg")
    (photos / "trip").rename(photos / "another trip")


def swapped_and_copied(photos: Path) -> None:
    (photos / "green.jpg").rename(photos / "aside")
    (photos / "red-1.jpg").rename(photos / "green.jpg")
    (photos / "aside").rename(photos / "red-1.jpg")
    shutil.copy(photos / "trip/blue-1.jpg", photos / "copy-1.jpg")
    (photos / "trip/blue-1.jpg").rename(photos / "copy-2.jpg")


def gone(photos: Path) -> None:
    (photos / "green.jpg").unlink()
    shutil.rmtree(photos / "trip/day two")


def back(photos: Path) -> None:
    (photos / "kept/once.jpg").rename(photos / "once.jpg")
    shutil.rmtree(photos / "kept")


def unreadable(photos: Path) -> None:
    (photos / "text.jpg").write_text("no picture")
    (photos / "green.jpg").write_text("no picture any more")
    (photos / "nowhere.jpg").symlink_to("nothing")
    (photos / "film.mp4").touch()
    (photos / "raw.cr2").touch()
    (photos / "@eaDir").mkdir()
    (photos / "was broken.jpg").unlink()
    (photos / "was broken too.jpg").unlink()
    save_picture(photos / "was broken too.jpg", "yellow", seed=93)


def root_gone(photos: Path) -> None:
    photos.rename(photos.with_name("elsewhere"))


CASES: dict[str, tuple[Callable[[Path], None], Wishes, Looks]] = {
    "nothing": (lambda _: None, Wishes(), Looks()),
    "new": (new, Wishes(), Looks()),
    "changed": (changed, Wishes(), Looks()),
    "moved": (moved, Wishes(), Looks()),
    "swapped and copied": (swapped_and_copied, Wishes(), Looks()),
    "gone": (gone, Wishes(), Looks()),
    "back": (back, Wishes(), Looks()),
    "unreadable": (unreadable, Wishes(), Looks()),
    "failures again": (lambda _: None, Wishes(), Looks(retry_failures=True)),
    "every file": (gone, Wishes(), Looks(verify_content=True)),
    "left out": (new, Wishes(exclude=["trip/", "*.png"]), Looks()),
    "taken back": (new, Wishes(include=["left.jpg"]), Looks()),
    "all taken back": (new, Wishes(no_exclude=True), Looks()),
    "root gone": (root_gone, Wishes(), Looks()),
    "root deleted": (root_gone, Wishes(), Looks(prune=True)),
}


def state(folder: Path) -> dict[str, str]:
    """What SQLite and the writer's lock leave behind does not count."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    shared = ("catalog.sqlite-shm", "catalog.sqlite-wal")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.name not in shared}


def said(report: IndexReport) -> dict[str, Any]:
    values = report.as_dict()
    return {name: values[name] for name in SAID}


@pytest.fixture
def begun(gallery: Gallery, photos: Path, builtin: Encoder) -> Gallery:
    """With a retired picture, two failures, and one that is left out."""
    save_picture(photos / "once.jpg", "yellow", seed=80)
    save_picture(photos / "left.jpg", "yellow", seed=81)
    for name in ("was broken.jpg", "was broken too.jpg"):
        (photos / name).write_text("no picture")
    Indexer(gallery, builtin).run(photos, exclude=["left.jpg"])
    (photos / "kept").mkdir()
    (photos / ".photoseekignore").write_text("kept/\n")
    (photos / "once.jpg").rename(photos / "kept/once.jpg")
    Indexer(gallery, builtin).run(photos)
    return gallery


@pytest.mark.parametrize("case", CASES)
def test_it_says_what_the_run_does_and_changes_nothing(
    case: str, begun: Gallery, photos: Path, builtin: Encoder
) -> None:
    change, wishes, looks = CASES[case]
    change(photos)
    before = state(begun.path.parent)
    with begun.writer():  # a run that holds the gallery is not in the way
        promised = DryRun(begun).run((), wishes, looks)
    assert state(begun.path.parent) == before
    assert promised.is_dry_run
    report = Indexer(begun, builtin).run(
        (),
        exclude=wishes.exclude,
        include=wishes.include,
        no_exclude=wishes.no_exclude,
        retry_failures=looks.retry_failures,
        verify_content=looks.verify_content,
        prune=looks.prune,
    )
    assert said(promised) == said(report)


def test_another_model_has_to_see_every_picture(begun: Gallery) -> None:
    promised = DryRun(begun, model="ViT-B-32-quickgelu/openai").run((), Wishes(), Looks())
    assert (promised.counts.encoded_again, promised.images) == (6, 6)


def photoseek(gallery: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PHOTOSEEK_GALLERY": str(gallery)}
    command: Sequence[str] = [sys.executable, CLI, "index", "--dry-run", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_makes_no_gallery(photos: Path, tmp_path: Path) -> None:
    done = photoseek(tmp_path / "none", photos)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "nothing is written" in done.stderr
    assert ["new", "6"] in [line.split() for line in done.stderr.splitlines()]
    assert not (tmp_path / "none").exists()


def test_the_command_tells_programs(photos: Path, tmp_path: Path) -> None:
    done = photoseek(tmp_path / "none", photos, "--json-progress")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [told[0]["event"], told[-1]["event"]] == ["begin", "report"]
    assert (told[0]["device"], told[-1]["report"]["added"], told[-1]["report"]["dry_run"]) == (None, 6, True)


@pytest.mark.parametrize(
    ("arguments", "code"), [(["empty"], 1), (["missing"], 2), ([], 2), (["empty", "--model", "no such model"], 2)]
)
def test_the_command_ends_as_a_run_would(arguments: list[str], code: int, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    given = [tmp_path / word if word in ("empty", "missing") else word for word in arguments]
    done = photoseek(tmp_path / "none", *given)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr

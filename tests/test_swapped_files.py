"""Every file of a gallery replaced by that of another gallery, and by an older one of the same gallery.

``EXPECTED`` has a line for each kind of file that a gallery can have: a file that it does not know fails the test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from retrieval.gallery import Gallery
from retrieval.rendering.thumbnail_store import ThumbnailStore
from tests.crashes import Commands, check_index
from tests.pictures import save_picture
from tests.retrieval.states import rows

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

SCORE = 2e-3
SAME = "answers as before"
THEIRS = "answers as the gallery did that it comes from"

EXPECTED = {
    "catalog.sqlite": THEIRS,
    "catalog.sqlite-wal": "empty between runs; see below for one that is not",
    "catalog.sqlite-shm": SAME,
    "index/*/base-*.faiss": SAME,
    "index/*/ids-*.npy": SAME,
    "index/*/vectors-*.npy": SAME,
    "index/*/manifest.json": SAME,
    "index/*/tuning.json": SAME,
    "relevance/*/background.f4": SAME,
    "relevance/*/measured.json": SAME,
    "text-cache.sqlite": SAME,
    "text-cache.sqlite-wal": SAME,
    "text-cache.sqlite-shm": SAME,
    "thumbnails.sqlite": SAME,
    "thumbnails.sqlite-wal": SAME,
    "thumbnails.sqlite-shm": SAME,
    "thumbnails.lock": SAME,
    "label-copies/*.sqlite": SAME,
    "trash/*/manifest.jsonl": SAME,
    "trash/*/*.jpg": SAME,
    "trash/.photoseekignore": SAME,
    "config.toml": SAME,
    "writer.lock": SAME,
    "labels.lock": SAME,
}
LISTS = ("trash/*/manifest.jsonl", "trash/*/*.jpg")

QUESTIONS = ("red", "a blue picture")
Answers = dict[str, float]


class World(NamedTuple):
    """A gallery with every kind of file, its older state, and another one with as many pictures."""

    gallery: Path
    older: Path
    other: Path
    right: dict[str, dict[str, Answers]]


def kind_of(name: str) -> str:
    """A file's relative name, without what differs from gallery to gallery."""
    name = re.sub(r"\b[0-9a-f]{16}\b", "*", name)
    name = re.sub(r"^(trash)/[^/]+/(?!manifest)[^/]+\.", r"\1/*/*.", name)
    name = re.sub(r"^(trash)/[^/]+/manifest", r"\1/*/manifest", name)
    return re.sub(r"^(label-copies)/.*(\.sqlite)", r"\1/*\2", name)


def files_of(gallery: Path) -> dict[str, list[Path]]:
    """Kind -> the files of that kind."""
    found: dict[str, list[Path]] = {}
    for path in sorted(gallery.rglob("*")):
        if path.is_file():
            found.setdefault(kind_of(str(path.relative_to(gallery))), []).append(path)
    return found


def _make(
    commands: Commands, gallery: Path, photos: Path, colours: tuple[str, ...], spec: str, older: Path | None = None
) -> None:
    for number in range(10):
        colour = colours[number % len(colours)]
        save_picture(photos / f"{number}.jpg", colour, seed=number + 50 * len(colours), size=(40, 30))
    shutil.copy(photos / "0.jpg", photos / "copy.jpg")
    steps = [
        ["index", str(photos), "--workers", "1", "--index", spec, "--thumbnails"],
        ["label", str(photos), "--tag", colours[0]],
        ["search", "red", "--relevant"],
        ["tune"],
        ["duplicates", "--trash", "--yes"],
        ["config", "set", "search.limit", "20", "--in-gallery"],
        ["index", "--workers", "1"],
    ]
    for step in steps:
        ended = commands.plain(gallery, *step)
        assert ended.returncode in (0, 1), (step, ended.stderr)
    if older is None:
        return
    shutil.copytree(gallery, older)
    shutil.move(photos / "1.jpg", photos / "moved.jpg")
    shutil.move(photos / "2.jpg", photos / "1.jpg")  # what is at this name is another picture now
    save_picture(photos / "0.jpg", "yellow", seed=99, size=(40, 30))
    for step in (["index", "--workers", "1"], ["label", str(photos / "1.jpg"), "--caption", "another"]):
        assert commands.plain(gallery, *step).returncode == 0


def _answers(commands: Commands, gallery: Path) -> dict[str, Answers]:
    found = {}
    for question in QUESTIONS:
        ended = commands.plain(gallery, "search", question, "--json", "-n", "all")
        assert "Traceback" not in ended.stderr and "a fault in the program" not in ended.stderr, ended.stderr
        assert ended.returncode in (0, 1), ended.stderr
        hits = [json.loads(line) for line in ended.stdout.splitlines()]
        found[question] = {hit["path"]: hit["score"] for hit in hits}
        assert len(found[question]) == len(hits)
    return found


@pytest.fixture(scope="module")
def worlds(commands: Commands, place: Path) -> dict[str, World]:
    """By the kind of index: each has other files."""
    made = {}
    for spec in ("HNSW32", "Exact"):
        at = place / spec
        gallery, older, other = (at / name for name in ("gallery", "older", "other"))
        _make(commands, other, at / "others", ("blue", "green", "white", "yellow"), spec)
        _make(commands, gallery, at / "photos", ("red", "blue", "green"), spec, older)
        right = {path.name: _answers(commands, path) for path in (gallery, other)}
        right["older"] = right["gallery"]  # what changed since is not shown, or shown as what it is
        made[spec] = World(gallery, older, other, right)
    return made


def _is_right(found: dict[str, Answers], right: dict[str, Answers], *, whole: bool) -> None:
    for question, hits in found.items():
        wrong = {path: score for path, score in hits.items() if abs(right[question].get(path, 9) - score) > SCORE}
        assert not wrong, f"{question}: scores that these pictures do not have: {wrong}"
        if whole:
            assert hits.keys() == right[question].keys(), question


def _check_thumbnails(gallery: Path, true: dict[tuple[bytes, int], bytes]) -> None:
    """A stored thumbnail is the one of its picture, or none."""
    store = ThumbnailStore(gallery)
    for (content, side), data in true.items():
        assert store.find(content, side) in (None, data), "another picture's thumbnail"
    store.close()


def _thumbnails(gallery: Path) -> dict[tuple[bytes, int], bytes]:
    sql = "SELECT t.hash, t.side, p.data FROM thumbnails AS t JOIN pictures AS p ON p.id = t.id"
    with closing(sqlite3.connect(gallery / "thumbnails.sqlite")) as connection:
        return {(content, side): data for content, side, data in connection.execute(sql)}


def test_every_file_of_a_full_gallery_is_known(worlds: dict[str, World]) -> None:
    found = files_of(worlds["HNSW32"].gallery) | files_of(worlds["Exact"].gallery)
    assert found.keys() <= EXPECTED.keys(), "say in EXPECTED what happens if these are exchanged"
    always = {kind for kind in EXPECTED if not re.search(r"-(wal|shm)$|\.lock$", kind)}
    assert always <= found.keys(), "and make the gallery of this test have them"


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("source", ["other", "older", "missing"])
def test_a_file_of_another_gallery_shows_no_wrong_picture(
    kind: str, source: str, worlds: dict[str, World], commands: Commands, place: Path
) -> None:
    world = worlds["Exact" if "vectors" in kind else "HNSW32"]
    true = _thumbnails(world.gallery)
    mine = files_of(world.gallery).get(kind, [])
    theirs = [] if source == "missing" else files_of(getattr(world, source)).get(kind, [])
    if not mine or (not theirs and source != "missing"):
        pytest.skip("this file is not always there")
    gallery = place / "swapped"
    shutil.rmtree(gallery, ignore_errors=True)
    shutil.copytree(world.gallery, gallery)
    target = gallery / mine[-1].relative_to(world.gallery)
    target.unlink()
    if theirs:
        shutil.copy(theirs[-1], target)
    if kind == "catalog.sqlite":
        if source == "missing":
            ended = commands.plain(gallery, "search", "red")
            assert ended.returncode == 3 and len(ended.stderr.splitlines()) == 2, ended.stderr
            return
        _is_right(_answers(commands, gallery), world.right[source], whole=source == "other")
    else:
        _is_right(_answers(commands, gallery), world.right["gallery"], whole=True)
    _check_thumbnails(gallery, true)

    is_of_an_index = kind.startswith("index/") and "tuning" not in kind
    if theirs and is_of_an_index and theirs[-1].read_bytes() != mine[-1].read_bytes():
        told = commands.plain(gallery, "verify")
        assert told.returncode == 3 and "index" in told.stdout, told.stdout
    repaired = commands.plain(gallery, "verify", "--repair")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    again = commands.plain(gallery, "index", "--workers", "1")
    assert again.returncode == 0, again.stderr
    check_index(gallery)
    source_of = source if kind == "catalog.sqlite" and source == "other" else "gallery"
    _is_right(_answers(commands, gallery), world.right[source_of], whole=True)
    if kind in LISTS:
        _check_undo(commands, gallery, world.gallery.parent)
    if kind.startswith("label-copies"):
        labels = "SELECT i.name, t.tag FROM tags AS t JOIN images AS i ON i.id = t.image_id ORDER BY 1, 2"
        before = rows(Gallery(gallery), labels)
        assert commands.plain(gallery, "restore", "--labels", "--yes").returncode in (0, 1, 2, 3)
        assert rows(Gallery(gallery), labels) == before, "labels of another gallery's pictures"


def _check_undo(commands: Commands, gallery: Path, place: Path) -> None:
    """Nothing is put over a file, and what another gallery threw away does not appear among these pictures."""
    before = {path: path.read_bytes() for folder in ("photos", "others") for path in (place / folder).rglob("*.jpg")}
    ended = commands.plain(gallery, "duplicates", "--undo", "--yes")
    assert "Traceback" not in ended.stderr, ended.stderr
    for path, content in before.items():
        assert path.read_bytes() == content
    for folder in ("photos", "others"):
        for path in (place / folder).rglob("*.jpg"):
            if path not in before:
                path.unlink()


@pytest.mark.parametrize("source", ["other", "older"])
def test_a_catalog_beside_the_log_of_another_is_right_or_noticed(
    source: str, worlds: dict[str, World], commands: Commands, place: Path
) -> None:
    """SQLite applies a log to whatever file is beside it."""
    world, gallery = worlds["HNSW32"], place / "mixed"
    shutil.rmtree(gallery, ignore_errors=True)
    shutil.copytree(world.gallery, gallery)
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as writing:
        writing.execute("PRAGMA wal_autocheckpoint = 0")
        writing.execute("UPDATE images SET width = width + 1 WHERE id % 2")
        writing.commit()
        log = (gallery / "catalog.sqlite-wal").read_bytes()
    assert log
    shutil.copy(getattr(world, source) / "catalog.sqlite", gallery)
    (gallery / "catalog.sqlite-shm").unlink(missing_ok=True)
    (gallery / "catalog.sqlite-wal").write_bytes(log)
    right = {question: world.right["gallery"][question] | world.right[source][question] for question in QUESTIONS}
    ended = commands.plain(gallery, "verify")
    assert "Traceback" not in ended.stderr and "a fault in the program" not in ended.stderr, ended.stderr
    if ended.returncode == 0:
        _is_right(_answers(commands, gallery), right, whole=False)
    else:
        assert ended.returncode == 3 and "catalog" in ended.stdout, ended.stdout
    print(f"{source}: verify {ended.returncode}")

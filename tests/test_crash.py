"""SIGKILL at every stage of a run: committed data are kept, catalog and index agree, the next run completes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retrieval.errors import GalleryNotFound
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.crash_child import SIZE
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture, save_picture
from tests.retrieval.states import check_agreement, embedded, failing, found, ids, move, present, rows, settled

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PICTURES = 48
BAD = 4
SPREAD = 24
"""Points spread evenly over all events of a run, besides those that are chosen by name."""

BY_NAME = {
    "retrieval/catalog/schema.py:upgrade": "migration",
    "retrieval/catalog/migrations/versions/0001_first_catalog.py:upgrade": "migration",
    "retrieval/catalog/writer.py:register_encoder": "begin",
    "retrieval/catalog/writer.py:begin_run": "begin",
    "retrieval/indexing/scan.py:_list_folder": "walk",
    "retrieval/indexing/comparison.py:finish": "walk",
    "retrieval/pictures/decoding.py:picture_in": "decode",
    "retrieval/indexing/pipeline.py:_embed": "encode",
    "retrieval/catalog/writer.py:commit": "commit",
    "retrieval/catalog/commit.py:_commit_image": "commit",
    "retrieval/catalog/commit.py:_retire": "commit",
    "c:commit": "commit",
    "retrieval/sync.py:catch_up": "index",
    "indexes/snapshot.py:save_snapshot": "save",
    "indexes/snapshot.py:_sync": "save",
    "c:fsync": "save",
    "c:replace": "save",
    "indexes/snapshot.py:_remove_leftovers": "save",
    "retrieval/catalog/writer.py:finish_run": "finish",
}
"""Event -> the stage that it stands for."""

Point = tuple[str, int]
"""The event at which a run is killed: its name and which time it happens. Or ``SIZE``, and so many bytes: in the write
that would make a file longer."""


class Runner:
    """Talks to ``tests.crash_child``."""

    def __init__(self, folder: Path) -> None:
        self.log, self._trace = folder / "commits.jsonl", folder / "trace.json"
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.crash_child"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        gallery: Gallery,
        photos: Path,
        *,
        point: Point | None = None,
        trace: bool = False,
    ) -> int:
        """One run that is killed at a point, if at all; its wait status."""
        self.log.unlink(missing_ok=True)
        job = {
            "gallery": str(gallery.path),
            "photos": str(photos),
            "log": str(self.log),
            "point": point,
            "trace": str(self._trace) if trace else None,
        }
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(job) + "\n")
        self._child.stdin.flush()
        status: int = json.loads(self._child.stdout.readline())
        return status

    def traced(self) -> list[str]:
        """Names of the events of the last run with ``trace``."""
        events: list[str] = json.loads(self._trace.read_text())
        return events

    def committed(self) -> list[dict[str, Any]]:
        """What the last run was told to be on disk."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def close(self) -> None:
        self._child.communicate()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    made = Runner(tmp_path_factory.mktemp("crash"))
    yield made
    made.close()


@dataclass
class Scene:
    """A folder, the gallery as it is before the run that will be killed, and what a complete run makes of it."""

    photos: Path
    before: Path | None
    expected: dict[str, tuple[bytes, bytes | None]]
    expected_ids: dict[str, int]
    events: list[str]
    bytes_of_catalog: int

    def points(self) -> list[Point]:
        """By name: the first time of each, and one in the middle or the last; and evenly over everything."""
        total = Counter(self.events)
        chosen = []
        for number, (name, last) in enumerate((name, total[name]) for name in BY_NAME if name in total):
            chosen += [(name, 1), (name, last if number % 2 else last * 2 // 3)]
        for number in range(SPREAD):
            at = (2 * number + 1) * len(self.events) // (2 * SPREAD)
            chosen.append((self.events[at], self.events[: at + 1].count(self.events[at])))
        return list(dict.fromkeys(point for point in chosen if point[1]))


@pytest.fixture(scope="module")
def galleries() -> Iterator[Path]:
    """A folder in memory where there is one: SIGKILL leaves the same there, and each fsync costs nothing."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


def _photos(folder: Path) -> Path:
    for number in range(PICTURES):
        colour = ("red", "green", "blue", "yellow")[number % 4]
        save_picture(folder / f"album {number // 12}" / f"{number:02}.png", colour, seed=number, size=(8, 8))
    for number in range(BAD):
        (folder / f"album {number}" / f"bad-{number}.jpg").write_bytes(b"\xff\xd8\xff no")
    return folder


def _change(photos: Path) -> None:
    """What may happen to a folder between two runs."""
    move(photos / "album 0" / "01.png", photos / "album 3" / "moved.png")
    move(photos / "album 3" / "40.png", photos / "a new album" / "moved.png")
    move(photos / "album 1", photos / "z album 1")
    for number in (2, 26):
        replace_picture(photos / f"album {number // 12}" / f"{number:02}.png", "white", seed=number, size=(8, 8))
    (photos / "album 0" / "03.png").unlink()
    (photos / "album 2" / "30.png").unlink()
    shutil.copy(photos / "album 2" / "31.png", photos / "album 0" / "copy.png")
    (photos / "album 2" / "32.png").write_bytes(b"turned bad")
    replace_picture(photos / "album 0" / "bad-0.jpg", "white", seed=77)
    (photos / "album 3" / "bad-3.jpg").unlink()


@pytest.fixture(scope="module", params=["a new gallery", "a gallery half way, after changes"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, galleries: Path, runner: Runner
) -> Scene:
    folder = Path(tempfile.mkdtemp(dir=galleries))
    photos, before, encoder = _photos(tmp_path_factory.mktemp("scene") / "photos"), None, ColourEncoder(batch_size=3)
    if request.param != "a new gallery":
        before = folder / "before"
        # One picture a chunk: what is in flight at the stop then never reaches the end.
        half = ColourEncoder(batch_size=1)
        report = Indexer(Gallery(before), half).run(photos, stop=lambda: half.encoded >= 30)
        assert 30 <= report.images < PICTURES
        _change(photos)
    whole = Gallery(folder / "whole")
    if before is not None:
        shutil.copytree(before, whole.path)
    assert runner.run(whole, photos, trace=True) == 0
    check_agreement(whole, encoder)
    size = whole.catalog_path.stat().st_size
    return Scene(photos, before, embedded(whole, encoder), ids(whole, encoder, photos), runner.traced(), size)


def _gallery(scene: Scene, path: Path) -> Gallery:
    if scene.before is not None:
        shutil.copytree(scene.before, path)
    return Gallery(path)


def _check_committed(gallery: Gallery, encoder: ColourEncoder, log: list[dict[str, Any]]) -> None:
    """Every row of every transaction that had returned is there."""
    there = {
        (folder_id, os.fsdecode(name)): (digest.hex(), bool(is_retired))
        for folder_id, name, digest, is_retired in rows(
            gallery, "SELECT folder_id, name, content_hash, is_retired FROM images"
        )
    }
    failures = {(row[0], os.fsdecode(row[1])) for row in rows(gallery, "SELECT folder_id, name FROM failures")}
    paths = {id_: path for path, (id_, _, _) in present(gallery, encoder).items()}
    for batch in log:
        for folder_id, name, digest in batch["indexed"]:
            assert there[folder_id, name] == (digest, False)
        assert failures >= {(folder_id, name) for folder_id, name in batch["failed"]}
        for id_ in batch["retired"]:  # unless a later transaction found where it went
            assert id_ not in paths or Path(paths[id_]).exists()


def _check_after_kill(gallery: Gallery, encoder: ColourEncoder, log: list[dict[str, Any]]) -> set[bytes]:
    """The content hashes of the images that are there."""
    try:
        with gallery.reader() as reader:
            images, encoders, active = reader.count(), reader.encoders(), reader.active_encoder()
    except GalleryNotFound:  # killed before the first migration was committed
        assert not log
        return set()
    _check_committed(gallery, encoder, log)
    if encoders:
        check_agreement(gallery, encoder)
    if images:
        assert active is not None
        assert len(found(gallery, encoder)) == images
    return {digest for digest, _ in embedded(gallery, encoder).values()}


def _check_completion(gallery: Gallery, encoder: ColourEncoder, scene: Scene, had: set[bytes]) -> None:
    report = Indexer(gallery, encoder).run(scene.photos)
    assert not report.interrupted
    assert report.problems == []
    assert embedded(gallery, encoder) == scene.expected
    assert encoder.encoded <= sum(digest not in had for digest, _ in scene.expected.values())
    assert settled(report) == len(scene.expected) + len(failing(gallery))
    assert len(failing(gallery)) == (BAD if scene.before is None else BAD - 1)
    if scene.before is not None:  # what was known before keeps its id, whatever happened to it
        known = present(Gallery(scene.before), encoder).values()
        last = max(id_ for id_, *_ in known)
        after = ids(gallery, encoder, scene.photos)
        assert {path: id_ for path, id_ in after.items() if id_ <= last} == {
            path: id_ for path, id_ in scene.expected_ids.items() if id_ <= last
        }
    check_agreement(gallery, encoder)
    assert Indexer(gallery, encoder).run(scene.photos).unchanged == settled(report)


def _killed(runner: Runner, scene: Scene, folder: Path, point: Point) -> bool:
    """Kill one run, look at what it left, complete it; False if the run was over before it could be killed."""
    gallery, encoder = _gallery(scene, folder / "gallery"), ColourEncoder(batch_size=3)
    status = runner.run(gallery, scene.photos, point=point)
    assert status == 0 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGXFSZ))
    try:
        had = _check_after_kill(gallery, encoder, runner.committed())
        assert had or scene.before is None
        _check_completion(gallery, encoder, scene, had)
    except Exception as error:
        raise AssertionError(f"after a kill at {point}") from error
    shutil.rmtree(gallery.path)
    return status != 0


def test_a_run_killed_at_any_point_loses_nothing_and_the_next_one_completes(
    runner: Runner, scene: Scene, galleries: Path
) -> None:
    points = scene.points()
    killed = [point for point in points if _killed(runner, scene, galleries, point)]
    assert len(killed) >= 50
    wanted = set(BY_NAME.values()) - ({"migration"} if scene.before is not None else set())
    assert {BY_NAME[name] for name, _ in killed if name in BY_NAME} == wanted


def test_a_run_killed_in_the_middle_of_a_write_loses_nothing_and_the_next_one_completes(
    runner: Runner, scene: Scene, galleries: Path
) -> None:
    sizes = [scene.bytes_of_catalog * (2 * number + 1) // 20 for number in range(10)]
    killed = [size for size in sizes if _killed(runner, scene, galleries, (SIZE, size))]
    assert len(killed) >= 5

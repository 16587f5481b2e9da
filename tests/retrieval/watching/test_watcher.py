"""Watching real folders: what happens there is in the catalog sooner or later, whatever the events say."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retrieval.encoders.registry import load_encoder
from retrieval.errors import GalleryLocked, SystemProblem
from retrieval.filters import Filter, parse_filter
from retrieval.gallery import Gallery
from retrieval.indexing.focus import Focus
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.report import IndexReport
from retrieval.watching import events
from retrieval.watching import watcher as watching
from retrieval.watching.events import Hints, Listener
from retrieval.watching.following import Follower
from retrieval.watching.watcher import Manners, Watcher
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.xmp_files import packet

pytest.importorskip("watchfiles", reason="needs photoseek[watch]")

PATIENCE_S = 120.0
"""Reached only where something is lost."""


def known(gallery: Gallery) -> dict[str, tuple[int, int]]:
    with gallery.reader() as reader:
        records = reader.records(reader.select(Filter()).tolist())
    return {record.path: (record.size, record.mtime_ns) for record in records}


def on_disk(folder: Path) -> dict[str, tuple[int, int]]:
    found = [path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


class Watching:
    """A watcher in a thread, with what it said and which runs it made."""

    def __init__(self, gallery: Gallery, roots: list[Path], manners: Manners, fail: list[Exception]) -> None:
        self.gallery, self.said, self.runs = gallery, [], []
        self.sidecars: list[str] = []
        self.quiet: list[bool] = []
        self.work_is_done = threading.Event()
        self._stopped = threading.Event()
        indexer = Indexer(gallery, ColourEncoder())

        def run(roots: list[str], focus: Focus, stop: Callable[[], bool]) -> IndexReport:
            if fail:
                raise fail.pop()
            report = indexer.run(roots, focus=focus, stop=stop)
            self.runs.append(focus)
            return report

        names = [str(root) for root in roots]
        self.watcher = Watcher(names, run, self.said.append, manners, self.sidecars.extend, self._quiet)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self.watcher.watch, args=(self._stopped.is_set,))
        self._thread.start()

    def _quiet(self, ends: Callable[[], bool]) -> None:
        """Slow work: it goes on until something happens, or ``work_is_done``."""
        self.quiet.append(False)
        while not self.work_is_done.is_set() and not ends():
            time.sleep(0.01)
        self.quiet[-1] = True

    def follows(self, folder: Path) -> None:
        until(lambda: self.gallery.exists() and bool(self.runs) and known(self.gallery) == on_disk(folder))

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def watch(gallery: Gallery, photos: Path) -> Iterator[Callable[..., Watching]]:
    begun: list[Watching] = []

    def begin(*roots: Path, fail: list[Exception] | None = None, **manners: object) -> Watching:
        given = Manners(**{"look_every_s": 0, **manners})  # type: ignore[arg-type]
        begun.append(Watching(gallery, list(roots) or [photos], given, fail or []))
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()


def test_what_comes_changes_moves_and_goes(watch: Callable[..., Watching], photos: Path, tmp_path: Path) -> None:
    watching = watch()
    watching.follows(photos)
    save_picture(photos / "new.jpg", "green", seed=70)
    watching.follows(photos)
    save_picture(photos / "new.jpg", "blue", seed=71)
    watching.follows(photos)
    (photos / "new.jpg").rename(photos / "trip" / "moved.jpg")
    watching.follows(photos)
    (photos / "trip").rename(photos / "journey")  # a folder with a folder inside
    watching.follows(photos)
    outside = tmp_path / "outside"
    (photos / "journey").rename(outside)
    watching.follows(photos)
    outside.rename(photos / "back")
    watching.follows(photos)
    shutil.rmtree(photos / "back")
    watching.follows(photos)
    assert not watching.runs[-1].is_whole and watching.runs[0].is_whole


def test_slow_work_is_done_in_the_quiet_and_makes_way(watch: Callable[..., Watching], photos: Path) -> None:
    watching = watch()
    watching.follows(photos)
    until(lambda: watching.quiet[-1:] == [False])  # late events of the first pictures may have ended it before
    begun = len(watching.quiet)
    save_picture(photos / "later.jpg", "blue", seed=77)
    until(lambda: watching.quiet[begun - 1])
    watching.follows(photos)
    watching.work_is_done.set()
    until(lambda: len(watching.quiet) > begun and watching.quiet[-1])


def test_listening_begins_anew_after_folders_came(
    watch: Callable[..., Watching], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "RENEWED_S", 0.05)
    begun = watch()
    begun.follows(photos)
    first = begun.watcher._listener
    (photos / "trip").rename(photos / "a")
    (photos / "a").rename(photos / "b")
    until(lambda: begun.watcher._listener is not first)
    save_picture(photos / "b" / "day two" / "new.jpg", "red", seed=90)
    begun.follows(photos)


def test_a_flood_moved_in(watch: Callable[..., Watching], photos: Path, tmp_path: Path) -> None:
    watching = watch()
    watching.follows(photos)
    flood = tmp_path / "flood"
    one = save_picture(tmp_path / "one.png", "red", seed=5)
    flood.mkdir()
    for number in range(400):
        folder = flood / str(number % 40)
        folder.mkdir(exist_ok=True)
        shutil.copyfile(one, folder / f"{number}.png")
    flood.rename(photos / "flood")
    watching.follows(photos)


def test_thousands_of_files_at_once_are_all_found_with_few_places_remembered(
    watch: Callable[..., Watching], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_PLACES", 50)
    most, look = [0], Hints.look

    def counted(hints: Hints, **places: object) -> None:
        look(hints, **places)  # type: ignore[arg-type]
        with hints._lock:
            most[0] = max(most[0], len(hints._folders) + len(hints._trees) + len(hints._came))

    monkeypatch.setattr(Hints, "look", counted)
    watching = watch()
    watching.follows(photos)
    data = save_picture(tmp_path / "one.png", "red", seed=5).read_bytes()
    before = len(known(watching.gallery))
    for number in range(2_000):
        folder = photos / "flood" / str(number % 200)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(data)

    def present() -> int:
        with watching.gallery.reader() as reader:
            return len(reader.select(Filter()))

    until(lambda: present() == before + 2_000)
    assert known(watching.gallery) == on_disk(photos)
    assert 0 < most[0] <= 2 * 50


def test_a_file_in_the_making_is_waited_for(watch: Callable[..., Watching], photos: Path, tmp_path: Path) -> None:
    watching = watch()
    watching.follows(photos)
    data = save_picture(tmp_path / "whole.jpg", "red", seed=9).read_bytes()
    with (photos / "slow.jpg").open("wb", buffering=0) as file:
        file.write(data[: len(data) // 2])
        draft = photos / ".slow.jpg.Ab12Cd"
        draft.write_bytes(data)
        save_picture(photos / "other.jpg", "blue", seed=10)
        until(lambda: str(photos / "other.jpg") in known(watching.gallery))
        file.write(data[len(data) // 2 :])
    draft.rename(photos / "renamed.jpg")
    watching.follows(photos)
    with watching.gallery.reader() as reader:
        assert reader.failures() == []


def test_files_that_wait_in_several_folders_are_all_taken(watch: Callable[..., Watching], photos: Path) -> None:
    begun = watch()
    begun.follows(photos)
    for number in range(12):  # each is held once, while the run over the next folder begins
        save_picture(photos / f"folder {number}" / "new.jpg", "red", seed=100 + number)
        time.sleep(0.2)
    begun.follows(photos)


def test_ignore_files_and_sidecars_count(watch: Callable[..., Watching], photos: Path) -> None:
    watching = watch()
    watching.follows(photos)
    (photos / "trip" / ".photoseekignore").write_text("*\n")
    until(lambda: not any("trip" in path for path in known(watching.gallery)))
    (photos / "trip" / ".photoseekignore").unlink()
    watching.follows(photos)
    (photos / "red-1.xmp").write_text("<x/>")
    until(lambda: watching.sidecars == [str(photos / "red-1.xmp")])


def test_another_writer_is_waited_for(watch: Callable[..., Watching], photos: Path, gallery: Gallery) -> None:
    with gallery.writer():
        watching = watch()
        until(lambda: any("is being written by process" in line for line in watching.said))
    watching.follows(photos)
    assert sum("is being written" in line for line in watching.said) == 1


def test_what_the_machine_refuses_is_told_and_tried_again(watch: Callable[..., Watching], photos: Path) -> None:
    watching = watch(fail=[SystemProblem("the disk is full", "free some space"), GalleryLocked("locked", "wait")])
    watching.follows(photos)
    assert any(line.startswith("the disk is full\n") for line in watching.said)


def test_a_folder_that_goes_and_comes(watch: Callable[..., Watching], photos: Path, tmp_path: Path) -> None:
    watching = watch(photos, tmp_path / "later")
    watching.follows(photos)
    assert any("not there; waiting for it" in line for line in watching.said)
    away = photos.rename(tmp_path / "away")
    until(lambda: any(line.startswith(f"{photos}: not there") for line in watching.said))
    assert known(watching.gallery), "a folder that is gone as a whole may be a drive"
    away.rename(photos)
    save_picture(photos / "after.jpg", "red", seed=33)
    save_picture(tmp_path / "later" / "one.jpg", "red", seed=34)
    until(lambda: known(watching.gallery) == on_disk(photos) | on_disk(tmp_path / "later"))


def test_polling_needs_no_events(watch: Callable[..., Watching], photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise AssertionError("nobody listens")

    monkeypatch.setattr(watching, "Listener", none)
    begun = watch(polls_all=True, poll_s=0.1)
    begun.follows(photos)
    save_picture(photos / "trip" / "new.jpg", "red", seed=81)
    (photos / "green.jpg").unlink()
    begun.follows(photos)


def test_where_the_system_gives_no_watches_it_polls(
    watch: Callable[..., Watching], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import watchfiles

    def refused(*_: object, **__: object) -> Iterator[object]:
        raise OSError(28, "OS file watch limit reached")
        yield

    monkeypatch.setattr(watchfiles, "watch", refused)
    monkeypatch.setattr(watching, "ROOTS_S", 0.1)
    begun = watch(poll_s=0.1)
    begun.follows(photos)
    until(lambda: any("limit reached" in line for line in begun.said))
    save_picture(photos / "new.jpg", "red", seed=82)
    begun.follows(photos)


def test_on_battery_it_pauses(watch: Callable[..., Watching], photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drained = [True]
    monkeypatch.setattr(watching, "is_on_battery", lambda: drained[0])
    monkeypatch.setattr(watching, "ROOTS_S", 0.05)
    begun = watch(pauses_on_battery=True)
    until(lambda: "on battery: paused" in begun.said)
    drained[0] = False
    begun.follows(photos)
    assert "goes on" in begun.said


def test_hints_are_bounded(tmp_path: Path) -> None:
    hints = Hints()
    for number in range(10_000):
        hints.look(folders=[f"/photos/{number}"])
    folders, trees, _, everything = hints.take()
    assert everything and len(folders) + len(trees) < 5_000
    assert hints.take() == (set(), set(), set(), False) and not hints.heard.is_set()
    assert not hints.has_folders_that_came()
    for number in range(events.MOST_PLACES + 1):
        hints._came.add(f"/photos/{number}")
    hints.note(str(tmp_path))
    assert hints.has_folders_that_came() and hints.folders_that_came() is None
    assert not hints.has_folders_that_came()
    hints.take()
    (tmp_path / "a.part").touch()
    hints.note(str(tmp_path / "a.part"))
    assert not hints.heard.is_set(), "a file in the making is no reason to look"
    hints.note(str(tmp_path / ".photoseekignore"))
    assert hints.take()[1] == {str(tmp_path)}


def test_more_sidecars_than_are_remembered_mean_all() -> None:
    hints = Hints()
    for number in range(events.MOST_PLACES + 1):
        hints.look(sidecars=[f"/photos/{number}.xmp"])
    hints.look(sidecars=["/photos/later.xmp"])
    assert hints.take()[2] is None
    hints.look(sidecars=["/photos/later.xmp"])
    assert hints.take()[2] == {"/photos/later.xmp"}
    hints.look(sidecars=None)  # a look that had to be put off
    assert hints.heard.is_set() and hints.take()[2] is None


def test_a_flood_of_sidecars_asks_for_all(
    watch: Callable[..., Watching], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_PLACES", 1)
    watching = watch()
    watching.follows(photos)
    asked: list[object] = []
    watching.watcher._on_sidecars = asked.append
    for number in range(3):
        (photos / f"{number}.xmp").write_bytes(packet(["tag"]))
    until(lambda: None in asked)


def test_all_sidecars_are_imported(gallery: Gallery, photos: Path) -> None:
    Indexer(gallery, load_encoder("builtin")).run(photos)
    picture = sorted(photos.rglob("*.jpg"))[0]
    picture.with_suffix(".xmp").write_bytes(packet(["one tag"]))
    Follower(gallery, None).import_sidecars(None)
    with gallery.reader() as reader:
        (found,) = reader.records(reader.select(parse_filter(tag=["one tag"])).tolist())
    assert found.path == str(picture)


def test_a_folder_that_is_called_by_its_old_name_is_looked_for_near_it(tmp_path: Path) -> None:
    hints = Hints()
    hints.note(str(tmp_path / "old" / "day" / "a.jpg"))
    assert hints.take()[1] == {str(tmp_path)}


def test_a_listener_ends_when_it_is_closed(tmp_path: Path) -> None:
    listener = Listener([str(tmp_path), str(tmp_path / "inside")], Hints())
    assert listener.is_listening.wait(PATIENCE_S)
    listener.close()
    assert listener.problem is None and not os.listdir(tmp_path)  # noqa: PTH208

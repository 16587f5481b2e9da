"""What is gone is retired, but only where its absence can be believed; what comes back costs nothing."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import check_agreement, found, ids, move, opened_below, present, touch

IN_TRIP = [name for name in PHOTOS if name.startswith("trip/")]
OUTSIDE = [name for name in PHOTOS if not name.startswith("trip/")]


@contextmanager
def failing_below(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int, *calls: str) -> Iterator[None]:
    """Let ``os.scandir`` (or the calls named) fail for ``folder`` and what is below it."""
    with monkeypatch.context() as patch:
        for name in calls or ("scandir",):
            call = getattr(os, name)

            def failing(path, *more, _call=call, **named):  # type: ignore[no-untyped-def]
                if isinstance(path, str) and (path + os.sep).startswith(str(folder) + os.sep):
                    raise OSError(number, os.strerror(number), path)
                return _call(path, *more, **named)

            patch.setattr(os, name, failing)
        yield


def test_a_deleted_picture_is_not_found_and_comes_back_without_being_encoded(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoder.encoded = present(indexed, encoder), 0
    aside = move(photos / "green.jpg", photos.parent / "aside.jpg")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.retired, report.unchanged, report.images) == (1, len(PHOTOS) - 1, len(PHOTOS) - 1)
    assert "green.jpg" not in found(indexed, encoder)
    check_agreement(indexed, encoder)
    assert Indexer(indexed, encoder).run(photos).counts.retired == 0

    move(aside, photos / "green.jpg")
    with opened_below(photos) as opened:
        report = Indexer(indexed, encoder).run(photos)
    assert len(opened) == 1, "moving a file changes its time of change, so its content is looked at"
    assert (report.counts.restored, report.counts.added, encoder.encoded) == (1, 0, 0)
    assert present(indexed, encoder) == before
    assert "green.jpg" in found(indexed, encoder)
    check_agreement(indexed, encoder)


def test_a_picture_that_comes_back_with_another_time_is_read_but_not_encoded(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoder.encoded = present(indexed, encoder), 0
    aside = move(photos / "green.jpg", photos.parent / "aside.jpg")
    Indexer(indexed, encoder).run(photos)
    touch(move(aside, photos / "green.jpg"))
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.restored, report.reused, encoder.encoded) == (1, 1, 0)
    assert present(indexed, encoder) == before


def test_another_picture_under_the_name_of_a_deleted_one_is_new(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    (photos / "green.jpg").unlink()
    Indexer(indexed, encoder).run(photos)
    save_picture(photos / "green.jpg", "white", seed=5)
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.added, report.counts.restored, report.encoded) == (1, 0, 1)
    assert found(indexed, encoder, "white", k=1) == ["green.jpg"]
    check_agreement(indexed, encoder)


def test_a_deleted_folder_is_retired_with_what_is_below_it(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    encoder.encoded = 0
    aside = move(photos / "trip", photos.parent / "aside")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.retired, report.images, report.problems) == (len(IN_TRIP), len(OUTSIDE), [])
    assert sorted(ids(indexed, encoder, photos)) == sorted(OUTSIDE)
    check_agreement(indexed, encoder)
    move(aside, photos / "trip")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.restored, encoder.encoded) == (len(IN_TRIP), 0)
    check_agreement(indexed, encoder)


def test_deleted_folders_are_retired_in_every_root(gallery: Gallery, tmp_path: Path, encoder: ColourEncoder) -> None:
    roots = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for seed, root in enumerate(roots):
        save_picture(root / "stays.png", "red", seed=seed)
        save_picture(root / "below" / "goes.png", "blue", seed=seed)
    Indexer(gallery, encoder).run(roots)
    for root in roots[:2]:
        shutil.rmtree(root / "below")
    assert Indexer(gallery, encoder).run(roots).counts.retired == 2
    assert sorted(found(gallery, encoder)) == ["goes.png", "stays.png", "stays.png", "stays.png"]


@pytest.mark.parametrize("how", ["--exclude", "ignore file above", "ignore file inside"])
def test_what_is_left_out_later_is_retired_and_comes_back(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, how: str
) -> None:
    before, encoder.encoded = present(indexed, encoder), 0
    exclude = ["trip/"] if how == "--exclude" else []
    ignore_file = photos / ("trip" if how.endswith("inside") else ".") / ".photoseekignore"
    if how != "--exclude":
        ignore_file.write_text("*\n" if how.endswith("inside") else "trip\n")
    for expected in (len(IN_TRIP), 0):
        report = Indexer(indexed, encoder).run(photos, exclude=exclude)
        assert (report.counts.retired, report.problems) == (expected, [])
        assert sorted(ids(indexed, encoder, photos)) == sorted(OUTSIDE)
    ignore_file.unlink(missing_ok=True)
    if how == "--exclude":
        assert Indexer(indexed, encoder).run(photos).counts.restored == 0, "it lasts"
    include = exclude if how == "--exclude" else []
    assert Indexer(indexed, encoder).run(photos, include=include).counts.restored == len(IN_TRIP)
    assert present(indexed, encoder) == before
    assert encoder.encoded == 0


def test_a_folder_that_one_root_leaves_out_may_be_another_root(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before = present(indexed, encoder)
    (photos / ".photoseekignore").write_text("trip\n")
    for roots in ([photos, photos / "trip"], [photos / "trip", photos], []):
        report = Indexer(indexed, encoder).run(roots)
        assert (report.unchanged, report.counts.retired, report.counts.restored) == (len(PHOTOS), 0, 0)
        assert present(indexed, encoder) == before


def test_a_root_that_is_gone_retires_nothing(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before = present(indexed, encoder)
    photos.rename(photos.parent / "elsewhere")
    for folders in ([photos], []):
        report = Indexer(indexed, encoder).run(folders)
        assert present(indexed, encoder) == before
        assert [(problem.path, problem.images_kept) for problem in report.problems] == [(str(photos), len(PHOTOS))]
        assert (report.counts.retired, report.images) == (0, len(PHOTOS))
    with pytest.raises(SettingsError, match="there is no folder"):
        Indexer(indexed, encoder).run(photos.parent / "never seen")


def test_a_root_that_is_gone_stays_below_one_that_is_there(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    Indexer(indexed, encoder).run(photos / "trip")
    before = present(indexed, encoder)
    shutil.rmtree(photos / "trip")
    report = Indexer(indexed, encoder).run()
    assert [(problem.path, problem.images_kept) for problem in report.problems] == [
        (str(photos / "trip"), len(IN_TRIP))
    ]
    assert present(indexed, encoder) == before


def test_a_root_that_is_suddenly_empty_keeps_its_pictures(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before = present(indexed, encoder)
    photos.rename(photos.parent / "elsewhere")
    photos.mkdir()
    for _ in range(2):
        report = Indexer(indexed, encoder).run(photos)
        assert present(indexed, encoder) == before
        assert [(problem.path, problem.images_kept) for problem in report.problems] == [(str(photos), len(PHOTOS))]
    # Anything in it, and it is no mount point without a drive.
    (photos / "empty.txt").touch()
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.retired, report.images, report.problems) == (len(PHOTOS), 0, [])
    assert found(indexed, encoder) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_folder_that_cannot_be_listed_keeps_its_pictures(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (photos / "green.jpg").unlink()
    with failing_below(monkeypatch, photos / "trip", number):
        report = Indexer(indexed, encoder).run(photos)
    assert [(problem.path, problem.reason, problem.images_kept) for problem in report.problems] == [
        (str(photos / "trip"), os.strerror(number).lower(), len(IN_TRIP))
    ]
    assert report.counts.retired == 1
    assert sorted(ids(indexed, encoder, photos)) == sorted(set(PHOTOS) - {"green.jpg"})
    assert "yellow.jpg" in found(indexed, encoder)
    assert Indexer(indexed, encoder).run(photos).problems == []


def test_a_folder_without_permission_keeps_its_pictures(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before = present(indexed, encoder)
    for mode in (0o000, 0o400):
        (photos / "trip").chmod(mode)
        try:
            if os.access(photos / "trip" / "blue-1.jpg", os.R_OK):
                pytest.skip("this user may look everywhere")
            Indexer(indexed, encoder).run(photos)
        finally:
            (photos / "trip").chmod(0o700)
        assert present(indexed, encoder) == before


@pytest.mark.parametrize("order", [("trip", ""), ("", "trip")])
def test_a_folder_that_cannot_be_listed_is_kept_for_every_root_above_it(
    indexed: Gallery,
    photos: Path,
    encoder: ColourEncoder,
    monkeypatch: pytest.MonkeyPatch,
    order: tuple[str, str],
) -> None:
    before = present(indexed, encoder)
    with failing_below(monkeypatch, photos / "trip" / "day two", errno.EIO):
        report = Indexer(indexed, encoder).run([photos / part for part in order])
    assert present(indexed, encoder) == before
    assert [problem.images_kept for problem in report.problems] == [1]


def test_a_file_that_cannot_be_looked_at_keeps_its_picture(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, scandir = present(indexed, encoder), os.scandir

    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path, self.is_dir, self.is_symlink = entry.name, entry.path, entry.is_dir, entry.is_symlink
            self.is_file = entry.is_file

        def stat(self) -> os.stat_result:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), self.path)

    @contextmanager
    def listing(path: str) -> Iterator[Iterator[object]]:
        with scandir(path) as entries:
            yield (Entry(entry) if entry.name == "green.jpg" else entry for entry in entries)

    for failed in (1, 0):  # noted once
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", listing)
            report = Indexer(indexed, encoder).run(photos)
        assert (report.counts.failed, report.counts.retired, report.failures_known) == (failed, 0, 1)
        assert present(indexed, encoder) == before
        assert "green.jpg" in found(indexed, encoder)
    report = Indexer(indexed, encoder).run(photos)
    assert (report.failures_known, report.encoded) == (0, 0)
    assert present(indexed, encoder) == before


@pytest.fixture
def other_drive(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than ``tmp_path``."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def test_pictures_behind_a_link_to_another_drive_come_and_go(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, other_drive: Path
) -> None:
    for seed in range(3):
        save_picture(other_drive / "pictures" / f"far-{seed}.png", "white", seed=seed)
    (photos / "linked").symlink_to(other_drive / "pictures")
    assert Indexer(indexed, encoder).run(photos).counts.added == 3
    report = Indexer(indexed, encoder).run(photos)
    assert (report.unchanged, report.problems) == (len(PHOTOS) + 3, [])
    (other_drive / "pictures" / "far-1.png").unlink()
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.retired, report.problems) == (1, [])

    before = present(indexed, encoder)
    (other_drive / "pictures").rename(other_drive / "unplugged")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.retired, [problem.images_kept for problem in report.problems]) == (0, [2])
    assert present(indexed, encoder) == before


@pytest.mark.parametrize("walked", ["itself", "parent", "grandparent", "a link to the parent", "all"])
@pytest.mark.parametrize("how", ["removed", "emptied", "a file now", "a link that leads nowhere"])
def test_a_folder_of_its_own_that_vanished_is_kept_whoever_walks_over_it(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder, how: str, walked: str
) -> None:
    top = tmp_path / "top"
    save_picture(top / "middle/beside.png", "red", seed=1)
    child = save_picture(top / "middle/child/deep/a.png", "blue", seed=2).parent.parent
    (tmp_path / "link").symlink_to(top / "middle")
    Indexer(gallery, encoder).run([child, top])
    shutil.rmtree(child)
    if how == "emptied":
        child.mkdir()
    elif how == "a file now":
        child.write_text("x")
    elif how.startswith("a link"):
        child.symlink_to(tmp_path / "nowhere")
    named = {
        "itself": child,
        "parent": top / "middle",
        "grandparent": top,
        "a link to the parent": tmp_path / "link",
        "all": [],
    }[walked]
    if how == "a file now" and walked == "itself":
        pytest.skip("refused: it is not a folder")
    for _ in range(2):
        report = Indexer(gallery, encoder).run(named)
        assert (report.counts.retired, report.images) == (0, 2)
        assert [(p.path, p.images_kept, p.is_absence) for p in report.problems] == [(str(child), 1, True)]
    report = Indexer(gallery, encoder).run(named, prune=True)
    assert (report.counts.retired, report.images, report.problems) == (1, 1, [])


def test_a_link_that_leads_nowhere_now_is_no_deletion(gallery: Gallery, tmp_path: Path, encoder: ColourEncoder) -> None:
    save_picture(tmp_path / "photos/a.png", "red", seed=1)
    save_picture(tmp_path / "drive/b.png", "blue", seed=2)
    (tmp_path / "photos/link").symlink_to(tmp_path / "drive")
    Indexer(gallery, encoder).run(tmp_path / "photos")
    (tmp_path / "drive").rename(tmp_path / "away")
    report = Indexer(gallery, encoder).run()
    assert (report.counts.retired, [p.reason for p in report.problems]) == (0, ["the symbolic link leads nowhere"])
    (tmp_path / "photos/link").unlink()
    assert Indexer(gallery, encoder).run().counts.retired == 1, "the link itself was deleted"


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_large_folder_that_is_gone_at_once_is_kept_until_somebody_says_so(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder, how: str
) -> None:
    photos = tmp_path / "photos"
    save_picture(photos / "stays.png", "red", seed=1)
    for number in range(100):
        save_picture(photos / f"year/month {number % 3}/{number}.png", "blue", seed=2 + number, size=(8, 8))
    for number in range(20):
        save_picture(photos / f"small/{number}.png", "green", seed=200 + number, size=(8, 8))
    Indexer(gallery, encoder).run(photos)
    shutil.rmtree(photos / "small")
    assert Indexer(gallery, encoder).run(photos).counts.retired == 20
    aside = move(photos / "year", tmp_path / "aside")
    if how == "emptied":
        (photos / "year").mkdir()
    report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.retired, report.images) == (0, 101)
    assert [(p.path, p.images_kept, p.is_absence) for p in report.problems] == [(str(photos / "year"), 100, True)]
    if how == "removed":  # renaming is no deletion, and nothing is said about it
        move(aside, photos / "renamed")
        report = Indexer(gallery, encoder).run(photos)
        assert (report.counts.moved, report.counts.retired, report.problems) == (100, 0, [])
    else:
        report = Indexer(gallery, encoder).run(photos, prune=True)
        assert (report.counts.retired, report.images, report.problems) == (100, 1, [])


def test_what_one_root_leaves_out_is_another_roots_to_judge(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    Indexer(indexed, encoder).run(photos / "trip")
    report = Indexer(indexed, encoder).run([photos], exclude=["trip/"])
    assert (report.counts.retired, report.images, report.problems) == (0, len(PHOTOS), [])

"""Real file systems that are mounted and unmounted: run by test_indexer_mounts.py in a private mount namespace."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import check_agreement, found, ids, present

PICTURES = 4


class Drive:
    """A tmpfs that can be unplugged and plugged in again: what it held is kept aside meanwhile."""

    def __init__(self, point: Path, aside: Path) -> None:
        self.point, self._aside = point, aside
        self.is_plugged = False
        aside.mkdir()

    def plug(self) -> None:
        self.point.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", self.point], check=True)
        self.is_plugged = True
        shutil.copytree(self._aside, self.point, dirs_exist_ok=True)  # times included

    def unplug(self) -> None:
        shutil.rmtree(self._aside)
        shutil.copytree(self.point, self._aside)
        subprocess.run(["umount", self.point], check=True)
        self.is_plugged = False


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    made = Drive(tmp_path / "media" / "drive", tmp_path / "aside")
    made.plug()
    for seed in range(PICTURES):
        save_picture(made.point / "album" / f"far-{seed}.png", "white", seed=seed)
    yield made
    if made.is_plugged:
        made.unplug()


def kept(report, path: Path) -> None:  # type: ignore[no-untyped-def]
    assert [(problem.path, problem.images_kept) for problem in report.problems] == [(str(path), PICTURES)]
    assert report.counts.retired == 0


@pytest.mark.parametrize("left_behind", ["mount point", "nothing", "mount point with a file", "album with a file"])
@pytest.mark.parametrize("given", ["above", "the drive", "in the drive"])
def test_an_unplugged_drive_empties_nothing(
    gallery: Gallery, encoder: ColourEncoder, drive: Drive, given: str, left_behind: str
) -> None:
    near = save_picture(drive.point.parent / "near.png", "red")
    root = {"above": near.parent, "the drive": drive.point, "in the drive": drive.point / "album"}[given]
    Indexer(gallery, encoder).run(root)
    before, encoder.encoded = present(gallery, encoder), 0
    drive.unplug()
    if left_behind == "nothing":
        drive.point.rmdir()
    elif left_behind != "mount point":
        place = drive.point / ("album" if left_behind.startswith("album") else "") / "README.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text("plug the drive in")
    for _ in range(3):  # not only the first time
        report = Indexer(gallery, encoder).run(root)
        assert present(gallery, encoder) == before
        assert report.counts.retired == 0
        assert [problem.images_kept for problem in report.problems] == [PICTURES]
    assert len(found(gallery, encoder, "white")) == len(before)

    if drive.point.is_dir():
        shutil.rmtree(drive.point)
    drive.plug()
    (drive.point / "album" / "far-0.png").unlink()
    report = Indexer(gallery, encoder).run(root)
    assert (report.problems, report.counts.retired, encoder.encoded) == ([], 1, 0)
    assert len(present(gallery, encoder)) == len(before) - 1
    check_agreement(gallery, encoder)


def test_a_copy_from_an_unplugged_drive_is_not_a_move(
    gallery: Gallery, encoder: ColourEncoder, drive: Drive, photos: Path
) -> None:
    Indexer(gallery, encoder).run([photos, drive.point])
    before, encoder.encoded = ids(gallery, encoder, photos.parent), 0
    shutil.copy2(drive.point / "album" / "far-0.png", photos / "copy.png")
    drive.unplug()
    report = Indexer(gallery, encoder).run()
    after = ids(gallery, encoder, photos.parent)
    assert (report.counts.added, report.counts.moved, report.reused, encoder.encoded) == (1, 0, 1, 0)
    assert after.pop("photos/copy.png") not in before.values()
    assert after == before
    drive.plug()
    report = Indexer(gallery, encoder).run()
    # What is copied back is read again, since its time of change is another one; nothing is encoded.
    assert (report.unchanged + report.counts.verified, report.problems) == (len(PHOTOS) + PICTURES + 1, [])
    assert encoder.encoded == 0


def test_another_encoder_takes_over_without_the_unplugged_drive(
    gallery: Gallery, encoder: ColourEncoder, drive: Drive, photos: Path
) -> None:
    Indexer(gallery, encoder).run([photos, drive.point])
    drive.unplug()
    other = ColourEncoder(name="other")
    report = Indexer(gallery, other).run()
    assert report.still_searching_with is None
    assert sorted(found(gallery, other)) == sorted(Path(name).name for name in PHOTOS)
    drive.plug()
    report = Indexer(gallery, other).run()
    assert (report.encoded, report.images) == (PICTURES, len(PHOTOS) + PICTURES)
    check_agreement(gallery, other)


def test_a_drive_that_is_linked_into_a_folder(
    indexed: Gallery, encoder: ColourEncoder, drive: Drive, photos: Path
) -> None:
    (photos / "linked").symlink_to(drive.point)
    assert Indexer(indexed, encoder).run(photos).counts.added == PICTURES
    before = present(indexed, encoder)
    assert Indexer(indexed, encoder).run(photos).problems == []
    drive.unplug()
    for _ in range(2):
        kept(Indexer(indexed, encoder).run(photos), photos / "linked")
        assert present(indexed, encoder) == before
    drive.plug()
    assert Indexer(indexed, encoder).run(photos).problems == []
    assert present(indexed, encoder) == before


def test_a_drive_that_is_linked_into_a_folder_on_another_drive(
    gallery: Gallery, encoder: ColourEncoder, drive: Drive, tmp_path: Path
) -> None:
    # Unplugged, the link leads to the disk below the mount point: still another one than its own.
    home = Drive(tmp_path / "home", tmp_path / "home aside")
    home.plug()
    save_picture(home.point / "near.png", "red")
    (home.point / "linked").symlink_to(drive.point)
    Indexer(gallery, encoder).run(home.point)
    before = present(gallery, encoder)
    assert len(before) == PICTURES + 1
    drive.unplug()
    kept(Indexer(gallery, encoder).run(home.point), home.point / "linked")
    assert present(gallery, encoder) == before
    subprocess.run(["umount", home.point], check=True)

"""Moving duplicates away and back: nothing is lost or overwritten, and uncertain files are left alone."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.duplicates import files, manifest
from retrieval.duplicates import trash as trash_module
from retrieval.duplicates.files import Outcome, move
from retrieval.duplicates.finding import find_duplicates
from retrieval.duplicates.groups import Group
from retrieval.duplicates.undo import undo_trash
from retrieval.errors import GalleryError, GalleryLocked
from retrieval.gallery import Gallery
from retrieval.pictures.images import content_hash
from tests.pictures import replace_picture
from tests.retrieval.duplicates.collection import BYTES, KEEPER, SMALL, contents, index, trash

ROOT = Path(__file__).parents[3]


def groups_of(gallery: Gallery, **options: float) -> tuple[Group, ...]:
    return find_duplicates(gallery, **options).groups


def by_name(outcomes: list[Outcome], folder: Path) -> dict[str, Outcome]:
    return {str(Path(outcome.path).relative_to(folder)): outcome for outcome in outcomes}


def test_all_but_the_keepers_go_and_come_back(doubled: Gallery, pictures: Path) -> None:
    before = contents(pictures)
    outcomes = by_name(trash(doubled, groups_of(doubled, look_alikes=0.9)), pictures)
    assert {name: outcome.done for name, outcome in outcomes.items()} == {BYTES: True, SMALL: True}
    assert contents(pictures) == {name: what for name, what in before.items() if name not in outcomes}
    for name, outcome in outcomes.items():
        assert Path(outcome.detail).read_bytes() == before[name][0]
        assert Path(outcome.detail).name.endswith(Path(name).name)
    with doubled.reader() as reader:
        assert reader.count() == 3
    back = undo_trash(doubled)
    assert [Path(outcome.path).name for outcome in back] == [Path(SMALL).name, Path(BYTES).name]
    assert contents(pictures) == before
    with doubled.reader() as reader:
        assert reader.count() == 5
    assert not list((doubled.path / "trash").glob("*/*"))
    assert undo_trash(doubled) == []


def test_the_trash_is_not_indexed(pictures: Path) -> None:
    inside = index(Gallery(pictures / "my gallery"), pictures)
    trash(inside, groups_of(inside))
    index(inside, pictures)
    with inside.reader() as reader:
        assert reader.count() == 3


def test_look_alikes_never_go(doubled: Gallery, pictures: Path) -> None:
    before = contents(pictures)
    alike = [group for group in groups_of(doubled, look_alikes=0.5) if group.kind == "look-alike"]
    assert alike
    assert trash(doubled, alike) == []
    assert contents(pictures) == before


def test_a_duplicate_that_changed_stays(doubled: Gallery, pictures: Path) -> None:
    groups = groups_of(doubled)
    replace_picture(pictures / BYTES, "red")
    same_time = (pictures / SMALL).stat().st_mtime_ns
    data = bytearray((pictures / SMALL).read_bytes())
    data[len(data) // 2] ^= 1
    (pictures / SMALL).write_bytes(bytes(data))  # other bytes, but size and time as before
    os.utime(pictures / SMALL, ns=(same_time, same_time))
    before = contents(pictures)
    outcomes = by_name(trash(doubled, groups), pictures)
    assert {name: (o.done, o.detail) for name, o in outcomes.items()} == {
        BYTES: (False, "it changed since it was indexed"),
        SMALL: (False, "it changed since it was indexed"),
    }
    assert contents(pictures) == before


@pytest.mark.parametrize("how", ["gone", "changed", "link"])
def test_without_its_keeper_a_group_stays(doubled: Gallery, pictures: Path, how: str) -> None:
    groups = groups_of(doubled)
    keeper = pictures / KEEPER
    if how == "changed":
        replace_picture(keeper, "red")
    else:
        keeper.unlink()
    if how == "link":
        keeper.symlink_to(pictures / BYTES)  # the "keeper" would be a name of what is moved away
    before = contents(pictures)
    outcomes = trash(doubled, groups)
    assert [outcome.done for outcome in outcomes] == [False, False]
    assert all("the picture to keep" in outcome.detail for outcome in outcomes)
    assert contents(pictures) == before


def test_two_names_of_one_file_stay(doubled: Gallery, pictures: Path) -> None:
    time = (pictures / BYTES).stat().st_mtime_ns
    (pictures / BYTES).unlink()
    os.link(pictures / KEEPER, pictures / BYTES)
    os.utime(pictures / KEEPER, ns=(time, time))
    index(doubled, pictures)
    found = find_duplicates(doubled)
    assert found.linked == 1 and BYTES not in by_name(trash(doubled, found.groups), pictures)
    assert (pictures / BYTES).exists() and (pictures / KEEPER).exists()


def test_a_keeper_that_vanishes_with_its_copy_brings_it_back(
    doubled: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where one folder is mounted twice by a server and the two paths look like two files."""
    groups = [group for group in groups_of(doubled) if group.kind == "same bytes"]
    before = contents(pictures)

    def both_go(source: str, target: str, digest: bytes) -> None:
        move(source, target, digest)
        if source == str(pictures / BYTES):
            (pictures / KEEPER).rename(pictures / "hidden")

    monkeypatch.setattr(trash_module, "move", both_go)
    (outcome,) = trash(doubled, groups)
    assert not outcome.done and "the same file" in outcome.detail
    assert contents(pictures)[BYTES] == before[BYTES]


def test_undo_overwrites_nothing(doubled: Gallery, pictures: Path) -> None:
    before = contents(pictures)
    trash(doubled, groups_of(doubled))
    (pictures / BYTES).write_bytes(b"somebody else's")
    outcomes = by_name(undo_trash(doubled), pictures)
    assert outcomes[SMALL].done and not outcomes[BYTES].done
    assert "another file lies there" in outcomes[BYTES].detail
    assert (pictures / BYTES).read_bytes() == b"somebody else's"
    (pictures / BYTES).unlink()
    assert [outcome.done for outcome in undo_trash(doubled)] == [True]
    assert contents(pictures) == before


def test_undo_makes_no_folders_where_a_drive_may_be_missing(doubled: Gallery, pictures: Path) -> None:
    before = contents(pictures)
    trash(doubled, groups_of(doubled))
    (pictures / "small").rmdir()
    outcomes = by_name(undo_trash(doubled), pictures)
    assert not outcomes[SMALL].done and "its folder is gone" in outcomes[SMALL].detail
    assert not (pictures / "small").exists()
    (pictures / "small").mkdir()
    assert [outcome.done for outcome in undo_trash(doubled)] == [True]
    assert contents(pictures) == before


def test_two_runs_in_one_second_have_a_folder_each(doubled: Gallery, pictures: Path) -> None:
    before = contents(pictures)
    for group in groups_of(doubled):
        assert trash(doubled, [group])[0].done
    assert len(manifest.trash_folders(doubled.path)) == 2
    assert len(undo_trash(doubled)) == 2
    assert contents(pictures) == before


def test_names_that_are_no_text_or_too_long(gallery: Gallery, pictures: Path) -> None:
    odd = os.path.join(os.fsencode(pictures), b"caf\xe9.jpg")
    long = pictures / f"{'n' * 250}.jpg"
    for path in (odd, os.fsencode(long)):
        shutil.copyfile(os.fsencode(pictures / KEEPER), path)
    index(gallery, pictures)
    before = contents(pictures)
    outcomes = trash(gallery, groups_of(gallery))
    assert [outcome.done for outcome in outcomes] == [True] * 4
    assert all(outcome.done for outcome in undo_trash(gallery))
    assert contents(pictures) == before


def test_a_file_that_cannot_be_moved_is_told_and_the_others_go(
    doubled: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self == pictures / BYTES:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(self, missing_ok)

    before = contents(pictures)
    monkeypatch.setattr(Path, "unlink", refuse)
    outcomes = by_name(trash(doubled, groups_of(doubled)), pictures)
    monkeypatch.undo()
    assert outcomes[BYTES].detail == "it cannot be moved: Permission denied" and outcomes[SMALL].done
    assert contents(pictures)[BYTES] == before[BYTES]
    assert [outcome.done for outcome in undo_trash(doubled)] == [True]
    assert contents(pictures) == before


def test_a_picture_whose_sidecar_cannot_be_moved_stays_with_it(
    doubled: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [image for group in groups_of(doubled) for image in [member.image for member in group.others]]
    for image in copies:
        Path(f"{image.path}.xmp").write_text("<x/>")
        Path(f"{os.path.splitext(image.path)[0]}.xmp").write_text("<y/>")  # noqa: PTH122
    before = contents(pictures)

    def stuck(source: str, target: str, digest: bytes) -> None:
        if source.endswith(".xmp") and not source.endswith(tuple(f"{ending}.xmp" for ending in (".jpg", ".png"))):
            raise OSError(errno.EACCES, "Permission denied")
        move(source, target, digest)

    monkeypatch.setattr(trash_module, "move", stuck)
    outcomes = trash(doubled, groups_of(doubled))
    assert outcomes and not any(outcome.done for outcome in outcomes)
    assert contents(pictures) == before
    with doubled.reader() as reader:
        assert all(record.on_disk() == "same" for record in reader.records([image.id for image in copies]))


def test_a_folder_that_cannot_be_written(doubled: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(pictures / "copies") and real(path, mode))
    outcomes = by_name(trash(doubled, groups_of(doubled)), pictures)
    assert outcomes[BYTES].detail == "its folder cannot be written"
    assert (pictures / BYTES).exists()


def test_a_trash_that_cannot_be_made_is_an_error_and_nothing_moves(doubled: Gallery, pictures: Path) -> None:
    before = contents(pictures)
    (doubled.path / "trash").write_text("in the way")
    with pytest.raises(GalleryError, match="cannot write the trash"):
        trash(doubled, groups_of(doubled))
    assert contents(pictures) == before


def test_only_one_process_moves(doubled: Gallery) -> None:
    groups = groups_of(doubled)
    with doubled.writer():
        for act in (lambda: trash(doubled, groups), lambda: undo_trash(doubled)):
            with pytest.raises(GalleryLocked):
                act()


@pytest.mark.parametrize("line", [b"[]\n", b"nothing\n", b'{"path": "x"}\n', b"[" * 200_000 + b"\n"])
def test_a_damaged_manifest_is_told(doubled: Gallery, line: bytes) -> None:
    trash(doubled, groups_of(doubled))
    (folder,) = manifest.trash_folders(doubled.path)
    with (folder / manifest.MANIFEST).open("ab") as file:
        file.write(line)
    with pytest.raises(GalleryError, match="damaged"):
        undo_trash(doubled)


def test_a_manifest_names_files_of_its_own_folder_only(doubled: Gallery) -> None:
    trash(doubled, groups_of(doubled))
    (folder,) = manifest.trash_folders(doubled.path)
    entry = next(manifest.read_manifest(folder))
    for name in ("../../catalog.sqlite", "/etc/passwd", "..", manifest.MANIFEST):
        lines = json.dumps(dataclasses.asdict(dataclasses.replace(entry, name=name))) + "\n"
        (folder / manifest.MANIFEST).write_text(lines)
        with pytest.raises(GalleryError, match="damaged"):
            undo_trash(doubled)


@pytest.mark.parametrize("links", [True, False])
def test_moving_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    if not links:
        monkeypatch.setattr(os, "link", _no_link)
    with pytest.raises(FileExistsError):
        move(str(source), str(target), content_hash(b"new"))
    assert (source.read_bytes(), target.read_bytes()) == (b"new", b"old")
    target.unlink()
    move(str(source), str(target), content_hash(b"new"))
    assert target.read_bytes() == b"new" and [path.name for path in tmp_path.iterdir()] == ["to"]


def test_a_copy_that_went_wrong_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "from"
    source.write_bytes(b"new")
    monkeypatch.setattr(os, "link", _no_link)
    with pytest.raises(OSError, match="differs"):
        move(str(source), str(tmp_path / "to"), content_hash(b"what it should have been"))
    assert [path.name for path in tmp_path.iterdir()] == ["from"]
    monkeypatch.setattr(files.shutil, "copyfileobj", _disk_full)
    with pytest.raises(OSError, match="space"):
        move(str(source), str(tmp_path / "to"), content_hash(b"new"))
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("mode", [(), ("copy",), ("undo",)], ids=" ".join)
def test_killed_anywhere_everything_can_be_put_back(doubled: Gallery, pictures: Path, mode: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.retrieval.duplicates.crash_child", str(doubled.path.parent), *mode],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert told["steps"] > 15


def _no_link(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


def _disk_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")

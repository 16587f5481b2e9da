"""Hard links instead of copies: only for equal bytes, in one step, with a reason for each refusal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval.catalog.records import ImageRecord
from retrieval.duplicates import link as link_module
from retrieval.duplicates.files import Checked
from retrieval.duplicates.finding import find_duplicates
from retrieval.gallery import Gallery
from tests.pictures import replace_picture
from tests.retrieval.duplicates.collection import BYTES, KEEPER, SMALL, contents, link


def test_copies_become_links_and_stay_searchable(doubled: Gallery, pictures: Path) -> None:
    before = contents(pictures)
    (outcome,) = link(doubled, find_duplicates(doubled).groups)
    assert outcome.done and outcome.detail == str(pictures / KEEPER)
    assert (pictures / BYTES).samefile(pictures / KEEPER)
    assert not (pictures / SMALL).samefile(pictures / KEEPER)
    after = contents(pictures)
    assert {name: data for name, (data, _) in after.items()} == {name: data for name, (data, _) in before.items()}
    assert after[BYTES][1] == before[KEEPER][1]
    with doubled.reader() as reader:
        records = [reader.record_at(pictures / name) for name in (KEEPER, BYTES)]
    assert [record is not None and record.on_disk() for record in records] == ["same", "same"]
    found = find_duplicates(doubled)
    assert [group.kind for group in found.groups] == ["same picture"] and found.linked == 1
    assert link(doubled, found.groups) == []


@pytest.mark.parametrize("which", [KEEPER, BYTES])
def test_a_changed_file_is_left(doubled: Gallery, pictures: Path, which: str) -> None:
    groups = find_duplicates(doubled).groups
    replace_picture(pictures / which, "red")
    before = contents(pictures)
    (outcome,) = link(doubled, groups)
    assert not outcome.done and "changed since" in outcome.detail
    assert contents(pictures) == before


def test_bytes_are_compared_whatever_the_catalog_says(
    doubled: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = find_duplicates(doubled).groups
    times = (pictures / BYTES).stat()
    (pictures / BYTES).write_bytes(b"x" + (pictures / BYTES).read_bytes()[1:])
    os.utime(pictures / BYTES, ns=(times.st_atime_ns, times.st_mtime_ns))

    def trusting(image: object) -> Checked:
        path = str(getattr(image, "path"))  # noqa: B009
        found = os.lstat(path)
        return Checked(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    monkeypatch.setattr(link_module, "check", trusting)
    monkeypatch.setattr(ImageRecord, "on_disk", lambda self: "same")
    before = contents(pictures)
    (outcome,) = link(doubled, groups)
    assert not outcome.done and "bytes are not those" in outcome.detail
    assert contents(pictures) == before


def test_a_change_at_the_last_moment_is_seen(doubled: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = find_duplicates(doubled).groups
    real = os.link

    def late(source: str, target: str) -> None:
        real(source, target)
        (pictures / BYTES).write_bytes(b"edited meanwhile")

    monkeypatch.setattr(os, "link", late)
    (outcome,) = link(doubled, groups)
    assert not outcome.done and "meanwhile" in outcome.detail
    assert (pictures / BYTES).read_bytes() == b"edited meanwhile"
    assert [path.name for path in (pictures / BYTES).parent.iterdir()] == [Path(BYTES).name]


def test_what_a_killed_run_left_is_cleared_and_what_is_not_ours_is_not(doubled: Gallery, pictures: Path) -> None:
    groups = find_duplicates(doubled).groups
    left = (pictures / BYTES).parent / f".photoseek-link-{groups[0].others[0].image.id}"
    left.write_bytes(b"not ours")
    (outcome,) = link(doubled, groups)
    assert not outcome.done and "in the way" in outcome.detail and left.read_bytes() == b"not ours"
    left.unlink()
    os.link(pictures / KEEPER, left)
    assert link(doubled, groups)[0].done
    assert not left.exists()


def test_another_file_system_is_told(doubled: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = find_duplicates(doubled).groups
    real = link_module.check
    monkeypatch.setattr(
        link_module,
        "check",
        lambda image: Checked(**{**vars(real(image)), "device": 1}) if image.path.endswith(KEEPER) else real(image),
    )
    (outcome,) = link(doubled, groups)
    assert not outcome.done and "another file system" in outcome.detail

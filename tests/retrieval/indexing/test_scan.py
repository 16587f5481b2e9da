"""The walk: which folders and files it meets, in which order, and what it says of those it cannot look at."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.indexing import scan
from retrieval.indexing.scan import count_files, is_mounted, mount_point, walk


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def found(root: Path, **options: Any) -> list[str]:
    """Paths of the files met, relative to the root, in the order of the walk."""
    start = os.path.realpath(root)
    return [
        os.path.relpath(os.path.join(folder.path, file.name), start)
        for folder in walk(root, **options)
        for file in folder.files
    ]


def count(root: Path, **options: Any) -> int:
    return count_files(root, stop=lambda: False, **options)


def refuse(monkeypatch: pytest.MonkeyPatch, path: Path, number: int) -> None:
    """Let listing ``path`` fail: permission bits do not stop root."""
    real = os.scandir

    def scandir(asked: str) -> Iterator[os.DirEntry[str]]:
        if asked == str(path):
            raise OSError(number, os.strerror(number), asked)
        return real(asked)

    monkeypatch.setattr(scan.os, "scandir", scandir)


def test_files_come_by_extension_sorted_with_size_and_time(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a.jpeg", "c.HeIc", "notes.txt", "jpg", "x.jpg.part", "d.webp")
    os.utime(tmp_path / "a.jpeg", ns=(5, 1_234_567_891))
    (folder,) = walk(tmp_path)
    assert [file.name for file in folder.files] == ["a.jpeg", "b.JPG", "c.HeIc", "d.webp"]
    assert (folder.files[0].size, folder.files[0].mtime_ns) == (6, 1_234_567_891)
    assert not folder.is_empty and folder.problem is None


def test_hidden_entries_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "._a.jpg", ".hidden.jpg", ".jpg", ".cache/b.jpg", "x/._y/c.jpg")
    assert found(tmp_path) == ["a.jpg"]
    assert count(tmp_path) == 1


def test_a_hidden_root_is_walked_because_it_was_named(tmp_path: Path) -> None:
    make(tmp_path, ".mine/a.jpg")
    assert found(tmp_path / ".mine") == ["a.jpg"]


def test_depth_first_by_name(tmp_path: Path) -> None:
    make(tmp_path, "b/2.jpg", "b/a/1.jpg", "a/3.jpg", "z.jpg", "B/0.jpg")
    assert found(tmp_path) == ["z.jpg", "B/0.jpg", "a/3.jpg", "b/2.jpg", "b/a/1.jpg"]


def test_an_empty_folder_says_so_but_one_of_ignored_entries_does_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make(tmp_path, "hidden/.x")
    empty = {Path(folder.path).name: folder.is_empty for folder in walk(tmp_path)}
    assert empty == {tmp_path.name: False, "empty": True, "hidden": False}


def test_links_are_followed_after_real_folders_and_cycles_end(tmp_path: Path) -> None:
    make(tmp_path, "root/real/1.jpg", "elsewhere/2.jpg", "elsewhere/deep/3.jpg")
    root = tmp_path / "root"
    (root / "a-link").symlink_to("real")  # by name before the real folder
    (root / "real/up").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "out again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(root)
    assert found(root) == ["real/1.jpg", "out/2.jpg", "out/deep/3.jpg"]
    assert count(root) == 3


def test_two_walks_share_what_was_seen(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "a/b/2.jpg")
    for ask in (found, count):
        seen: set[tuple[int, int]] = set()
        first, second = ask(tmp_path / "a/b", seen=seen), ask(tmp_path / "a", seen=seen)
        assert (first, second) in [(["2.jpg"], ["1.jpg"]), (1, 1)]


def test_a_linked_file_is_met_and_a_dangling_one_reported(tmp_path: Path) -> None:
    make(tmp_path, "real.jpg")
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "loop").symlink_to("loop")
    (folder,) = walk(tmp_path)
    problems = {file.name: file.problem for file in folder.files}
    assert problems == {
        "real.jpg": None,
        "link.jpg": None,
        "gone.jpg": "broken symbolic link",
        "loop.jpg": "too many levels of symbolic links",
    }


def test_pipes_and_folders_with_a_pictures_name_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    make(tmp_path, "folder.jpg/inside.png")
    assert found(tmp_path) == ["folder.jpg/inside.png"]
    assert count(tmp_path) == 1


def test_odd_names_come_through_byte_for_byte(tmp_path: Path) -> None:
    names = [b"caf\xe9.jpg", b"two\nlines.jpg", b"tab\t.jpg", "日本.jpg".encode(), b"%41 #?.jpg"]
    folder = os.path.join(os.fsencode(tmp_path), b"f\xff")
    Path(os.fsdecode(folder)).mkdir()
    for name in names:
        Path(os.fsdecode(os.path.join(folder, name))).write_bytes(b"x")
    last = list(walk(tmp_path))[-1]
    assert os.fsencode(last.path) == folder
    assert sorted(os.fsencode(file.name) for file in last.files) == sorted(names)


@pytest.mark.parametrize(("number", "reason"), [(errno.EACCES, "permission denied"), (errno.EIO, "input/output error")])
def test_a_folder_that_cannot_be_listed_is_reported_and_the_rest_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    refuse(monkeypatch, tmp_path / "b", number)
    problems = {Path(folder.path).name: folder.problem for folder in walk(tmp_path) if folder.problem}
    assert problems == {"b": reason}
    assert found(tmp_path) == ["a/1.jpg", "c/3.jpg"]
    assert count(tmp_path) == 2


def test_a_link_into_a_folder_that_may_not_be_entered_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "root/a.jpg", "closed/deep/b.jpg")
    (tmp_path / "root/link").symlink_to(tmp_path / "closed/deep")
    real_stat = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("/root/link"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_stat(path, **options)

    def is_folder(entry: os.DirEntry[str], readable: frozenset[str]) -> bool:
        return original(Refusing(entry) if entry.name == "link" else entry, readable)  # type: ignore[arg-type]

    class Refusing:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name = entry.name

        def is_dir(self) -> bool:
            raise PermissionError(errno.EACCES, "Permission denied")

    original = scan._is_folder
    monkeypatch.setattr(scan.os, "stat", stat)
    monkeypatch.setattr(scan, "_is_folder", is_folder)
    problems = [(Path(folder.path).name, folder.problem) for folder in walk(tmp_path / "root") if folder.problem]
    assert problems == [("link", "permission denied")]


def test_a_root_that_is_gone_is_one_problem(tmp_path: Path) -> None:
    (folder,) = walk(tmp_path / "gone")
    assert folder.problem == "no such file or directory"
    assert count(tmp_path / "gone") == 0


def test_counting_stops_when_asked(tmp_path: Path) -> None:
    make(tmp_path, *(f"{folder}/{file}.jpg" for folder in range(5) for file in range(4)))
    asked = iter([False, False, True])
    assert count_files(tmp_path, stop=lambda: next(asked)) == 8


def test_mounts(tmp_path: Path) -> None:
    assert mount_point("/") == "/"
    assert mount_point("/proc/self/task") == "/proc"
    assert is_mounted("/proc") and not is_mounted(str(tmp_path)) and not is_mounted(str(tmp_path / "gone"))
    (tmp_path / "drive").symlink_to("/proc/self")
    assert is_mounted(str(tmp_path / "drive")), "a link to another file system is recorded as a mount by the walk"
    (tmp_path / "drive").unlink()
    (tmp_path / "drive").symlink_to("/nowhere")
    assert not is_mounted(str(tmp_path / "drive"))


def test_the_walk_and_is_mounted_agree(tmp_path: Path) -> None:
    target = next((path for path in ("/dev/shm", "/sys/kernel", "/proc/self/fdinfo") if Path(path).is_dir()), None)
    if target is None or os.stat(target).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no second file system here")
    (tmp_path / "link").symlink_to(target)
    walked = {folder.path: folder.is_mount for folder in walk(tmp_path, exclude=["/link/*"])}
    assert walked == {str(tmp_path): False, str(tmp_path / "link"): True}
    assert is_mounted(str(tmp_path / "link"))


NAMES = st.sampled_from(["a", "b", "c.jpg", "d.PNG", "e.txt", ".h.jpg", "._i.jpg", "k"])
ENTRIES = st.lists(
    st.tuples(
        st.lists(NAMES, min_size=1, max_size=4),
        st.sampled_from(["file", "folder", "link", "pipe", "dangling"]),
        st.integers(0, 9),
    ),
    max_size=14,
)
RULES = st.lists(st.sampled_from(["a/", "*.jpg", "!c.jpg", "/b", "**/k", "a/b/"]), max_size=3)


@settings(max_examples=120, deadline=None)
@given(entries=ENTRIES, rules=RULES, where=NAMES, exclude=RULES)
def test_any_tree_is_counted_as_it_is_walked(
    entries: list[tuple[list[str], str, int]], rules: list[str], where: str, exclude: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(os.path.realpath(temporary))
        folders = [root]
        for parts, kind, number in entries:
            path = root.joinpath(*parts)
            if any(p.exists() and not p.is_dir() for p in path.parents if p != root) or os.path.lexists(path):
                continue
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError:  # below a dangling link
                continue
            if kind == "file":
                path.write_bytes(b"x")
            elif kind == "folder":
                path.mkdir()
                folders.append(path)
            elif kind == "link":
                path.symlink_to(folders[number % len(folders)])
            elif kind == "pipe":
                os.mkfifo(path)
            else:
                path.symlink_to("nowhere")
        target = root / where if (root / where).is_dir() else root
        (target / ".photoseekignore").write_text("\n".join(rules))
        walked = list(walk(root, exclude=exclude))
        assert count_files(root, exclude=exclude, stop=lambda: False) == sum(len(f.files) for f in walked)
        assert walked == list(walk(root, exclude=exclude)), "the order is stable"
        places = [os.stat(folder.path) for folder in walked]
        assert len({(place.st_dev, place.st_ino) for place in places}) == len(walked), "each folder once"


def test_the_counter_leaves_out_what_is_walked_elsewhere(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.jpg").write_bytes(b"")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b")
    root, elsewhere = tmp_path / "a", [str((tmp_path / "b").resolve())]
    assert sum(len(f.files) for f in walk(root, elsewhere=elsewhere)) == 1
    assert count_files(root, elsewhere=elsewhere, stop=lambda: False) == 1
    assert count_files(root, stop=lambda: False) == 2

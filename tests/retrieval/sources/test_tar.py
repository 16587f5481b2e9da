"""Members of tars: names of strangers, damage, and what a header may ask for."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from retrieval.sources.archives import Archives
from retrieval.sources.base import Found
from retrieval.sources.places import archive_of, archives_in, plain_member
from retrieval.sources.reading import is_gone, open_anywhere, read_anywhere, source_of
from retrieval.sources.tar import members
from tests.retrieval.sources.tars import jpeg, link, save_tar


def listed(path: Path) -> dict[str, list[str]]:
    archives = Archives()
    found = {}
    for listing in archives.folders(str(path), lambda _folder, _name: True):
        assert listing.problem is None, listing.problem
        found[os.path.relpath(listing.path, path)] = [entry.name for entry in listing.entries]
    return found


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.jpg", ("", "a.jpg")),
        ("./a/b.jpg", ("a", "b.jpg")),
        ("/etc/b.jpg", ("etc", "b.jpg")),
        ("../../b.jpg", ("%2E%2E/%2E%2E", "b.jpg")),
        ("a/../b.jpg", ("a/%2E%2E", "b.jpg")),
        ("a//b\0.jpg", ("a", "b%00.jpg")),
        ("", ("", "")),
    ],
)
def test_a_members_name_never_leads_out_of_its_archive(name: str, plain: tuple[str, str]) -> None:
    assert plain_member(name) == plain


def test_the_disk_says_which_paths_are_inside_an_archive(tmp_path: Path) -> None:
    tar = save_tar(tmp_path / "a.tar", [("x.jpg", b"x")])
    folder = tmp_path / "b.tar"
    folder.mkdir()
    assert archive_of(f"{tar}/x.jpg") == archive_of(f"{tar}/sub/x.jpg") == archive_of(str(tar)) == str(tar)
    assert archive_of(f"{folder}/x.jpg") is archive_of(str(folder)) is archive_of(f"{tmp_path}/x.jpg") is None
    assert source_of(f"{tmp_path}/gone.tar/x.jpg") is None
    assert archives_in([f"{tar}/sub/deeper", str(tmp_path)]) == {str(tar)}


def test_members_are_listed_by_folder_and_read_at_their_place(tmp_path: Path) -> None:
    files = [("b.jpg", b"second"), ("sub/a.jpg", b"first"), ("../c.jpg", b"outside"), ("b.jpg", b"once more")]
    tar = save_tar(tmp_path / "a.tar", files, link("l.jpg", "/etc/passwd"), link("h.jpg", "b.jpg", tarfile.LNKTYPE))
    assert listed(tar) == {".": ["b.jpg"], "%2E%2E": ["c.jpg"], "sub": ["a.jpg"]}
    assert read_anywhere(f"{tar}/b.jpg", 100) == b"once more"
    assert read_anywhere(f"{tar}/%2E%2E/c.jpg", 100) == b"outside"
    with open_anywhere(f"{tar}/sub/a.jpg") as file:
        file.seek(-3, io.SEEK_END)
        assert (file.read(2), file.read(), file.read()) == (b"rs", b"t", b"")
    with pytest.raises(OSError, match="larger"):
        read_anywhere(f"{tar}/b.jpg", 3)
    with pytest.raises(FileNotFoundError):
        open_anywhere(f"{tar}/../c.jpg")
    for name in ("l.jpg", "h.jpg", "gone.jpg"):
        with pytest.raises(FileNotFoundError):
            open_anywhere(f"{tar}/{name}")
        assert is_gone(f"{tar}/{name}")
    assert not is_gone(f"{tar}/b.jpg")


def test_a_changed_archive_is_listed_again(tmp_path: Path) -> None:
    tar = save_tar(tmp_path / "a.tar", [("a.jpg", b"one"), ("b.jpg", b"two")])
    source = source_of(f"{tar}/a.jpg")
    assert source is not None
    opened = source.open(f"{tar}/b.jpg")
    opened.file.close()
    assert source.state(f"{tar}/b.jpg", opened.found, b"") == "same"
    stale = Found(opened.found.size, 1, 1)
    assert source.state(f"{tar}/b.jpg", stale, b"") == "changed"
    save_tar(tar, [("b.jpg", b"twos")])
    assert source.state(f"{tar}/b.jpg", opened.found, b"") == "changed"
    assert source.state(f"{tar}/a.jpg", opened.found, b"") == "missing"
    assert read_anywhere(f"{tar}/b.jpg", 100) == b"twos"


def test_damage_anywhere_is_an_error_and_not_the_end_of_the_archive(tmp_path: Path) -> None:
    data = save_tar(tmp_path / "a.tar", [(f"{n}.jpg", jpeg("red", n)) for n in range(4)]).read_bytes()
    second = 512 + -(-len(jpeg("red", 0)) // 512) * 512
    broken = {
        "header": data[:second] + bytes(range(256)) + data[second + 256 :],
        "cut in a header": data[: second + 100],
        "cut in a member": data[: second + 700],
        "no tar": b"x" * 10_000,
        "empty": b"",
        "compressed": b"\x1f\x8b" + data[2:],
    }
    for what, content in broken.items():
        with pytest.raises(OSError, match="not a whole tar"):
            print(what, list(members(io.BytesIO(content))))
    path = tmp_path / "b.tar"
    path.write_bytes(broken["header"])
    (listing,) = Archives().folders(str(path), lambda _folder, _name: True)
    assert listing.problem is not None
    assert "damaged at byte" in listing.problem


def test_a_header_cannot_ask_for_much_memory() -> None:
    entry = tarfile.TarInfo("././@PaxHeader")
    entry.type, entry.size = tarfile.XHDTYPE, 1 << 30
    with pytest.raises(OSError, match="not a whole tar"):
        list(members(io.BytesIO(entry.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 2048)))
    claims = tarfile.TarInfo("a.jpg")
    claims.size = 1 << 60
    with pytest.raises(OSError, match="not a whole tar"):
        list(members(io.BytesIO(claims.tobuf(tarfile.GNU_FORMAT) + b"\0" * 2048)))


def test_sparse_members_and_long_names_have_a_problem_of_their_own(tmp_path: Path) -> None:
    name = "n" * 3000 + ".jpg"
    tar = save_tar(tmp_path / "a.tar", [(name, b"x"), ("good.jpg", b"y")])
    sparse = tarfile.TarInfo("sparse.jpg")
    sparse.type = tarfile.GNUTYPE_SPARSE
    found = list(members(io.BytesIO(sparse.tobuf(tarfile.GNU_FORMAT) + b"\0" * 2048)))
    assert [member.problem for member in found] == ["a sparse member of an archive is not read"]
    (listing,) = Archives().folders(str(tar), lambda _folder, _name: True)
    problems = {entry.name[:7]: entry.problem for entry in listing.entries}
    assert problems == {"member-": "its name is empty or too long", "good.jp": None}

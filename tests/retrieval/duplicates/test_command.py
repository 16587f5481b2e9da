"""``photoseek duplicates`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from tests.retrieval.duplicates.collection import BURST, BYTES, KEEPER, OTHER, SMALL, contents, index, make_collection
from tests.test_cli import Run, run, two_lines

__all__ = ["run"]


@pytest.fixture
def place(run: Run, tmp_path: Path) -> Path:
    """The collection, indexed into the gallery that the commands use."""
    folder = make_collection(tmp_path / "pictures")
    index(Gallery(tmp_path / "gallery"), folder)
    return folder


def test_groups_for_people(run: Run, place: Path) -> None:
    before = contents(place)
    code, out, err = run("duplicates")
    assert code == 0
    blocks = out.split("same ")[1:]
    assert [block.splitlines()[0] for block in blocks] == ["bytes, 2 pictures", "picture, 2 pictures"]
    assert f"keep  {place / KEEPER}  600x400 JPEG" in blocks[0] and str(place / BYTES) in blocks[0]
    assert str(place / SMALL) in blocks[1] and "cosine" in blocks[1] and "bits" in blocks[1]
    assert str(place / BURST) not in out and str(place / OTHER) not in out
    assert "looked through 5 pictures" in err
    assert contents(place) == before


def test_groups_for_programs(run: Run, place: Path) -> None:
    code, out, _ = run("duplicates", "--json", "--look-alikes", "--min-score", "0.9")
    assert code == 0
    exact, copy, *alike = [json.loads(line) for line in out.splitlines()]
    assert (exact["kind"], copy["kind"]) == ("same bytes", "same picture")
    assert exact["keeper"]["path"] == copy["keeper"]["path"] == str(place / KEEPER)
    assert exact["others"][0]["cosine"] is None
    assert copy["others"][0]["cosine"] > 0.9 and copy["others"][0]["bits"] <= 5
    assert exact["bytes_of_others"] == (place / BYTES).stat().st_size
    assert {group["kind"] for group in alike} == {"look-alike"}
    assert str(place / BURST) in json.dumps(alike)


def test_filters(run: Run, place: Path) -> None:
    assert run("duplicates", "--under", place / "copies")[1] == "no duplicates\n"
    assert "same picture" not in run("duplicates", "--format", "jpeg")[1]


def test_the_keeper_is_who_the_user_says(run: Run, place: Path) -> None:
    for flags in (("--prefer", place / "small"), ("--keep", "smallest")):
        code, out, err = run("duplicates", *flags, "--json")
        assert code == 0, err
        (keeper,) = {g["keeper"]["path"] for g in map(json.loads, out.splitlines()) if g["kind"] == "same picture"}
        assert keeper == str(place / SMALL)
    code, _, err = run("duplicates", "--keep", "nicest")
    assert code == 2 and "--keep" in err


@pytest.mark.parametrize("act", ["--trash", "--link"])
def test_without_yes_nothing_is_done(run: Run, place: Path, tmp_path: Path, act: str) -> None:
    before = contents(place)
    code, out, err = run("duplicates", act)
    assert code == 0 and "same bytes" in out
    assert ("would move 2 pictures" if act == "--trash" else "would replace 1 picture (") in err and "--yes" in err
    assert contents(place) == before
    assert not (tmp_path / "gallery" / "trash").exists()


def test_trash_and_undo(run: Run, place: Path) -> None:
    before = contents(place)
    code, out, err = run("duplicates", "--trash", "--yes", "--look-alikes", "--min-score", "0.5")
    assert code == 0
    assert [line.split("\t")[:2] for line in out.splitlines()] == [
        ["moved", str(place / BYTES)],
        ["moved", str(place / SMALL)],
    ]
    assert "2 pictures moved to the trash" in err and "--undo" in err
    assert set(contents(place)) == {KEEPER, BURST, OTHER}
    assert run("duplicates")[1] == "no duplicates\n"
    found = run("similar", place / KEEPER, "--paths")[1]
    assert str(place / SMALL) not in found
    code, out, err = run("duplicates", "--undo", "--json")
    assert code == 0 and {json.loads(line)["done"] for line in out.splitlines()} == {True}
    assert "2 pictures put back" in err
    assert contents(place) == before
    assert str(place / SMALL) in run("similar", place / KEEPER, "--paths")[1]


def test_what_is_left_is_told_with_exit_3(run: Run, place: Path) -> None:
    run("duplicates", "--trash", "--yes")
    (place / BYTES).write_bytes(b"another")
    code, out, err = run("duplicates", "--undo")
    assert code == 3
    assert f"left\t{place / BYTES}\tanother file lies there now" in out
    assert "1 left where they are" in err


def test_links(run: Run, place: Path) -> None:
    code, out, _ = run("duplicates", "--link", "-y")
    assert code == 0 and out == f"linked\t{place / BYTES}\t{place / KEEPER}\n"
    assert (place / BYTES).samefile(place / KEEPER)


def test_page(run: Run, place: Path, tmp_path: Path) -> None:
    assert run("duplicates", "--html", tmp_path / "page.html")[0] == 0
    assert (tmp_path / "page.html").read_text().count("data:image/webp") == 4


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--trash", "--link"), "exclude each other"),
        (("--trash", "--undo"), "exclude each other"),
        (("--yes",), "not what"),
        (("--min-score", "0.9"), "--look-alikes"),
        (("--look-alikes", "--min-score", "2"), "cosine"),
        (("--look-alikes", "--min-score", "0"), "cosine"),
        (("--undo", "--html", "x.html"), "alone"),
        (("--undo", "--format", "jpeg"), "without filters"),
        (("--html", "photo.jpg"), "not a valid name for a page"),
        (("--html", "/no/such/folder/x.html"), "cannot write"),
    ],
)
def test_wrong_use_is_two_lines(run: Run, place: Path, flags: tuple[str, ...], words: str) -> None:
    before = contents(place)
    code, out, err = run("duplicates", *flags)
    assert (code, out) == (2, "")
    assert two_lines(err) and words in err
    assert contents(place) == before


def test_without_a_gallery(run: Run, tmp_path: Path) -> None:
    for flags in ((), ("--undo",), ("--trash", "--yes")):
        code, _, err = run("duplicates", *flags)
        assert code == 3 and two_lines(err) and "photoseek index" in err
    assert not (tmp_path / "gallery").exists()

"""``photoseek album`` from end to end, on the example photos; and pictures named on standard input."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES
from tests.test_cli_labels import photoseek, place

__all__ = ["photoseek", "place"]

Photoseek = Callable[..., tuple[int, str, str]]

DOG, OWL = EXAMPLES / "animals" / "dog.jpg", EXAMPLES / "birds" / "owl.jpg"


def test_an_album_of_pictures_from_its_making_to_its_return(photoseek: Photoseek) -> None:
    assert photoseek("album", "create", "Our  pets", DOG, OWL)[2] == "made the album Our pets of 2 pictures\n"
    assert photoseek("album", "show", "our PETS", "--paths")[1] == f"{DOG}\n{OWL}\n"
    code, _, err = photoseek("album", "add", "Our pets", EXAMPLES / "birds")
    assert code == 0 and err == "13 pictures added to Our pets; 1 was there\n"
    assert photoseek("album", "remove", "Our pets", EXAMPLES / "birds")[2] == "14 pictures removed from Our pets\n"
    photoseek("album", "add", "Our pets", OWL)
    assert photoseek("album", "order", "Our pets", OWL)[0] == 0
    assert photoseek("album", "show", "Our pets", "--paths", "-n", 1)[1] == f"{OWL}\n"
    assert photoseek("album", "cover", "Our pets", DOG)[0] == 0
    (listed,) = map(json.loads, photoseek("album", "list", "--json")[1].splitlines())
    assert (listed["name"], listed["pictures"], listed["cover"]) == ("Our pets", 2, str(DOG))
    (hit,) = map(json.loads, photoseek("search", "a dog", "--album", "our pets", "-n", 1, "--json")[1].splitlines())
    assert hit["path"] == str(DOG) and hit["albums"] == ["Our pets"]
    assert "  albums     Our pets\n" in photoseek("label", DOG)[1]
    assert len(photoseek("search", "--no-album", "our pets", "-n", "all", "--paths")[1].splitlines()) == 118
    assert "Our pets is now Pets" in photoseek("album", "rename", "our pets", "Pets")[2]
    code, _, err = photoseek("album", "delete", "pets")
    assert code == 0 and "would delete Pets, an album of 2 pictures; nothing is deleted without --yes" in err
    assert photoseek("album", "list")[1] == "Pets\t2 pictures\n"
    assert "deleted the album Pets" in photoseek("album", "delete", "pets", "--yes")[2]
    assert photoseek("album", "list")[0] == 1 and photoseek("search", "--album", "pets")[0] == 2
    assert photoseek("album", "list", "--deleted")[1] == "Pets\t2 pictures\n"
    assert photoseek("album", "undelete", "PETS")[2] == "the album Pets is back\n"
    assert photoseek("album", "show", "pets", "--paths")[1] == f"{OWL}\n{DOG}\n"


def test_a_saved_search_stays_live(photoseek: Photoseek) -> None:
    code, _, err = photoseek("album", "create", "Good owls", "--search", "an owl", "-n", 3, "--min-rating", 4)
    assert code == 0 and err == "made the album Good owls, which now finds 0 pictures\n"
    photoseek("label", OWL, "--rating", 5)
    assert photoseek("album", "show", "good owls", "--paths")[1] == f"{OWL}\n"
    for command in (("search", "bird"), ("search",), ("similar", DOG), ("clusters", "--k", 1), ("duplicates",)):
        code, out, err = photoseek(*command, "--album", "Good owls")
        assert code == 0, err
        assert "owl.jpg" in out or command[0] == "duplicates"
    assert photoseek("album", "list")[1] == 'Good owls\tsearch: "an owl" --limit 3 --min-rating 4\n'
    code, _, err = photoseek("album", "create", "Tall", "--orientation", "portrait")
    assert code == 0 and "which now finds" in err
    newest = photoseek("album", "show", "Tall", "--paths")[1]
    assert newest == photoseek("search", "--orientation", "portrait", "-n", "all", "--paths")[1] and newest


def test_pictures_may_come_from_another_command(
    photoseek: Photoseek, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def piped(raw: bytes, *arguments: object) -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
            return photoseek(*arguments)

    found = photoseek("search", "--under", EXAMPLES / "birds", "-n", "all", "--paths")[1]
    assert piped(found.encode(), "label", "-", "--rating", 3)[2] == "14 pictures: 14 ratings set\n"
    assert piped(f"{DOG}\0{OWL}\0".encode(), "album", "create", "Two", "-")[2] == "made the album Two of 2 pictures\n"
    code, _, err = piped(f"{DOG}\n/no/such.jpg\n".encode(), "label", "-", "--tag", "x")
    assert code == 2 and "1 picture: 1 tag added" in err and "1 picture could not be used" in err
    code, _, err = piped(b"\n\n", "label", "-", "--tag", "x")
    assert code == 2 and "standard input names no picture" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("album", "create", " ", DOG), 2, "is empty"),
        (("album", "create", "x", "/no/such.jpg"), 3, "/no/such.jpg"),
        (("album", "create", "x", DOG, "--search", "dog"), 2, "either"),
        (("album", "create", "x", "--search", "img:/some.jpg", "-n", 3), 2, "no files"),
        (("album", "create", "x", "--relevant"), 2, "looks for nothing"),
        (("album", "create", "x", "--tag", "nowhere"), 2, "has a tag"),
        (("album", "show", "nothing"), 2, "no album 'nothing'"),
        (("album", "add", "nothing", DOG), 2, "no album"),
        (("album", "delete", "nothing", "--yes"), 2, "no album"),
        (("album", "undelete", "nothing"), 2, "was deleted"),
        (("search", "--album", "nothing"), 2, "no album"),
    ],
)
def test_errors_are_two_lines(photoseek: Photoseek, arguments: tuple[object, ...], code: int, words: str) -> None:
    found, out, err = photoseek(*arguments)
    assert (found, out) == (code, "") and words in err
    assert len(err.splitlines()) == 2, err
    assert photoseek("album", "list")[0] == 1, "nothing was made"


def test_exporting_a_result(photoseek: Photoseek, tmp_path: Path) -> None:
    photoseek("album", "create", "Two", DOG, OWL)
    out = tmp_path / "out"
    code, _, err = photoseek("export", out, "--album", "two", "--dry-run")
    assert code == 0 and "2 pictures (" in err and "would be copied to" in err and not out.exists()
    assert "2 pictures" in photoseek("export", out, "--album", "two")[2]
    assert (out / "dog.jpg").read_bytes() == DOG.read_bytes()
    assert "0 pictures copied" in photoseek("export", out, "--album", "two")[2]
    code, _, err = photoseek("export", tmp_path / "small", "a dog", "-n", 3, "--size", 100, "--numbered")
    assert code == 0 and err.startswith("3 pictures made smaller to ")
    assert (tmp_path / "small" / "001-dog.jpg").is_file()
    listed = json.loads((tmp_path / "small" / "pictures.json").read_text())
    assert listed["query"] == "a dog" and listed["pictures"][0]["path"] == str(DOG)
    assert photoseek("export", tmp_path / "links", "--as", "links", "--under", EXAMPLES / "birds")[0] == 0
    assert len([path for path in (tmp_path / "links").iterdir() if path.is_symlink()]) == 14
    assert photoseek("export", tmp_path / "none", "--favourite")[0] == 1 and not (tmp_path / "none").exists()
    for wrong in (("--as", "paper"), ("--size", 3), ("--no-location",), ("--min-score", 0.2)):
        code, _, err = photoseek("export", tmp_path / "none", *wrong)
        assert code == 2 and len(err.splitlines()) == 2, err

"""Commands on several items: one that cannot be done is told and counted, and the others are done, in their order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES
from tests.test_cli_labels import Photoseek, photoseek, place  # noqa: F401 - fixtures

DOG = EXAMPLES / "animals" / "dog.jpg"


@pytest.fixture
def bad(tmp_path: Path) -> list[Path]:
    """A file that is no picture, one that is not there, and a folder."""
    text = tmp_path / "text.jpg"
    text.write_text("no picture", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    return [text, tmp_path / "gone.jpg", tmp_path / "folder"]


@pytest.mark.parametrize("as_json", [False, True])
def test_classify(photoseek: Photoseek, bad: list[Path], as_json: bool) -> None:  # noqa: F811
    items = [DOG, bad[0], bad[1], "id:1", bad[2]]
    code, out, err = photoseek("classify", *items, "--labels", "dog,car", *["--json"] * as_json)
    assert code == 2 and "3 pictures could not be used; the others are done" in err.splitlines()[-1]
    assert all(sum(str(path) in line for line in err.splitlines()) == 1 for path in bad)
    if as_json:
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["path"] for row in rows if "error" in row] == list(map(str, bad))
        assert len(rows) == 5 and len(rows[0]["labels"]) == len(rows[3]["labels"]) == 2 and "error" not in rows[3]
    else:
        assert [line.split("\t")[0] for line in out.splitlines()][:2] == [str(DOG)] * 2 and len(out.splitlines()) == 4
    code, out, err = photoseek("classify", "id:99999", DOG, "--labels", "dog,car")
    assert code == 2 and out.startswith(str(DOG)) and "no image 99999" in err


def test_a_single_item_is_an_ordinary_error(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    for command in (["classify"], ["label"], ["label", "--tag", "x"], ["forget"], ["index"]):
        code, out, err = photoseek(*command, bad[1])
        assert code in (2, 3) and out == "" and len(err.splitlines()) == 2, command


def test_label(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    code, _, err = photoseek("label", "--tag", "mine", DOG, bad[1], "id:99999", "id:1")
    assert code == 2 and "2 pictures: 2 tags added" in err and "gone.jpg" in err and "99999" in err
    assert "2 pictures could not be used; the others are done" in err
    code, out, _ = photoseek("label", bad[0], DOG, "--json")
    assert code == 2 and json.loads(out)["tags"][0]["tag"] == "mine"
    code, out, err = photoseek("label", "--tag", "x", bad[0], bad[1])
    assert code == 2 and out == "" and err.splitlines()[-1] == "2 pictures could not be used"
    code, _, err = photoseek("label", "--import-xmp", DOG, bad[1])
    assert code == 2 and "1 picture:" in err and "gone.jpg" in err


def test_forget(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    code, _, err = photoseek("forget", bad[1], EXAMPLES / "animals")
    assert code == 2 and "pictures forgotten" in err and "holds nothing of" in err
    assert "1 path could not be used; the others are done" in err


def test_lines_of_queries(photoseek: Photoseek, bad: list[Path], tmp_path: Path) -> None:  # noqa: F811
    lines = ["a dog", "", f"img:{bad[1]}", f"img:{bad[0]} + a cat", "- water", "img:id:99999", "a car"]
    file = tmp_path / "queries.txt"
    file.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\na boat\n")
    code, out, err = photoseek("search", "--queries-from", file, "-n", 2)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 2 and [row["query"] for row in rows] == [*lines, "\ufffd\ufffd", "a boat"]
    assert ["error" in row for row in rows] == [False, *[True] * 5, False, True, False]
    assert [len(row["hits"]) for row in rows] == [2, 0, 0, 0, 0, 0, 2, 0, 2]
    told = err.splitlines()
    assert [line.split(":")[0] for line in told if line.startswith("line ")] == [
        f"line {n}" for n in (2, 5, 8, 3, 4, 6)
    ]
    assert told[-1] == "6 lines could not be used"
    alone = photoseek("search", "a car", "-n", 2, "--paths")[1].splitlines()
    assert [hit["path"] for hit in rows[6]["hits"]] == alone


def test_thousands_of_bad_lines_are_counted(photoseek: Photoseek, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "queries.txt"
    file.write_text("\n" * 300, encoding="utf-8")
    code, out, err = photoseek("search", "--queries-from", file)
    assert code == 2 and len(out.splitlines()) == 300 and len(err.splitlines()) == 22
    assert err.endswith("300 lines could not be used; the first 20 are told above\n")

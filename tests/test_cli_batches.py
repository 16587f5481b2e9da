"""Commands on several items: failures are reported and counted, and the others are processed, in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
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
    assert code == 2 and "3 pictures could not be used; the others are processed" in err.splitlines()[-1]
    assert all(sum(str(path) in line for line in err.splitlines()) == 1 for path in bad)
    if as_json:
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["path"] for row in rows if "error" in row] == list(map(str, bad))
        assert len(rows) == 5 and len(rows[0]["labels"]) == len(rows[3]["labels"]) == 2 and "error" not in rows[3]
    else:
        assert [line.split("\t")[0] for line in out.splitlines()][:2] == [str(DOG)] * 2 and len(out.splitlines()) == 4
    code, out, err = photoseek("classify", DOG, "id:99999", "id:1", "--labels", "dog,car", *["--json"] * as_json)
    assert code == 2 and out.count("dog.jpg") == 2 - as_json and "no image 99999" in err
    if as_json:
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["path"] for row in rows][:2] == [str(DOG), "id:99999"] and len(rows) == 3
        assert rows[1] == {"path": "id:99999", "labels": [], "error": "there is no image 99999 in this gallery"}


def test_a_single_item_is_an_ordinary_error(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    for command in (["classify"], ["label"], ["label", "--tag", "x"], ["forget"], ["index"]):
        code, out, err = photoseek(*command, bad[1])
        assert code in (2, 3) and out == "" and len(err.splitlines()) == 2, command


def test_label(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    code, _, err = photoseek("label", "--tag", "mine", DOG, bad[1], "id:99999", "id:1")
    assert code == 2 and "2 pictures: 2 tags added" in err and "gone.jpg" in err and "99999" in err
    assert "2 pictures could not be used; the others are processed" in err
    code, out, _ = photoseek("label", bad[0], DOG, "id:99999", DOG, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 2 and [row["path"] for row in rows] == [str(bad[0]), str(DOG), "id:99999"]
    assert rows[1]["tags"][0]["tag"] == "mine" and "error" not in rows[1]
    assert rows[0] == {"path": str(bad[0]), "error": f"there is no picture {bad[0]} in the gallery"}
    assert rows[2]["error"] == "there is no picture id:99999 in the gallery"
    code, out, _ = photoseek("label", bad[0], DOG)
    assert code == 2 and out.startswith(f"{DOG} (id:") and str(bad[0]) not in out
    code, out, err = photoseek("label", "--tag", "x", bad[0], bad[1])
    assert code == 2 and out == "" and err.splitlines()[-1] == "2 pictures could not be used"
    code, _, err = photoseek("label", "--import-xmp", DOG, bad[1])
    assert code == 2 and "1 picture:" in err and "gone.jpg" in err


def test_forget(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    code, _, err = photoseek("forget", bad[1], EXAMPLES / "animals")
    assert code == 2 and "pictures forgotten" in err and "is not in the gallery" in err
    assert "1 path could not be used; the others are processed" in err


@pytest.mark.parametrize("more", [[], ["--purge"]])
def test_what_the_gallery_does_not_hold_is_told_alike_by_every_command(
    photoseek: Photoseek,  # noqa: F811
    bad: list[Path],
    place: Path,  # noqa: F811
    more: list[str],
) -> None:
    for command in (["forget", *more], ["label"], ["label", "--tag", "x"], ["tag"]):
        assert photoseek(*command, bad[1])[0] == 3, command
    with Gallery(place).reader() as reader:  # which keeps SQLite's log from being emptied
        reader.rows("BEGIN")
        reader.rows("SELECT count(*) FROM images")
        code, _, err = photoseek("forget", bad[1], EXAMPLES / "animals", *more)
    assert code == (3 if more else 2) and "1 path could not be used" in err
    assert ("catalog.sqlite-wal may still contain" in err) == bool(more)


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--json-progress"]])
def test_index(photoseek: Photoseek, bad: list[Path], tmp_path: Path, more: list[str]) -> None:  # noqa: F811
    """The good folders are indexed, in whatever place they stand."""
    new = tmp_path / "new"
    new.mkdir()
    (new / "one.jpg").write_bytes(DOG.read_bytes())
    code, _, err = photoseek("index", bad[1], new, bad[0], *more)
    lines = err.splitlines()
    assert code == 2 and lines[-1] == "2 folders could not be used; the others are processed"
    assert lines[:2] == [
        f"there is no folder {bad[1]}; check the spelling, or mount the drive",
        f"{bad[0]} is not a folder; give the folder that holds the pictures, or a .tar or .parquet",
    ]
    found = photoseek("search", "--under", new, "--paths")[1].splitlines()
    assert found == ([] if "--dry-run" in more else [str(new / "one.jpg")])
    code, _, err = photoseek("index", bad[0], bad[1], *more)
    assert code == 2 and err.splitlines()[2] == "photoseek: none of these folders can be indexed"
    assert photoseek("search", "--under", EXAMPLES / "animals", "-n", "all", "--paths")[1]


def test_tag(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    birds = EXAMPLES / "birds"
    code, out, err = photoseek("tag", bad[1], birds, "--labels", "bird,car", "--json")
    assert code == 2 and json.loads(out)["pictures"] == len([*birds.iterdir()])
    assert "is not in the gallery" in err and err.endswith("1 folder could not be used; the others are processed\n")
    code, out, err = photoseek("tag", bad[1], bad[2], "--labels", "bird,car", "--json")
    assert code == 2 and json.loads(out)["pictures"] == 0  # none, and not all
    assert photoseek("search", "--tag", "bird", "--under", birds, "-n", "all")[0] == 0


def test_comparing_models(photoseek: Photoseek, bad: list[Path]) -> None:  # noqa: F811
    captions = EXAMPLES / "captions.tsv"
    gone = bad[1].with_name("none")
    code, out, err = photoseek("eval", "compare", gone, "builtin-224", "--data", captions, "--json")
    assert code == 2 and [row["model"] for row in json.loads(out)["models"]] == ["builtin-224"]
    assert str(gone) in err and err.endswith("1 model could not be used; the others are processed\n")
    code, out, err = photoseek("eval", "compare", bad[1], gone, "--data", captions)
    assert code == 2 and out == "" and "none of these models can be used" in err
    code, out, err = photoseek("eval", "compare", "builtin-224", gone, "--data", bad[0])
    assert code == 2 and out == "" and len(err.splitlines()) == 2  # the data are wrong, not a model


def test_duplicates_in_a_folder_that_the_gallery_does_not_hold(
    photoseek: Photoseek,  # noqa: F811
    bad: list[Path],
) -> None:
    code, out, err = photoseek("duplicates", "--under", bad[1])
    assert code == 2 and "is not in the gallery" in err and "no duplicates" not in err + out


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
    assert err.endswith("300 lines could not be used; the first 20 are listed above\n")

"""What people try first on a command line: filters only, words without quotes, everything, tables for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.search.engine import QueryEngine
from retrieval.search.pages import Listing, browse
from tests.fakes import ColourEncoder
from tests.pictures import save_picture

ROOT = Path(__file__).parent.parent
Photoseek = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def place(indexed_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the gallery of the example photos."""
    place = tmp_path_factory.mktemp("manners")
    shutil.copytree(indexed_examples, place / "gallery")
    return place


@pytest.fixture(scope="module")
def photoseek(place: Path) -> Photoseek:
    def call(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "cli.py"), *arguments],
            env=os.environ | {"PHOTOSEEK_GALLERY": str(place / "gallery"), "PHOTOSEEK_MODELS": str(place / "models")},
            capture_output=True, text=True, timeout=600, check=False, cwd=place,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done

    return call


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_filters_alone_list_what_passes_them(photoseek: Photoseek) -> None:
    by_name = ("search", "--format", "webp", "--sort", "name", "--json")
    found = objects(photoseek(*by_name))
    names = [Path(str(hit["path"])).name for hit in found]
    assert names == sorted(names) and len(names) > 2 and {hit["score"] for hit in found} == {None}
    first = objects(photoseek(*by_name, "-n", "2", "--page", "1"))
    assert first[:2] == [hit | {"rank": rank} for rank, hit in enumerate(found[:2], 1)]
    second = objects(photoseek(*by_name, "-n", "2", "--cursor", str(first[2]["next"])))
    assert second[0]["path"] == found[2]["path"] and second[0]["rank"] == 3
    assert "\t\t" in photoseek("search", "--format", "webp", "-n", "1").stdout, "no score where nothing was looked for"
    assert len(photoseek("search", "--paths").stdout.splitlines()) == 10, "without a filter: all, newest first"
    assert (
        "without a query nothing can be relevant" in photoseek("search", "--relevant", "--sort", "date", code=2).stderr
    )


def test_all_of_it(photoseek: Photoseek) -> None:
    assert len(photoseek("search", "a dog", "-n", "all", "--paths").stdout.splitlines()) == 120
    assert len(photoseek("search", "-n", "ALL", "--paths").stdout.splitlines()) == 120
    assert "give 1, 2, 3, ... or all" in photoseek("search", "a dog", "-n", "0", code=2).stderr


def test_words_without_quotes_are_one_text(photoseek: Photoseek) -> None:
    together = photoseek("search", "red", "bird", "--json").stdout
    assert together == photoseek("search", "red bird", "--json").stdout


def test_a_file_in_place_of_words_is_pointed_out(photoseek: Photoseek, place: Path) -> None:
    (place / "my dog.jpg").write_bytes(b"x")
    for arguments in (["my dog.jpg"], ["my", "dog.jpg"]):
        said = photoseek("search", *arguments).stderr
        assert said.strip() == "my dog.jpg is a file; did you mean: photoseek similar 'my dog.jpg'"


def test_a_table_for_spreadsheets(photoseek: Photoseek, indexed_examples: Path) -> None:
    tags = 'zoo,"=HYPERLINK(""x"")"'
    photoseek("label", "id:1", "-t", tags, "-t", "park", "--caption", "-1+1")
    text = photoseek("search", "--tag", "zoo", "--csv").stdout
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert row["tags"] == '\'=hyperlink("x"); park; zoo' and row["captions"] == "'-1+1"
    assert (row["rank"], row["score"], row["id"]) == ("1", "", "1") and row["added_at"]
    [hit] = objects(photoseek("search", "--tag", "zoo,park", "--json"))
    assert hit["tags"] == ['=hyperlink("x")', "park", "zoo"] and hit["captions"] == ["-1+1"]
    assert str(hit["added_at"]).startswith("20")
    assert photoseek("label", "id:1", "--remove-tag", "zoo,park").stderr.strip() == "1 picture: 2 tags removed"


@pytest.mark.parametrize("listing", [Listing(), Listing(group_minutes=5), Listing(sort="name", reverse=True)])
def test_browsing_skips_what_is_gone(tmp_path: Path, listing: Listing, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(7):
        save_picture(tmp_path / "photos" / f"{number}.jpg", "red", seed=number)
    gallery = Gallery(tmp_path / "gallery")
    Indexer(gallery, ColourEncoder()).run(tmp_path / "photos")
    with QueryEngine(gallery, ColourEncoder()) as engine:
        whole = [hit.image.id for hit in browse(engine, None, listing, 7).hits]
        page = browse(engine, None, listing, 2)
        (gone,) = [hit.image.path for hit in page.hits][:1]
        Path(gone).unlink()
        again = browse(engine, None, listing, 2)
        assert [hit.image.id for hit in again.hits] == whole[1:3] and again.hits[0].rank == 1
        assert "1 picture is skipped: the file is missing" in caplog.text
        assert page.next is not None
        following = browse(engine, None, Listing(**{**vars(listing), "cursor": page.next}), 9)
        assert [hit.image.id for hit in following.hits] == whole[2:] and following.next is None
        assert following.hits[0].rank == 2, "one before it is gone"


def test_version_and_the_list_of_models(photoseek: Photoseek) -> None:
    from importlib.metadata import version

    assert photoseek("--version").stdout == photoseek("-V").stdout == f"photoseek {version('photoseek')}\n"
    assert photoseek("models", "list").stdout == photoseek("models").stdout
    assert photoseek("models", "list", "--json").stdout == photoseek("models", "--json").stdout


def test_labels_are_given_together_or_one_by_one(photoseek: Photoseek) -> None:
    together = photoseek("classify", "id:20", "--labels", "cat,dog,car", "--json").stdout
    assert together == photoseek("classify", "id:20", "--labels", "cat", "--labels", "dog,car", "--json").stdout
    photoseek("label", "id:2", "-t", "a1,b1", "-t", "c1")
    assert photoseek("label", "id:2", "--remove-tag", "a1,b1,c1").stderr.strip() == "1 picture: 3 tags removed"


def test_answers_of_the_shell_stand_apart(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "shell", "-n", "2", "--gallery", str(place / "gallery")],
        input="a dog\nlike 1\nshow 1\n",
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.split("\n\n")
    assert first.count("\n") == 1 and second.startswith("1\t") and "(id:" in third


def test_a_query_in_another_script_gets_a_hint(photoseek: Photoseek) -> None:
    hint = "builtin-224 knows English only; say it in English, or use a multilingual model (photoseek models)"
    assert hint in photoseek("search", "собака").stderr.splitlines()
    assert "English" not in photoseek("search", "a dog").stderr
    nothing = photoseek("search", "Steuererklärung des Finanzamts", "--relevant", code=1).stderr.splitlines()
    perhaps = (
        "builtin-224 knows English only; for words of another language use a multilingual model (photoseek models)"
    )
    assert next(line for line in nothing if not line.startswith("measuring")) == perhaps


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("search --tag zo", ["zoo1", "zoo2"]),
        ("search --no-tag zoo1,zo", ["zoo1,zoo1", "zoo1,zoo2"]),
        ("search x --format we", ["webp"]),
        ("similar x --orientation p", ["portrait"]),
        ("search x --sort ", ["score", "date", "name"]),
        ("search x --model b", ["builtin-224"]),
        ("index --model ViT-B-32-Sig", ["ViT-B-32-SigLIP2-256/webli"]),
        ("label id:3 --remove-tag zoo2", ["zoo2"]),
        ("search --camera Al", ["Alpha\\ 1"]),
        ("daemon s", ["start", "stop", "status"]),
    ],
)
def test_values_are_completed(photoseek: Photoseek, place: Path, line: str, offered: list[str]) -> None:
    if not (place / "labelled").exists():
        photoseek("label", "id:3", "-t", "zoo1,zoo2")
        with closing(sqlite3.connect(place / "gallery" / "catalog.sqlite")) as catalog, catalog:
            catalog.execute("UPDATE images SET camera = 'Alpha 1' WHERE id = 3")
        (place / "labelled").touch()
    words = f"photoseek {line}"
    gallery = {"PHOTOSEEK_GALLERY": str(place / "gallery")}
    for shell, env in {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }.items():
        done = subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "cli.py")], capture_output=True, text=True, check=False,
            env=os.environ | gallery | {"_PHOTOSEEK_COMPLETE": f"complete_{shell}"} | env,
        )  # fmt: skip
        assert done.stderr == ""
        plain = [value.replace("\\", "") for value in offered]
        if shell == "bash":
            assert done.stdout.splitlines() == offered
        elif shell == "fish":
            assert done.stdout.splitlines() == plain
        else:
            assert all(f'"{value}"' in done.stdout for value in plain)


def test_without_a_gallery_nothing_is_offered_and_nothing_said(tmp_path: Path) -> None:
    env = {"COMP_WORDS": "photoseek search --tag z", "COMP_CWORD": "3", "_PHOTOSEEK_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py")], capture_output=True, text=True, check=False,
        env=os.environ | env | {"PHOTOSEEK_GALLERY": str(tmp_path / "none")},
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("", "") and not (tmp_path / "none").exists()

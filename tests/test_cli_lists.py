"""``--relevant``, ``--sort``, ``--page``, ``--cursor`` and ``--group-near`` as a person types them."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES

ROOT = Path(__file__).parent.parent
Photoseek = Callable[..., subprocess.CompletedProcess[str]]


LISTS = (
    *(f"retrieval.search.{name}" for name in ("pages", "relevance", "calibration", "bursts", "cursor")),
    *(f"retrieval.labels.{name}" for name in ("vocabulary", "zeroshot")),
)
"""What only lists in another order, and relevance, need."""


@pytest.fixture(scope="module")
def photoseek(indexed_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Photoseek:
    """``photoseek("search", "x")`` on the example photos, of which the first forty were taken within one minute."""
    place = Path(shutil.copytree(indexed_examples, tmp_path_factory.mktemp("lists") / "gallery"))
    with closing(sqlite3.connect(place / "catalog.sqlite")) as catalog, catalog:
        catalog.execute(
            "UPDATE images SET taken_at = '2024-05-01T12:00:' || printf('%02d', id),"
            " taken_instant = 1714564800000000 + id * 1000000 WHERE id <= 40"
        )

    def call(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", str(ROOT / "cli.py"), *arguments], input=given,
            env=os.environ | {"PHOTOSEEK_GALLERY": str(place), "PHOTOSEEK_MODELS": str(place / "models")},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    return call


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("form", [[], ["--json"], ["--paths"], ["-0"]])
def test_nothing_relevant_says_so_and_prints_nothing(photoseek: Photoseek, form: list[str]) -> None:
    done = photoseek("search", "the minutes of a committee about taxes", "--relevant", *form)
    assert (done.returncode, done.stdout) == (1, "")
    said = [line for line in done.stderr.splitlines() if not line.startswith("measuring")]
    hint = "builtin-224 knows English only; for words of another language use a multilingual model (photoseek models)"
    assert said[:2] == [hint, "nothing in this gallery matches well"]
    assert "omit --relevant" in said[2] and len(said) == 3


def test_relevant_hits_carry_their_relevance(photoseek: Photoseek) -> None:
    found = lines(photoseek("search", "a dog", "--relevant", "--json"))
    assert str(found[0]["path"]).endswith("dog.jpg")
    assert all(0.98 <= float(str(hit["relevance"])) <= 1 for hit in found)
    plain = lines(photoseek("search", "a dog", "--json"))
    assert len(plain) == 10 and {hit["relevance"] for hit in plain} == {None}


def test_plain_search_measures_and_loads_nothing_new(indexed_examples: Path) -> None:
    code = (
        f"import sys, cli; sys.argv = ['photoseek', 'search', 'a dog', '--gallery', {str(indexed_examples)!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print(*[name for name in {LISTS!r} if name in sys.modules])"
    )
    assert all(find_spec(name) for name in LISTS)  # else a module of another name would be loaded unseen
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
    assert not (indexed_examples / "relevance").exists()


def test_sorted_by_date_and_by_name(photoseek: Photoseek) -> None:
    found = lines(photoseek("search", "a dog", "--sort", "date", "--min-score", "0.1", "--json", "-n", "200"))
    dates = [str(hit["taken_at"]) for hit in found if hit["taken_at"]]
    assert len(dates) > 10 and dates == sorted(dates, reverse=True)
    assert all(hit["taken_at"] is None for hit in found[len(dates) :])
    found = lines(photoseek("search", "a dog", "--sort", "name", "--reverse", "--json"))
    names = [Path(str(hit["path"])).name for hit in found]
    assert names == sorted(names, reverse=True) and [hit["rank"] for hit in found] == list(range(1, 11))


def test_pages_and_cursors(photoseek: Photoseek) -> None:
    whole = [hit["id"] for hit in lines(photoseek("search", "a dog", "-n", "12", "--json"))]
    *second, end = lines(photoseek("search", "a dog", "-n", "4", "--page", "2", "--json"))
    assert [hit["id"] for hit in second] == whole[4:8] and [hit["rank"] for hit in second] == [5, 6, 7, 8]
    *third, _ = lines(photoseek("search", "a dog", "-n", "4", "--cursor", str(end["next"]), "--json"))
    assert [hit["id"] for hit in third] == whole[8:]
    done = photoseek("search", "a dog", "-n", "4", "--page", "2")
    assert len(done.stdout.splitlines()) == 4 and done.stderr == "more: --page 3\n"
    *_, end = lines(photoseek("search", "a dog", "-n", "100", "--page", "2", "--json"))
    assert end == {"next": None, "total": None}
    beyond = photoseek("search", "a dog", "--page", "90")
    assert (beyond.returncode, beyond.stdout) == (1, "")


def test_bursts_are_grouped(photoseek: Photoseek) -> None:
    photo = str(EXAMPLES / "animals" / "dog.jpg")
    plain = lines(photoseek("similar", photo, "-n", "119", "--json"))
    grouped = lines(photoseek("similar", photo, "-n", "119", "--group-near", "5", "--json"))
    assert sum(1 + int(str(hit["burst"])) for hit in grouped) == len(plain) == 119
    found = photoseek("similar", photo, "-n", "119", "--group-near", "5").stdout
    bursts = [int(str(hit["burst"])) for hit in grouped if hit["burst"]]
    assert [int(line.rpartition("\t+")[2]) for line in found.splitlines() if "\t+" in line] == bursts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a dog", "--sort", "size"], "cannot sort by 'size'"),
        (["a dog", "--page", "0"], "there is no page 0"),
        (["a dog", "--page", "5000"], "limited to 10,000"),
        (["a dog", "--sort", "date", "--page", "2"], "one page"),
        (["a dog", "--page", "2", "--cursor", "p1.x"], "both given"),
        (["a dog", "--cursor", "p1.x"], "not a valid cursor"),
        (["a dog", "--group-near", "-3"], "is not possible"),
        (["--relevant", "--image", str(EXAMPLES / "animals" / "dog.jpg")], "by words"),
        (["--relevant", "--queries-from", "-"], "best hits of each query"),
    ],
)
def test_what_cannot_be_is_said_in_two_lines(photoseek: Photoseek, arguments: list[str], message: str) -> None:
    done = photoseek("search", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("photoseek: ") and message in first and second.strip()


def test_without_words_pictures_are_listed_alike_by_the_command_and_the_shell(photoseek: Photoseek) -> None:
    every = photoseek("search", "-n", "all", "--paths").stdout.splitlines()
    assert len(every) == 120 and every[0].endswith("/" + Path(every[0]).name)
    assert photoseek("search", "--paths").stdout.splitlines() == every[:10]
    (first,) = lines(photoseek("search", "--json", "-n", "1"))
    assert first["path"] == every[0] and first["score"] is None
    assert [row["path"] for row in lines(photoseek("search", "-n", "3", "--json"))] == every[:3]
    png = photoseek("search", "--format", "png,webp", "-n", "3", "--paths").stdout.splitlines()
    asked = photoseek("shell", given="-n 3\nmore\n--format png,webp -n 3\n").stdout.split("\n\n")
    shown = [[line.split("\t")[-1] for line in answer.strip().splitlines()] for answer in asked]
    assert shown == [every[:3], every[3:6], png]

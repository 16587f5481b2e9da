"""Command lines that are parsed without typer give the same results as with it; the others are passed to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import retrieval.commands.app as application
from retrieval.commands import options, plain
from retrieval.commands.plain import plain_search
from retrieval.filters.conditions import fields
from retrieval.program import errors_in_two_lines

PHOTOS = Path(__file__).parent.parent / "examples" / "photos"

SHORT = [
    "a dog",
    "a red bird -n 3",
    "some;dogs --limit=2 --json",
    "dog --paths a cat",
    "dog --json --paths",
    "dog --orientation landscape",
    "dog --orientation=portrait,square --orientation landscape --paths",
    "dog --no-format png --min-width 100 --max-width=4000",
    "dog --untagged --tag nobody-said-this",
    "dog --after yesterday",
    "dog --after gibberish",
    "dog --min-bytes 1kB --sort name",
    f"dog --under {PHOTOS / 'birds'}",
    "dog --under nowhere",
    "dog --sort date --min-score 0.1",
    "dog --sort size",
    "dog --sort name --reverse --page 2 -n 2",
    "dog --min-score nan",
    "dog --relevant -n 2",
    "dog --group-near 5 -n 4",
    "2:flower+img:nowhere.jpg",
    "+",
    "dog --gallery nowhere",
]
LONG = [
    "",
    "--sort date",
    "dog --help",
    "dog --no-such-flag",
    "dog -n",
    "dog -n all",
    "dog -n5",
    "dog -n=5",
    "dog -n 0",
    "dog -n ٣",
    "dog --json=yes",
    "dog --untagged=yes",
    "dog --no-untagged",
    "dog --min-width wide",
    "dog --min-score high",
    "dog --under ~",
    "dog --under=",
    "dog --sort -1",
    "dog --csv",
    "dog -- -cat",
    "dog - cat",
    "dog --without cat",
    "dog --image photo.jpg",
    "dog --model builtin-224",
    "dog --preview",
    "dog --queries-from -",
]


def words(line: str) -> list[str]:
    return ["search", *(part.replace(";", " ") for part in line.split())]


@pytest.fixture
def told(
    indexed_examples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[], object]], tuple[Any, str, str]]:
    """The exit code, stdout and stderr of what runs."""
    monkeypatch.setenv("PHOTOSEEK_GALLERY", str(indexed_examples))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.chdir(PHOTOS)

    def call(run: Callable[[], object]) -> tuple[Any, str, str]:
        code: Any = 0
        try:
            run()
        except SystemExit as stop:
            code = stop.code or 0
        return (code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("line", SHORT)
def test_both_ways_say_the_same(
    line: str, told: Callable[[Callable[[], object]], tuple[Any, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["photoseek", *words(line)])
    read = plain_search(words(line))
    assert read is not None

    def short() -> None:
        with errors_in_two_lines("photoseek"):
            read.run()

    wanted = told(application.run)
    assert told(short) == wanted
    assert wanted[1] or wanted[2]


@pytest.mark.parametrize("line", LONG)
def test_what_is_not_known_or_may_be_wrong_is_left_to_typer(line: str) -> None:
    assert plain_search(words(line)) is None


def test_other_commands_empty_words_and_completion_are_left_to_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_search(["similar", "a.jpg"]) is None
    assert plain_search([]) is None
    assert plain_search(["search", ""]) is None
    assert plain_search(["search", "dog", " "]) is None
    monkeypatch.setenv("_PHOTOSEEK_COMPLETE", "complete_bash")
    assert plain_search(["search", "dog"]) is None


def test_the_flags_are_those_of_the_command() -> None:
    """Names, and whether they take a value; so that none is read in another way than its help says."""
    parser: Any = typer.main.get_command(application.app)
    flags = {name: param for param in parser.get_command(None, "search").params for name in param.opts}
    assert {flag for flag in plain._ON if not flags[flag].is_flag} == set()
    assert {flag for flag in plain._VALUES if flags[flag].is_flag or flags[flag].multiple} == set()
    assert {flags[flag].name for flag in plain._VALUES} == set(plain._VALUES.values())
    assert {flags[flag].name for flag in plain._ON} == set(plain._ON.values())
    assert set(plain._LISTING) < set(options._LISTING_FLAGS)
    for field, condition in fields():
        param = flags["--" + field.replace("_", "-")]
        assert (param.is_flag, param.multiple) == (condition.kind == "flag", condition.is_several), field

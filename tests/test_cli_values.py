"""Rules for the values of all flags and arguments, tested on all commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from retrieval.commands import COMMANDS
from retrieval.commands import app as application
from tests.conftest import EXAMPLES
from tests.test_cli import Run, run

__all__ = ["run"]


def every_command() -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words, command) for each command and subcommand."""
    parser: Any = typer.main.get_command(application.app)
    for name in COMMANDS:
        command = parser.get_command(None, name)
        yield (name,), command
        yield from (((name, inner), each) for inner, each in getattr(command, "commands", {}).items())


def every_value() -> Iterator[tuple[tuple[str, ...], Any]]:
    """(command, parameter) for each flag and argument that takes a text or a path."""
    for path, command in every_command():
        for param in command.params:
            if getattr(param.type, "name", "") in ("path", "file", "directory", "text", "str"):
                yield path, param


VALUES = list(every_value())


def call(path: tuple[str, ...], param: Any, value: str) -> list[str]:
    """A command line that gives a parameter this value, and everything else that has to be there."""
    parser: Any = typer.main.get_command(application.app)
    command = parser.get_command(None, path[0])
    command = command.commands[path[1]] if len(path) > 1 else command
    given: list[str] = []
    for other in command.params:
        if other.name != param.name and other.required:
            flag = max(other.opts, key=len)
            given += [flag, "x"] if flag.startswith("-") else ["x"]
        elif other.name == param.name:
            flag = max(other.opts, key=len)
            given += [f"{flag}={value}"] if flag.startswith("-") else [value]
    return [*path, *given]


def test_every_flag_that_help_names_exists() -> None:
    commands = dict(every_command())
    flags = {flag for command in commands.values() for param in command.params for flag in param.opts} | {"--help"}
    flags |= {flag for command in commands.values() for param in command.params for flag in param.secondary_opts}
    for path, command in commands.items():
        texts = [
            command.help or "",
            command.epilog or "",
            *(getattr(each, "help", "") or "" for each in command.params),
        ]
        named = re.findall(r"(?<![\w-])--[\w-]*\w", " ".join(texts))
        assert set(named) <= flags, path


@pytest.mark.parametrize(("path", "param"), VALUES, ids=[f"{' '.join(p)} {v.name}" for p, v in VALUES])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_is_refused_everywhere(run: Run, path: tuple[str, ...], param: Any, value: str) -> None:
    code, out, err = run(*call(path, param, value))
    assert (code, out) == (2, ""), err
    first, second = err.splitlines()
    assert first.startswith("photoseek: ") and first.endswith("is empty") and "omit it" in second


PATHS = [(p, v) for p, v in VALUES if v.type.name not in ("text", "str") or v.name in ("under", "no_under")]


@pytest.mark.parametrize(("path", "param"), PATHS, ids=[f"{' '.join(p)} {v.name}" for p, v in PATHS])
def test_a_tilde_is_the_home_folder_everywhere(
    run: Run, path: tuple[str, ...], param: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert str(param.type("~/x", param, _Typed())) == str(tmp_path / "home" / "x")
    code, _, err = run(*call(path, param, "~nobody-of-this-name/x"))
    assert code == 2 and "there is no user ~nobody-of-this-name" in err


class _Typed:
    """As much of a context as tells that a value was typed."""

    resilient_parsing = False

    def get_parameter_source(self, _name: str) -> Any:
        class Source:
            name = "COMMANDLINE"

        return Source


def test_files_are_written_into_the_home_folder(
    run: Run, indexed_examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    found = run("search", "a dog", "-n", "1", "--copy-to=~/copies", "--html=~/page.html", gallery=indexed_examples)
    assert found[0] == 0, found[2]
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"copies", "page.html"}
    assert not (tmp_path / "~").exists()


def test_a_folder_that_the_gallery_does_not_hold_is_told_with_the_nearest(run: Run, indexed_examples: Path) -> None:
    for flag in ("--under", "--no-under"):
        code, out, err = run("search", "a dog", flag, str(EXAMPLES / "bird"), gallery=indexed_examples)
        assert (code, out) == (2, "") and f"did you mean {EXAMPLES / 'birds'}" in err, err
    code, out, err = run("search", "a dog", "--under", "/quite/elsewhere", gallery=indexed_examples)
    assert (code, out) == (2, "") and str(EXAMPLES) in err.splitlines()[1]

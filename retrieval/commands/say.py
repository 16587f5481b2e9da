"""What a command tells the person, next to its results."""

from __future__ import annotations

import typer

from retrieval.streams import printable_lines


def say(line: str) -> None:
    """Tell the person something: on stderr, because stdout is for results. Nothing in it steers the terminal."""
    typer.echo(printable_lines(line), err=True)


def needed(found: object) -> None:
    """Say that nothing was found, and leave with exit code 1, if ``found`` is empty."""
    if not found:
        say("nothing found")
        raise typer.Exit(1)

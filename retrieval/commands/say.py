"""What a command tells the person, next to its results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from retrieval.streams import printable_lines

if TYPE_CHECKING:
    from retrieval.undone import Refused


def say(line: str) -> None:
    """Tell the person something: on stderr, because stdout is for results. Nothing in it steers the terminal."""
    typer.echo(printable_lines(line), err=True)


def needed(found: object) -> None:
    """Say that nothing was found, and leave with exit code 1, if ``found`` is empty."""
    if not found:
        say("nothing found")
        raise typer.Exit(1)


@contextmanager
def others_go_on(one: str, items: Sequence[object] | None = None) -> Iterator[Refused | None]:
    """Around a command on several items, see :mod:`retrieval.undone`: it ends with exit code 2 if one was not done,
    or with the command's own if that is higher.

    Args:
        one: what an item is called: picture, folder, line.
        items: all of them; of a single one nothing else is to be done, and its error is raised as it is.
    """
    if items is not None and len(items) < 2:
        yield None
        return
    from retrieval.undone import EXIT_CODE, Undone

    undone = Undone(say)
    code, total = EXIT_CODE, None if items is None else len(items)
    try:
        yield undone
    except typer.Exit as ended:
        if not undone.count:
            raise
        if ended.exit_code > code:
            code, total = ended.exit_code, None  # nothing can be said of the others
    if undone.count:
        say(undone.summary(one, total))
        raise typer.Exit(code)

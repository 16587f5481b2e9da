"""Messages of a command to the person, in addition to its results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from retrieval.asker import asker
from retrieval.streams import printable_lines

if TYPE_CHECKING:
    from retrieval.undone import Refused


def say(line: str) -> None:
    """Print a message to stderr, because stdout is for results. It cannot control the terminal."""
    found = asker()
    stream = sys.stderr if found is None else found.err
    if stream is not None:  # a process may have no stderr
        print(printable_lines(line), file=stream, flush=True)


def needed(found: object) -> None:
    """Report that nothing was found, and exit with code 1, if ``found`` is empty."""
    if not found:
        say("nothing found")
        raise SystemExit(1)


@contextmanager
def others_go_on(one: str, items: Sequence[object] | None = None) -> Iterator[Refused | None]:
    """For a command on several items, see :mod:`retrieval.undone`: exit with code 2 if one failed,
    or with the command's own exit code if that is higher.

    Args:
        one: the name of an item: picture, folder, line.
        items: all of them; with a single one, its error is raised unchanged.
    """
    if items is not None and len(items) < 2:
        yield None
        return
    from retrieval.undone import EXIT_CODE, Undone

    undone = Undone(say)
    code, total = EXIT_CODE, None if items is None else len(items)
    try:
        yield undone
    except SystemExit as ended:
        own = ended.code if isinstance(ended.code, int) else 0
        if not undone.count:
            raise
        if own > code:
            code, total = own, None  # nothing is known about the others
    if undone.count:
        say(undone.summary(one, total))
        raise SystemExit(code)

"""For whom a command runs: this process's own user, or the client of a resident process.

A resident process runs commands in one of its threads: it cannot replace its standard streams or its working folder for
them, so everything that prints or reads a relative path during a search asks this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO, NamedTuple


class Asker(NamedTuple):
    """The client of a resident process.

    Attributes:
        out, err: the output streams of the command.
        folder: its working folder.
        gallery: the one named in its command line; None means the default.
    """

    out: IO[str]
    err: IO[str]
    folder: str
    gallery: str | None


class LeftToAsker(Exception):
    """The client's own process should run the command: it has the terminal, the time, or the other gallery."""


_asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


@contextmanager
def asked_by(asker: Asker) -> Iterator[None]:
    """Inside the block, this thread works for ``asker``."""
    token = _asker.set(asker)
    try:
        yield
    finally:
        _asker.reset(token)


def asker() -> Asker | None:
    """For whom this thread works; None: the user of this process."""
    return _asker.get()


def in_folder(path: str) -> str:
    """Convert a path relative to the asker's working folder to one that this process can use."""
    found = _asker.get()
    return path if found is None else os.path.join(found.folder, path)

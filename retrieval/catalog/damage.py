"""Decide whether an error is caused by a damaged catalog or by a mistake in the program."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from retrieval.catalog.connect import connect
from retrieval.errors import GalleryError, RetrievalError

_OF_VALUES = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError)
"""What values lead to that the catalog never wrote: a number for a text, none for one, text for JSON."""


@contextmanager
def told_as_damage(path: Path) -> Iterator[None]:
    """Around work with a catalog: a fault over values is told as damage, if the database proves to be damaged.

    Pages that a disk lost or exchanged may be read without an error; what is in them has other types and other columns.
    The whole database is looked through only then, so that work without a fault costs nothing.

    Raises:
        GalleryError: the catalog is damaged. Otherwise the fault goes on as it is.
    """
    try:
        yield
    except _OF_VALUES as error:
        found = _damage(path)
        if found is None:
            raise
        raise found from error


def _damage(path: Path) -> GalleryError | None:
    from retrieval.system_errors import damaged

    try:
        with closing(connect(path)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if said == "ok" and connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                said = "rows belong to others that are not there"
    except sqlite3.Error as error:
        said = str(error)
    except RetrievalError as error:
        return error if isinstance(error, GalleryError) else None
    return None if said == "ok" else damaged(path, said)

"""Copy what can still be read of a damaged catalog, row by row, into a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from retrieval.catalog.connect import connect
from retrieval.catalog.schema import metadata
from retrieval.catalog.writer import Catalog
from retrieval.errors import GalleryError

_MOST_ROWS = 1 << 40
_MOST_FAILURES = 100_000
"""Failed reads in one table before the rest is given up: a damaged page near a table's root hides millions of rows."""


class Salvaged(NamedTuple):
    """What happened to one table: rows that are in the new catalog, rows that were read but do not fit into it, and
    whether parts of the table could not be read."""

    table: str
    rows: int
    unfit: int
    is_partial: bool


def salvage(path: Path, target: Path) -> list[Salvaged]:
    """Read every row of a damaged catalog that can be read, and write it into a new one.

    Rows that refer to lost rows are left out, because what they describe is unknown.

    Args:
        path: a catalog of the current version.
        target: must not exist.

    Raises:
        GalleryError: nothing of it can be read.
    """
    Catalog(target).close()
    found = []
    with closing(connect(path)) as source, closing(sqlite3.connect(target)) as new:
        new.execute("PRAGMA foreign_keys = OFF")
        new.execute("BEGIN")
        for table in metadata.sorted_tables:
            found += [_table(source, new, table.name, [column.name for column in table.columns])]
        while orphans := new.execute("PRAGMA foreign_key_check").fetchall():
            for name, row_id, *_ in orphans:
                new.execute(f'DELETE FROM "{name}" WHERE rowid = ?', [row_id])
        for name, sql in new.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
        ).fetchall():
            if "content" in sql:  # an index of rows of another table
                new.execute(f'INSERT INTO "{name}" ("{name}") VALUES (\'rebuild\')')
        _complete_state(new)
        new.execute("COMMIT")
    if not any(each.rows for each in found if each.table == "images"):
        raise GalleryError(f"no picture can be read from {path}", "restore a backup: photoseek restore FOLDER")
    return found


def _complete_state(new: sqlite3.Connection) -> None:
    """Set a change number that no row exceeds, under a new name, so that no saved index matches this catalog; and
    an encoder to search with."""
    changes = [0]
    for table in metadata.sorted_tables:
        if "change" in table.columns:
            (last,) = new.execute(
                f"SELECT max(change) FROM \"{table.name}\" WHERE typeof(change) = 'integer'"
            ).fetchone()
            changes.append(int(last or 0))
    new.execute("DELETE FROM state WHERE id <> 1 OR typeof(change) <> 'integer'")
    new.execute("INSERT OR IGNORE INTO state (id, change) VALUES (1, 0)")
    new.execute("UPDATE state SET change = ?", [max(changes) + 1])
    new.execute(
        """UPDATE state SET active_encoder_id = (SELECT encoder_id FROM embeddings GROUP BY encoder_id
           ORDER BY count(*) DESC LIMIT 1) WHERE active_encoder_id IS NULL"""
    )


def _table(source: sqlite3.Connection, new: sqlite3.Connection, name: str, columns: list[str]) -> Salvaged:
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" * len(columns))
    kind = source.execute("SELECT type FROM sqlite_master WHERE name = ?", [name]).fetchone()
    if kind is not None and kind[0] != "table":
        raise GalleryError(f"{name} is no table in it", "restore a backup")
    there = {row[1] for row in source.execute(f'PRAGMA table_info("{name}")')}
    if not there.issuperset(columns):
        raise GalleryError("this catalog is of another version, or its schema is damaged", "restore a backup")
    unfit = 0
    readable = _Readable(source, name, names)
    for row in readable.rows(0, _MOST_ROWS):
        try:
            new.execute(f'INSERT OR REPLACE INTO "{name}" ({names}) VALUES ({marks})', row)
        except sqlite3.Error:  # a value that the column rejects
            unfit += 1
    rows = int(new.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])
    return Salvaged(name, rows, unfit, readable.failures > 0)


class _Readable:
    """The readable rows of a table: a range that fails is halved until single rows remain."""

    def __init__(self, source: sqlite3.Connection, table: str, names: str) -> None:
        self._source, self._table, self._names = source, table, names
        self.failures = 0

    def rows(self, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        """Rows with ids from ``first`` to ``last``, by id, as far as they can be read."""
        sql = f'SELECT rowid, {self._names} FROM "{self._table}" WHERE rowid BETWEEN ? AND ? ORDER BY rowid'
        pending = [(first, last)]
        while pending and self.failures < _MOST_FAILURES:
            low, high = pending.pop()
            seen = low - 1
            try:
                cursor = self._source.execute(sql, [low, high])
                while (row := cursor.fetchone()) is not None:
                    seen = int(row[0])
                    yield row[1:]
            except (sqlite3.DatabaseError, ValueError):
                self.failures += 1
                low = seen + 1
                if low < high:
                    middle = (low + high) // 2
                    pending += [(middle + 1, high), (low, middle)]

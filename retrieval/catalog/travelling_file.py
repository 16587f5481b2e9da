"""A catalog in SQLite as the beginning or the end of a journey (``travelling.py``).

While it is being made, it has no triggers, so that rows arrive as they are, and a table ``moving`` with notes.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from retrieval.catalog.connect import connect, unreadable
from retrieval.catalog.lexicon import NUMBERED
from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.catalog.travelling import BLOCK, Part, Progress, Row, parts
from retrieval.catalog.triggers import check_triggers
from retrieval.catalog.whole_file import remove_database
from retrieval.catalog.writer import Catalog
from retrieval.errors import RetrievalError
from retrieval.foreign_databases import harden
from retrieval.paths import decode_path, encode_path, lenient_text
from retrieval.system_errors import of_sqlite

CONTENT = """SELECT (SELECT revision FROM revisions ORDER BY change LIMIT 1), s.change,
    (SELECT revision FROM revisions WHERE change = s.change), s.version FROM state AS s"""
"""The identity of a catalog, then what each transaction changes."""


class FileSide:
    """A catalog in a file, for reading.

    Attributes:
        altered: texts with characters that no text of the other database can have; those characters were replaced.

    Raises:
        RetrievalError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.altered = 0
        self._path = path
        self._connection = connect(path)
        check_triggers(self._connection, path)
        self._connection.text_factory = lenient_text

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def content(self) -> str:
        """See :class:`retrieval.catalog.travelling.Side`."""
        return " ".join(str(value) for value in self._rows(CONTENT)[0])

    def count(self, part: Part) -> int:
        """See :class:`retrieval.catalog.travelling.Side`."""
        return int(self._rows(f'SELECT count(*) FROM "{part.name}"')[0][0])

    def blocks(self, part: Part, after: int | None = None) -> Iterator[list[Row]]:
        """See :class:`retrieval.catalog.travelling.Side`."""
        where = "" if part.key is None or after is None else f' WHERE "{part.key}" > {after:d}'
        order = "" if part.key is None else f' ORDER BY "{part.key}"'
        odd = [(at, kind) for at, kind in enumerate(part.kinds) if kind in ("bool", "path", "ref", "text")]
        with self._told(), closing(self._connection.cursor()) as cursor:
            cursor.execute(f'SELECT {part.listed} FROM "{part.name}"{where}{order}')
            while rows := cursor.fetchmany(BLOCK):
                yield [self._neutral(row, odd) for row in rows]

    def _neutral(self, stored: Row, odd: Sequence[tuple[int, str]]) -> Row:
        row = list(stored)
        for at, kind in odd:
            value = row[at]
            if value is None:
                continue
            if kind == "bool":
                row[at] = bool(value)
            elif kind == "path":
                row[at] = plain_path(value)
            elif kind == "ref":
                row[at] = str(value)
            elif isinstance(value, str) and not (value.isascii() and "\0" not in value):
                row[at] = fitting = value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
                self.altered += fitting != value
        return tuple(row)

    def last_numbers(self) -> dict[str, int]:
        """See :class:`retrieval.catalog.travelling.Side`."""
        return {name: int(last) for name, last in self._rows("SELECT name, seq FROM sqlite_sequence")}

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._told():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from error


def plain_path(stored: str | bytes) -> str | bytes:
    """A path as it travels."""
    value = encode_path(decode_path(stored))
    return bytes(value) if isinstance(value, bytes) else value


class NewFile(FileSide):
    """A catalog in a file that is being made; one that was begun is continued.

    Args:
        path: of the file.
        content: of the source; a file that was begun with other content is made anew.
    """

    def __init__(self, path: Path, content: str) -> None:
        self.altered = 0
        self._path = path
        wanted = f"{CATALOG_VERSION} {content}"
        if notes(path).get("content") != wanted:
            remove_database(path)
            Catalog(path).close()
        with self._told():
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.text_factory = lenient_text
            harden(self._connection, trusts_schema=True)
            # What a power cut takes are the last blocks, together with their notes.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            if "content" not in notes(path):
                self._begin(wanted)

    def _begin(self, content: str) -> None:
        with self.transaction():
            triggers = self._rows("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
            for name, _ in triggers:
                self._rows(f'DROP TRIGGER "{name}"')
            for part in reversed(parts()):
                self._rows(f'DELETE FROM "{part.name}"')
            self._rows("CREATE TABLE moving (name TEXT PRIMARY KEY, value TEXT)")
            self._note("triggers", [sql for _, sql in triggers])
            self._note("content", content)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See :class:`retrieval.catalog.travelling.Target`."""
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself ends it on a full disk
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def progress(self, part: Part) -> Progress:
        """See :class:`retrieval.catalog.travelling.Target`."""
        return Progress(**(self._noted(f"table {part.name}") or {}))

    def note(self, part: Part, progress: Progress) -> None:
        """See :class:`retrieval.catalog.travelling.Target`."""
        self._note(f"table {part.name}", progress.as_dict())

    def put(self, part: Part, rows: Sequence[Row]) -> None:
        """See :class:`retrieval.catalog.travelling.Target`."""
        marks = ", ".join("?" * len(part.columns))
        if "ref" in part.kinds:
            rows = [_referring(part, row) for row in rows]
        with self._told():
            self._connection.executemany(f'INSERT INTO "{part.name}" ({part.listed}) VALUES ({marks})', rows)

    @property
    def is_finished(self) -> bool:
        """Whether it is a whole catalog, except for the notes."""
        return bool(self._noted("finished"))

    def finish(self, last: dict[str, int]) -> None:
        """Make a whole catalog of it: indexes of words, triggers, numbers that are not given again."""
        with self.transaction():
            virtual = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%content%'"
            for (name,) in self._rows(virtual):
                self._rows(f'INSERT INTO "{name}" ("{name}") VALUES (\'rebuild\')')
            for (name,) in self._rows("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"):
                self._rows("DELETE FROM sqlite_sequence WHERE name = ?", [name])
                self._rows("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [name, last.get(name, 0)])
            for sql in self._noted("triggers"):
                self._rows(sql)
            self._note("finished", True)

    def settle(self) -> None:
        """Write all of it into the one file, safe from a power cut, and close it."""
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        self.close()
        with self._path.open("rb+") as file:
            os.fsync(file.fileno())

    def _noted(self, name: str) -> Any:
        found = self._rows("SELECT value FROM moving WHERE name = ?", [name])
        return json.loads(found[0][0]) if found else None

    def _note(self, name: str, value: Any) -> None:
        self._rows("INSERT OR REPLACE INTO moving (name, value) VALUES (?, ?)", [name, json.dumps(value)])

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise of_sqlite(error, self._path, "write") from error


def _referring(part: Part, row: Row) -> Row:
    kind, at = row[part.columns.index("kind")], part.columns.index("ref")
    return (*row[:at], int(row[at]), *row[at + 1 :]) if kind in NUMBERED else row


def notes(path: Path) -> dict[str, Any]:
    """The notes in a catalog that is being made; empty if it is none, or not begun."""
    if not path.is_file():
        return {}
    try:
        with closing(connect(path)) as connection:
            return {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM moving")}
    except (sqlite3.Error, ValueError, RetrievalError):
        return {}


def drop_notes(path: Path) -> None:
    """Make a catalog one like all others."""
    if notes(path):
        try:
            with closing(sqlite3.connect(path, timeout=30.0)) as connection:
                connection.execute("DROP TABLE moving")
        except sqlite3.Error as error:
            raise of_sqlite(error, path, "write") from error

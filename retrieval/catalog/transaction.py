"""One transaction on the catalog: at its end either everything or nothing is written."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import Connection

from retrieval.catalog.lexicon import refresh
from retrieval.catalog.schema import as_ours


class Transaction:
    """Used by the functions of this package to write; ``Catalog.transaction`` makes one.

    Attributes:
        connection: SQLAlchemy's, for statements that are built from the tables of ``schema.py``.
    """

    is_server = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver
        self._change: int | None = None
        self._name: str | None = None
        self._written_before = self._written()

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """The rows of a statement."""
        try:
            return self._driver.execute(sql, values or {}).fetchall()
        except sqlite3.Error as error:
            self._raise(error)

    def run(self, sql: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> int:
        """Run a statement that writes, once or for each set of values; how many rows it touched."""
        if isinstance(values, Sequence) and not values:
            return 0
        return int(self._executed(sql, values or {}).rowcount)

    def insert(self, sql: str, values: Mapping[str, Any]) -> int:
        """Run an ``INSERT`` of one row; its id."""
        return int(self._executed(sql, values).lastrowid or 0)

    def insert_all(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Run an ``INSERT`` of one row for each set of values; their ids, in that order."""
        return [self.insert(sql, values) for values in rows]

    def write_new(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run an ``INSERT`` of one row for each set of values, none of which can be there already."""
        self.run(sql, rows)

    def overwrite_deleted(self) -> None:
        """From now on, what this connection deletes is overwritten in the file."""
        self.rows("PRAGMA secure_delete = ON")

    @property
    def path(self) -> Path:
        """Path of the catalog's file."""
        return Path(str(self.connection.engine.url.database))

    def change(self) -> int:
        """The number of this transaction, which is written to every image and embedding that it touches.

        It is assigned here and nowhere else. Reading it makes every index replay, so read it only if there is
        something to replay.
        """
        if self._change is None:
            self.run("UPDATE state SET change = change + 1")
            self._change = int(self.rows("SELECT change FROM state")[0][0])
        return self._change

    def end(self) -> None:
        """Give the catalog's content a new name if anything was written: an image, a label, a run. The word index is
        updated before that."""
        if self._written() != self._written_before:
            refresh(self)
            self._name = secrets.token_hex(16)
            self.run("UPDATE state SET version = :name", {"name": self._name})

    def _written(self) -> int:
        """Rows that this connection has written so far, by any statement."""
        return self._driver.total_changes

    def _executed(self, sql: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> sqlite3.Cursor:
        # By the driver, as in `rows`: SQLAlchemy, which began this transaction and will end it, would add 0.1 ms to
        # each statement, and a commit needs four for each picture.
        try:
            if isinstance(values, Sequence):
                return self._driver.executemany(sql, values)
            return self._driver.execute(sql, values)
        except sqlite3.Error as error:
            self._raise(error)

    def _raise(self, error: sqlite3.Error) -> NoReturn:
        ours = as_ours(error, self.path)
        if ours is error:
            raise error
        raise ours from error

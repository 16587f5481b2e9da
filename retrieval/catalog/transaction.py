"""One transaction on the catalog: all that it writes is there at its end, or nothing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult


class Transaction:
    """What the functions beside this file write with; ``Catalog.transaction`` makes one.

    Attributes:
        connection: SQLAlchemy's, for statements that are built from the tables of ``schema.py``.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._change: int | None = None
        self._written_before = self._written()

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """The rows of a statement."""
        return list(self._executed(sql, values or {}).all())

    def run(self, sql: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> int:
        """Run a statement that writes, once or for each of some values; how many rows it touched."""
        if isinstance(values, Sequence) and not values:
            return 0
        return int(self._executed(sql, values or {}).rowcount)

    def insert(self, sql: str, values: Mapping[str, Any]) -> int:
        """Run an ``INSERT`` of one row; its id."""
        return int(self._executed(sql, values).lastrowid)

    @property
    def path(self) -> Path:
        """Of the catalog's file."""
        return Path(str(self.connection.engine.url.database))

    def change(self) -> int:
        """The number of this transaction, which every image and embedding that it touches gets.

        It is handed out here and nowhere else. Who asks for it makes every index replay, so ask only if there is
        something to replay.
        """
        if self._change is None:
            self.run("UPDATE state SET change = change + 1")
            self._change = int(self.rows("SELECT change FROM state")[0][0])
        return self._change

    def end(self) -> None:
        """Give the catalog's content a new name, if anything was written: an image, a label, a run."""
        if self._written() != self._written_before:
            self.run("UPDATE state SET version = :name", {"name": secrets.token_hex(16)})

    def _written(self) -> int:
        """Rows that this connection has written so far, by whatever statement."""
        driver = self.connection.connection.driver_connection
        assert driver is not None
        return int(driver.total_changes)

    def _executed(self, sql: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
        # SQLite takes names as they are. SQLAlchemy's `text` takes the same string for any database, but to write
        # 300,000 tags through it takes 4 s and not 1.2.
        given: Any = list(values) if isinstance(values, Sequence) else dict(values)
        return self.connection.exec_driver_sql(sql, given)

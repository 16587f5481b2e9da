"""One transaction on a catalog in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import ALONE, ConnectionLost, close_quietly, driver, explained
from retrieval.catalog.postgres.statements import Statement, plain, translated
from retrieval.catalog.transaction import Transaction

if TYPE_CHECKING:
    import psycopg

_REVISION = "SELECT 1 FROM revisions WHERE change = :change AND revision = :revision"

_IDS = """SELECT nextval(pg_get_serial_sequence(CAST(%(table)s AS text), 'id'))
    FROM generate_series(1, CAST(%(count)s AS integer))"""

_INSERT = re.compile(r"\s*INSERT INTO (\w+) \(([\w, ]+)\)\s+VALUES \(([\w:, ]+)\)\s*")


def _parts(sql: str) -> tuple[str, str, list[str]]:
    """The table of an ``INSERT`` of one row, its columns, and the names of its values."""
    found = _INSERT.fullmatch(sql)
    assert found is not None, sql
    return found[1], found[2], [name.strip().removeprefix(":") for name in found[3].split(",")]


class ServerTransaction(Transaction):
    """See :class:`Transaction`; begun here, and ended by ``ServerCatalog.transaction``.

    Args:
        reads_only: begin none: each statement is one of its own.
    """

    is_server = True

    def __init__(
        self, connection: psycopg.Connection[Any], address: CatalogAddress, *, reads_only: bool = False
    ) -> None:
        self._address, self._server = address, connection
        self._psycopg = driver()
        self._change = self._name = self._revision = None
        self._rows_written = self._written_before = 0
        if reads_only:
            self._sent("SELECT 1", {})  # whether the connection still lives
        else:
            self._sent("BEGIN", {})
            self._sent(ALONE, {})

    def end(self) -> None:
        """See :meth:`Transaction.end`."""
        super().end()
        if self._change is not None:
            self._revision = self.rows("SELECT revision FROM revisions WHERE change = :change", self._key())[0][0]

    def was_committed(self, later: ServerTransaction) -> bool:
        """Whether this transaction, the answer to whose commit was lost, is there.

        Not by the server's number of it: a server that crashed gives numbers again. A change has a name that no other
        has; what changed no picture is recognised until the next one that writes.

        Args:
            later: begun since. Its beginning waited for the end of this one.
        """
        if self._revision is not None:
            return bool(later.rows(_REVISION, self._key() | {"revision": self._revision}))
        return self._name is None or later.rows("SELECT version FROM state")[0][0] == self._name

    def _key(self) -> dict[str, Any]:
        return {"change": self._change}

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """See :meth:`Transaction.rows`."""
        statement = translated(sql, values or {}, {}, lambda *_: [])
        return [] if statement is None else self._sent(*statement).fetchall()

    def run(self, sql: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> int:
        """See :meth:`Transaction.run`. Several sets of values travel together."""
        if isinstance(values, Sequence) and not values:
            return 0
        several = values if isinstance(values, Sequence) else [values or {}]
        statements = [translated(sql, each, {}, lambda *_: []) for each in several]
        made = [each for each in statements if each is not None]
        if not made:
            return 0
        count = self._sent_all(made).rowcount if len(made) > 1 else self._sent(*made[0]).rowcount
        self._rows_written += max(count, 0)
        return int(count)

    def insert(self, sql: str, values: Mapping[str, Any]) -> int:
        """See :meth:`Transaction.insert`."""
        statement = translated(f"{sql} RETURNING id", values, {}, lambda *_: [])
        row = None if statement is None else self._sent(*statement).fetchone()
        self._rows_written += 1
        return int(row[0]) if row else 0

    def insert_all(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """See :meth:`Transaction.insert_all`. All rows travel together, under ids that are taken before."""
        if not rows:
            return []
        table, columns, names = _parts(sql)
        found = self._sent(_IDS, {"table": table, "count": len(rows)}).fetchall()
        ids = [int(row[0]) for row in found]
        lines = ([id_, *(row[name] for name in names)] for id_, row in zip(ids, rows, strict=True))
        self._copied(f"COPY {table} (id, {columns}) FROM STDIN", lines, len(rows))
        return ids

    def write_new(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """See :meth:`Transaction.write_new`. All rows travel together."""
        if rows:
            table, columns, names = _parts(sql)
            lines = ([row[name] for name in names] for row in rows)
            self._copied(f"COPY {table} ({columns}) FROM STDIN", lines, len(rows))

    def _copied(self, sql: str, lines: Iterable[Sequence[Any]], count: int) -> None:
        try:
            with self._server.cursor() as cursor, cursor.copy(sql) as copy:
                for line in lines:
                    copy.write_row([plain(value) for value in line])
        except self._psycopg.Error as error:
            raise self._known(error) from error
        self._rows_written += count

    def overwrite_deleted(self) -> None:
        """Nothing: what PostgreSQL deleted is overwritten after ``Catalog.compact``."""

    @property
    def path(self) -> Path:
        """The catalog's address, for messages."""
        return Path(str(self._address))

    def _written(self) -> int:
        return self._rows_written

    def _sent(self, text: str, values: Mapping[str, Any]) -> psycopg.Cursor[Any]:
        try:
            return self._server.execute(text, values)
        except self._psycopg.Error as error:
            raise self._known(error) from error

    def _sent_all(self, statements: Sequence[Statement]) -> psycopg.Cursor[Any]:
        cursor = self._server.cursor()
        try:
            cursor.executemany(statements[0].text, [each.values for each in statements])
        except self._psycopg.Error as error:
            raise self._known(error) from error
        return cursor

    def _known(self, error: Exception) -> Exception:
        ours = explained(error, self._address)
        if isinstance(ours, ConnectionLost):
            close_quietly(self._server)
        return ours

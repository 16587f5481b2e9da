"""Read a catalog in PostgreSQL: the statements of ``catalog/reader.py``, on another connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.catalog.access import Functions
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import (
    ConnectionLost,
    close_quietly,
    driver,
    explained,
    holder,
    open_connection,
    with_patience,
)
from retrieval.catalog.postgres.statements import Statement, translated
from retrieval.catalog.reader import BATCH, CatalogReader, Changes, as_changes, replay_statements
from retrieval.errors import GalleryNotFound

if TYPE_CHECKING:
    import psycopg

_VERSION = "SELECT version_num FROM alembic_version"


class ServerReader(CatalogReader):
    """Read-only view of a catalog in PostgreSQL; see :class:`CatalogReader`. Not shared between threads.

    Args:
        address: of the catalog.
        folder: of the gallery.

    Raises:
        CatalogUnreachable: the server does not answer.
        GalleryNotFound: it has no catalog there.
        GalleryOutdated, GalleryTooNew: an older or a newer photoseek wrote it.
    """

    is_server = True

    def __init__(self, address: CatalogAddress, folder: Path) -> None:
        self._address, self._path = address, folder / str(address)
        self._psycopg = driver()
        self._server = open_connection(address, reads=True)
        try:
            self._check_version()
        except BaseException:
            close_quietly(self._server)
            raise

    def close(self) -> None:
        """Close the connection."""
        close_quietly(self._server)

    def _check_version(self) -> None:
        try:
            row = self._server.execute(_VERSION).fetchone()
        except self._psycopg.errors.UndefinedTable:
            row = None
        except self._psycopg.Error as error:
            raise explained(error, self._address) from error
        if row is None:
            raise GalleryNotFound(
                f"there is no catalog in {self._address}", f"make it: photoseek init --catalog {self._address}"
            )
        self._check_number(str(row[0]))

    def rows(
        self, sql: str, values: Mapping[str, Any] | None = None, *, functions: Functions | None = None
    ) -> list[Any]:
        """See :meth:`CatalogReader.rows`. After a restart of the server, the question is asked again.

        Raises:
            CatalogUnreachable: the server does not answer.
        """

        def ask(own: str, own_values: Mapping[str, Any]) -> list[Any]:
            return self._asked(Statement(own, dict(own_values)))

        statement = translated(sql, values or {}, functions or {}, ask)
        return [] if statement is None else self._asked(statement)

    def _asked(self, statement: Statement) -> list[Any]:
        try:
            return self._once(statement)
        except ConnectionLost:  # an idle connection ends with the server's restart, which is noticed only now
            return with_patience(lambda: self._once(statement), self.patience_s)

    def _once(self, statement: Statement) -> list[Any]:
        try:
            if self._server.closed:
                self._server = open_connection(self._address, reads=True)
            return self._server.execute(statement.text, statement.values).fetchall()
        except self._psycopg.Error as error:
            ours = explained(error, self._address)
            if isinstance(ours, ConnectionLost):
                close_quietly(self._server)
            raise ours from error

    def changes(self, after: int, encoder: EncoderRow, *, moments: bool = False) -> Iterator[Changes]:
        """See :meth:`CatalogReader.changes`: one snapshot, read by a cursor of the server."""
        values = {"encoder": encoder.id, "after": after}
        # Another connection: this one goes on being asked meanwhile.
        connection = with_patience(lambda: open_connection(self._address, reads=True), self.patience_s)
        try:
            connection.execute("SET statement_timeout = 0")
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = connection.execute("SELECT change FROM state").fetchone()
            last = int(row[0]) if row else 0
            *others, images = replay_statements(after, moments=moments)
            for sql in others:
                with self._cursor(connection, sql, values) as cursor:
                    while rows := cursor.fetchmany(BATCH):
                        yield as_changes(rows, encoder.dim, None)
            with self._cursor(connection, images, values) as cursor:
                while True:
                    rows = cursor.fetchmany(BATCH)
                    yield as_changes(rows, encoder.dim, last if len(rows) < BATCH else None)
                    if len(rows) < BATCH:
                        return
        except self._psycopg.Error as error:
            raise explained(error, self._address) from error
        finally:
            close_quietly(connection)

    def _cursor(self, connection: psycopg.Connection[Any], sql: str, values: Mapping[str, Any]) -> Any:
        statement = translated(sql, values, {}, lambda *_: [])
        assert statement is not None
        return connection.cursor("replay").execute(statement.text, statement.values)

    def bytes_used(self) -> int:
        """Bytes of the catalog's tables and their indexes in the server."""
        sql = """SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
                 WHERE relnamespace = to_regnamespace(current_schema()) AND relkind = 'r'"""
        return int(self._asked(Statement(sql, {}))[0][0])

    def held_by(self) -> str | None:
        """See :meth:`CatalogReader.held_by`."""
        try:
            return holder(self._server, "writer")
        except self._psycopg.Error as error:
            raise explained(error, self._address) from error

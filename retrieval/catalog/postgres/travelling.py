"""A catalog in PostgreSQL as the beginning or the end of a journey (``catalog/travelling.py``), by ``COPY``.

While it is being made, its triggers are disabled, so that rows arrive as they are; and it has a table ``moving`` with
notes, which keeps others from joining it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from retrieval.catalog.postgres.address import CatalogAddress
from retrieval.catalog.postgres.connect import close_quietly, driver, explained, open_connection
from retrieval.catalog.postgres.schema import has_table, make_tables, name_version, settle, take_place, version_of
from retrieval.catalog.reader import CATALOG_VERSION
from retrieval.catalog.travelling import BLOCK, Part, Progress, Row, parts
from retrieval.catalog.travelling_file import CONTENT, plain_path
from retrieval.errors import GalleryError
from retrieval.paths import PathBytes

_TEXT = ("path", "ref")


class ServerSide:
    """A catalog in PostgreSQL, for reading. Its caller holds its locks.

    Raises:
        CatalogUnreachable: the server does not answer.
    """

    def __init__(self, address: CatalogAddress, *, reads: bool = True) -> None:
        self._address = address
        self._psycopg = driver()
        self._server = open_connection(address, reads=reads)
        self._rows("SET statement_timeout = 0")

    def close(self) -> None:
        """Close the connection."""
        close_quietly(self._server)

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
        paths = [at for at, kind in enumerate(part.kinds) if kind == "path"]
        with (
            self._told(),
            self._server.transaction(),
            # The server's cursor, and its own form of values, in which nothing is rounded.
            self._server.cursor("travelling", binary=True) as cursor,
        ):
            cursor.execute(f'SELECT {part.listed} FROM "{part.name}"{where}{order}')
            while rows := cursor.fetchmany(BLOCK):
                yield [_neutral(row, paths) for row in rows] if paths else rows

    def last_numbers(self) -> dict[str, int]:
        """See :class:`retrieval.catalog.travelling.Side`."""
        found = {}
        for name, sequence in self._sequences():
            last, is_called = self._rows(f"SELECT last_value, is_called FROM {sequence}")[0]
            found[name] = int(last) if is_called else 0
        return found

    def _sequences(self) -> Iterator[tuple[str, str]]:
        """Table -> what numbers its rows."""
        for part in parts():
            if part.key is not None:
                sql = "SELECT pg_get_serial_sequence(%s, %s)"
                if (sequence := self._rows(sql, [part.name, part.key])[0][0]) is not None:
                    yield part.name, sequence

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._told():
            done = self._server.execute(sql, values)
            return done.fetchall() if done.description else []

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            raise explained(error, self._address) from error


def _neutral(stored: Row, paths: Sequence[int]) -> Row:
    row = list(stored)
    for at in paths:
        if row[at] is not None:
            row[at] = plain_path(row[at])
    return tuple(row)


class NewInServer(ServerSide):
    """A catalog in PostgreSQL that is being made, under its locks; one that was begun is continued.

    Args:
        content: of the source; what was begun with other content of the same catalog is made anew.
        place: the gallery, for messages.

    Raises:
        CatalogUnreachable: the server does not answer, or does not permit it.
        GalleryError: something else is there.
        GalleryLocked: another process is at work there.
    """

    def __init__(self, address: CatalogAddress, content: str, place: str) -> None:
        super().__init__(address, reads=False)
        self.altered = 0
        try:
            with self._told():
                take_place(self._server, address, place)
                self._begin(content)
        except BaseException:
            self.close()
            raise

    def _begin(self, content: str) -> None:
        found = None
        if has_table(self._server, "moving"):
            found = self._noted("content")
        elif version_of(self._server) is not None or any(has_table(self._server, part.name) for part in parts()):
            raise GalleryError(
                f"there is a catalog in {self._address} already",
                f"name another place: {self._address.server}?schema=ANOTHER_NAME; or drop the schema there",
            )
        if found is not None and (found[0] != CATALOG_VERSION or found[1].split()[0] != content.split()[0]):
            what = "another gallery" if found[0] == CATALOG_VERSION else "another version of photoseek"
            raise GalleryError(
                f"an unfinished move by {what} is in {self._address}",
                f"end it there, or name another place: {self._address.server}?schema=ANOTHER_NAME",
            )
        with self._server.transaction():
            self._rows("CREATE TABLE IF NOT EXISTS moving (name text PRIMARY KEY, value text NOT NULL)")
            self._note("content", [CATALOG_VERSION, content])
            if found is not None and found[1] != content and self._noted("ready"):
                self._clear()
        if not self._noted("ready"):
            make_tables(self._address)
            with self._server.transaction():
                settle(self._server)
                self._clear()
                self._note("ready", True)

    def _clear(self) -> None:
        listed = ", ".join(f'"{part.name}"' for part in parts())
        self._rows(f"TRUNCATE {listed}")
        self._rows("DELETE FROM moving WHERE name LIKE 'table %%' OR name = 'finished'", [])
        self._rows("DROP TABLE IF EXISTS alembic_version")
        for part in parts():
            self._rows(f'ALTER TABLE "{part.name}" DISABLE TRIGGER USER')

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See :class:`retrieval.catalog.travelling.Target`."""
        with self._told(), self._server.transaction():
            yield

    def progress(self, part: Part) -> Progress:
        """See :class:`retrieval.catalog.travelling.Target`."""
        return Progress(**(self._noted(f"table {part.name}") or {}))

    def note(self, part: Part, progress: Progress) -> None:
        """See :class:`retrieval.catalog.travelling.Target`."""
        self._note(f"table {part.name}", progress.as_dict())

    def put(self, part: Part, rows: Sequence[Row]) -> None:
        """See :class:`retrieval.catalog.travelling.Target`."""
        paths = [at for at, kind in enumerate(part.kinds) if kind == "path"]
        sql = f'COPY "{part.name}" ({part.listed}) FROM STDIN (FORMAT BINARY)'
        try:
            with self._told(), self._server.cursor() as cursor, cursor.copy(sql) as copied:
                copied.set_types(["text" if kind in _TEXT else kind for kind in part.kinds])
                for row in rows:
                    copied.write_row(_marked(row, paths) if paths else row)
        except (self._psycopg.DataError, OverflowError, TypeError, ValueError) as error:
            raise GalleryError(
                f"a row of {part.name} does not fit into the other database: {' '.join(str(error).split())[:200]}",
                "run: photoseek verify --repair; nothing was changed",
            ) from error

    @property
    def is_finished(self) -> bool:
        """Whether it is a whole catalog, except for the notes."""
        return bool(self._noted("finished"))

    def finish(self, last: dict[str, int], host: str | None) -> None:
        """Make a whole catalog of it.

        Args:
            last: the numbers after which new ones begin.
            host: the machine that has walked those roots of which it is not known; None: it stays unknown.
        """
        with self.transaction():
            for name, sequence in self._sequences():
                key = next(part.key for part in parts() if part.name == name)
                top = self._rows(f'SELECT coalesce(max("{key}"), 0) FROM "{name}"')[0][0]
                number = max(int(top), last.get(name, 0))
                self._rows("SELECT setval(%s, %s, %s)", [sequence, max(number, 1), number > 0])
            if host is not None:
                self._rows("UPDATE folders SET host = %s WHERE is_root AND host IS NULL", [host])
            for part in parts():
                self._rows(f'ALTER TABLE "{part.name}" ENABLE TRIGGER USER')
            name_version(self._server)
            self._note("finished", True)
        self._rows("ANALYZE")

    def _noted(self, name: str) -> Any:
        found = self._rows("SELECT value FROM moving WHERE name = %s", [name])
        return json.loads(found[0][0]) if found else None

    def _note(self, name: str, value: Any) -> None:
        self._rows(
            "INSERT INTO moving (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name, json.dumps(value)],
        )


def _marked(neutral: Row, paths: Sequence[int]) -> Row:
    row = list(neutral)
    for at in paths:
        if isinstance(row[at], bytes):
            row[at] = PathBytes(row[at]).marked()
    return tuple(row)


def drop_notes_in_server(address: CatalogAddress) -> None:
    """Let others join a catalog that was moved here.

    Raises:
        CatalogUnreachable: the server does not answer.
    """
    connection = open_connection(address)
    try:
        connection.execute("DROP TABLE IF EXISTS moving")
    except driver().Error as error:
        raise explained(error, address) from error
    finally:
        close_quietly(connection)

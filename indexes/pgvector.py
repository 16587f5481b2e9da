"""Tables of vectors in PostgreSQL with the extension pgvector, by psycopg and SQLAlchemy's pool of connections.

Vectors are stored as ``halfvec``, as precisely as the catalog stores them. Rows travel in PostgreSQL's binary form,
which numpy writes and reads as an array, without a Python object for each number. A filter by ids goes along with
``hnsw.iterative_scan``, so that the graph is read on until enough rows pass it.

Address, user and TLS that an address leaves out are those of libpq: its variables (``PGHOST``, ``PGUSER``, ...), its
service file, and for passwords ``PGPASSWORD`` or ``~/.pgpass``, which libpq ignores if others can read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Effort, Ids, Vectors
from indexes.errors import BackendUnavailable, IndexUnreachable
from indexes.ranking import Block
from indexes.server_spec import ServerSpec, parse_pgvector

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

_CONNECT_SECONDS = 10
_STATEMENT_MS = 60_000
_MOST = 16_384
_LISTED = 16_384
_EF_MOST = 1000
_TUPLES_MOST = 100_000  # of a graph that is read on for a filter
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"


class _Kind:
    """See :class:`indexes.kinds.ServerKind`."""

    def parse(self, text: str) -> ServerSpec | None:
        return parse_pgvector(text)

    def connect(self, spec: ServerSpec) -> PgvectorServer:
        return PgvectorServer(spec)


KIND = _Kind()


class PgvectorServer:
    """See :class:`indexes.server.Server`. Several threads may use one: each call takes a connection from a pool."""

    most = _MOST
    listed = _LISTED

    def __init__(self, spec: ServerSpec) -> None:
        self._spec = spec
        try:
            import psycopg
            from sqlalchemy.pool import QueuePool
        except ImportError as error:
            raise BackendUnavailable(
                f"an index in PostgreSQL needs psycopg, which cannot be imported ({error})",
                "pip install 'photoseek[pgvector]', or use another kind of index",
            ) from error
        self._error: type[Exception] = psycopg.Error
        place = spec.place
        given = {
            "host": place.hostname,
            "port": place.port,
            "user": place.username,
            "dbname": spec.path.strip("/") or None,
            "sslmode": spec.tls or None,
        }
        options = {name: value for name, value in given.items() if value}
        options |= {
            "connect_timeout": _CONNECT_SECONDS,
            "application_name": "photoseek",
            "options": f"-c statement_timeout={_STATEMENT_MS} -c client_min_messages=error",
        }
        # Checked on use: the server may have been restarted since a connection was put back.
        self._pool = QueuePool(lambda: psycopg.connect(**options), pool_size=4, max_overflow=12)  # type: ignore[arg-type]
        with self._cursor() as cursor:
            found = cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
            if found is None:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
                found = cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        version = tuple(int(part) for part in str(found[0] if found else "0").split(".")[:2])
        if version < (0, 8):
            self._pool.dispose()
            raise IndexUnreachable(
                f"{spec.address} has pgvector {'.'.join(map(str, version))}, which is too old", "install 0.8 or newer"
            )

    def create(self, name: str, dim: int) -> None:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            cursor.execute(f'CREATE TABLE "{name}" (id bigint PRIMARY KEY, vector halfvec({int(dim)}) NOT NULL)')
            # Vectors are compressed by chance only: without trying, they are read in one piece.
            cursor.execute(f'ALTER TABLE "{name}" ALTER COLUMN vector SET STORAGE EXTERNAL')

    def _build(self, name: str) -> None:
        """Make the index if there is none yet: over rows that are there, it is made much faster than row by row."""
        if self._spec.method != "HNSW":
            return
        m, ef = self._spec.parameter("m"), self._spec.parameter("ef_construction")
        with self._cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(
                f'CREATE INDEX IF NOT EXISTS "{name}_hnsw" ON "{name}" '
                f"USING hnsw (vector halfvec_ip_ops) WITH (m = {m}, ef_construction = {ef})"
            )

    def dim(self, name: str) -> int | None:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            found = cursor.execute(
                "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'vector'",
                [f'"{name}"'],
            ).fetchone()
        return None if found is None else int(found[0])

    def count(self, name: str) -> int:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            found = cursor.execute(f'SELECT count(*) FROM "{name}"').fetchone()
        return int(found[0]) if found else 0

    def insert(self, name: str, ids: Ids, vectors: Vectors) -> None:
        """See :class:`Server`. All rows or none."""
        rows = np.empty(len(ids), _row(vectors.shape[1]))
        rows["fields"], rows["id_bytes"], rows["vector_bytes"] = 2, 8, 4 + 2 * vectors.shape[1]
        rows["id"], rows["dim"], rows["unused"], rows["vector"] = ids, vectors.shape[1], 0, vectors
        with self._cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            with cursor.copy(f'COPY "{name}" (id, vector) FROM STDIN (FORMAT BINARY)') as copy:
                copy.write(_SIGNATURE)
                for start in range(0, len(rows), 4096):
                    copy.write(rows[start : start + 4096].tobytes())
                copy.write(_END)

    def delete(self, name: str, ids: Ids) -> None:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            cursor.execute(f'DELETE FROM "{name}" WHERE id = ANY(%s)', [ids.tolist()])

    def present(self, name: str, ids: Ids) -> Ids:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            rows = cursor.execute(f'SELECT id FROM "{name}" WHERE id = ANY(%s)', [ids.tolist()]).fetchall()
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def vectors(self, name: str, ids: Ids) -> Block:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            cursor.execute(f'SELECT id, vector FROM "{name}" WHERE id = ANY(%s)', [ids.tolist()], binary=True)
            return _block(cursor.fetchall())

    def blocks(self, name: str, dim: int) -> Iterator[Block]:
        """See :class:`Server`."""
        row = _row(dim)
        with self._cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            left = b""
            with cursor.copy(f'COPY (SELECT id, vector FROM "{name}") TO STDOUT (FORMAT BINARY)') as copy:
                first = True
                for piece in copy:
                    left += bytes(piece)
                    if first:
                        left, first = left[len(_SIGNATURE) :], False
                    if len(left) >= 4 << 20:
                        whole = len(left) // row.itemsize * row.itemsize
                        yield _rows_block(np.frombuffer(left[:whole], row))
                        left = left[whole:]
            yield _rows_block(np.frombuffer(left.removesuffix(_END), row))

    def nearest(
        self, name: str, queries: Vectors, count: int, *, among: Ids | None, effort: Effort, thorough: bool
    ) -> list[Block]:
        """See :class:`Server`."""
        where = "" if among is None else "WHERE id = ANY(%(among)s)"
        sql = f'SELECT id, vector FROM "{name}" {where} ORDER BY vector <#> %(query)s::halfvec LIMIT {int(count)}'
        answers = []
        with self._cursor() as cursor:
            if self._spec.method == "HNSW":
                ef = effort.ef_search or self._spec.default_ef_search
                ef = min(_EF_MOST, max(count, 4 * ef if thorough else ef))
                cursor.execute(f"SET LOCAL hnsw.ef_search = {ef}")
                # Also beyond ef_search rows, and past rows that were deleted or do not pass the filter.
                cursor.execute("SET LOCAL hnsw.iterative_scan = relaxed_order")
                cursor.execute(f"SET LOCAL hnsw.max_scan_tuples = {_TUPLES_MOST}")
            for query in queries:
                text = f"[{','.join(map(repr, query.tolist()))}]"
                values = {"query": text} | ({} if among is None else {"among": among.tolist()})
                answers.append(_block(cursor.execute(sql, values, binary=True).fetchall()))
        return answers

    def flush(self, name: str) -> None:
        """See :class:`Server`: every transaction is on disk when it ends; the first time, the index is built."""
        self._build(name)

    def settle(self, name: str) -> None:
        """See :class:`Server`: gives the planner the number of rows."""
        with self._cursor() as cursor:
            cursor.execute(f'ANALYZE "{name}"')

    def names(self, stem: str) -> list[str]:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            rows = cursor.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND starts_with(relname, %s)"
                " AND relnamespace = current_schema()::regnamespace ORDER BY relname",
                [stem],
            ).fetchall()
        return [str(row[0]) for row in rows]

    def drop(self, name: str) -> None:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            cursor.execute(f'DROP TABLE IF EXISTS "{name}"')

    def note(self, stem: str) -> bytes | None:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            if cursor.execute("SELECT to_regclass(%s)", [f'"{self._notes}"']).fetchone() == (None,):
                return None
            found = cursor.execute(f'SELECT note FROM "{self._notes}" WHERE stem = %s', [stem]).fetchone()
        return None if found is None else str(found[0]).encode()

    def write_note(self, stem: str, note: bytes | None, name: str) -> None:
        """See :class:`Server`."""
        with self._cursor() as cursor:
            cursor.execute(f'CREATE TABLE IF NOT EXISTS "{self._notes}" (stem text PRIMARY KEY, note text NOT NULL)')
            if note is None:
                cursor.execute(f'DELETE FROM "{self._notes}" WHERE stem = %s', [stem])
                return
            cursor.execute(
                f'INSERT INTO "{self._notes}" (stem, note) VALUES (%s, %s)'
                " ON CONFLICT (stem) DO UPDATE SET note = excluded.note",
                [stem, note.decode("ascii")],
            )

    @property
    def _notes(self) -> str:
        return f"{self._spec.prefix}_notes"

    def close(self) -> None:
        """End all connections."""
        self._pool.dispose()

    @contextmanager
    def _cursor(self) -> Iterator[Cursor[Any]]:
        """A cursor in a transaction; a connection that turns out to be broken is replaced once."""
        from sqlalchemy.exc import TimeoutError as PoolExhausted

        try:
            held = self._pool.connect()
            connection: Connection[Any] = held.dbapi_connection  # type: ignore[assignment]
            if connection.closed or connection.broken:
                held.invalidate()
                held = self._pool.connect()
                connection = held.dbapi_connection  # type: ignore[assignment]
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    yield cursor
            except self._error:
                if connection.closed or connection.broken:
                    held.invalidate()
                raise
            finally:
                held.close()
        except PoolExhausted:
            raise IndexUnreachable(f"{self._spec.address} is asked too much at once", "try again in a second") from None
        except self._error as error:
            raise self._explained(error) from None  # its text may repeat the connection's parameters

    def _explained(self, error: Exception) -> IndexUnreachable:
        where = f"the index in {self._spec.address}"
        state = getattr(error, "sqlstate", None) or ""
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        folded = said.casefold()
        if state.startswith("28") or "password" in folded or "authentication" in folded:
            return IndexUnreachable(f"{where} refuses access", "set PGPASSWORD, or put the password into ~/.pgpass")
        if state == "42P01":
            return IndexUnreachable(f"{where} has lost its table", "make it anew: photoseek index")
        if state.startswith("53"):
            return IndexUnreachable(f"{where} has no space or no connections left", "look into the server's log")
        if state == "57014":
            return IndexUnreachable(f"{where} does not answer in time", "try again, or look into the server's log")
        if not state or state.startswith(("08", "57")):
            return IndexUnreachable(f"{where} does not answer", "start the server, or check address and network")
        if state in ("0A000", "42501", "58P01"):
            return IndexUnreachable(f"{where} has no pgvector: {said[:120]}", "install the extension vector there")
        return IndexUnreachable(f"{where} cannot be used: {said[:200]}", "look into the server's log")


def _row(dim: int) -> np.dtype[np.void]:
    """A row (bigint, halfvec) in the binary form of COPY: numbers are big-endian, each field behind its length."""
    return np.dtype(
        [
            ("fields", ">i2"),
            ("id_bytes", ">i4"),
            ("id", ">i8"),
            ("vector_bytes", ">i4"),
            ("dim", ">i2"),
            ("unused", ">i2"),
            ("vector", ">f2", (dim,)),
        ]
    )


def _rows_block(rows: NDArray[np.void]) -> Block:
    return Block(rows["id"].astype(np.int64), rows["vector"].astype(np.float32))


def _block(rows: Sequence[tuple[int, bytes]]) -> Block:
    """From (id, halfvec in binary form): two bytes of dimension, two unused, then the numbers."""
    ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    whole = b"".join(bytes(row[1])[4:] for row in rows)
    vectors = np.frombuffer(whole, ">f2").astype(np.float32)
    return Block(ids, vectors.reshape(len(rows), -1) if len(rows) else np.empty((0, 0), np.float32))

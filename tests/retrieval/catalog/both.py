"""A catalog in SQLite whose statements also run on PostgreSQL, where they have to give the same rows.

PostgreSQL has the tables of the schema, and those functions that a statement may call because SQLite has them built in
or gets them from Python. What a statement still says in SQLite's own words is in :data:`OWN_WORDS`: such a statement
runs on SQLite only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[pgvector]")
import psycopg
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.schema import metadata
from retrieval.catalog.transaction import Transaction
from retrieval.filters.places import EARTH_KM
from tests.indexes.servers import postgres

OWN_WORDS = {
    "MATCH": "FTS5",
    "text_index": "FTS5",
    "lexical": "FTS5; and its references are numbers or text",
    "GLOB": "patterns for names",
    "folder_matches": "a Python function",
    "is_folded_below": "a Python function",
    "CAST(path AS BLOB)": "paths that are not valid text",
    "json_each": "a list of ids as one value",
    "typeof": "values that a damaged file may hold",
    "PRAGMA": "overwriting what is deleted",
}
"""What only SQLite understands -> why it is there."""

BY_TRIGGERS = ("revisions", "purged_images")
"""Tables that triggers of the migrations fill, which are SQLite's."""

_FUNCTIONS = (
    "CREATE FUNCTION instr(text, text) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT strpos($1, $2)'",
    f"""CREATE FUNCTION great_circle_km(float8, float8, float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS
        'SELECT {EARTH_KM} * atan2(
             sqrt((cosd($3) * sind($4 - $2)) ^ 2
                  + (cosd($1) * sind($3) - sind($1) * cosd($3) * cosd($4 - $2)) ^ 2),
             sind($1) * sind($3) + cosd($1) * cosd($3) * cosd($4 - $2))'""",
    "CREATE FUNCTION joined_ids(text, bigint) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT concat_ws('','', $1, $2)'",
    "CREATE AGGREGATE group_concat(bigint) (SFUNC = joined_ids, STYPE = text)",
)

_NAME = re.compile(r"(?<![:\w]):([a-z_]\w*)", re.IGNORECASE)


class Both:
    """Runs each statement of readers and transactions a second time, on PostgreSQL.

    Attributes:
        asked: statements that gave the same rows on both.
        written: statements that wrote on both.
        words: those of :data:`OWN_WORDS` that occurred.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = postgres()
        address = {"host": "127.0.0.1", "port": server.port, "user": "tests"}
        self.asked: set[str] = set()
        self.written: set[str] = set()
        self.words: set[str] = set()
        with psycopg.connect(dbname="postgres", autocommit=True, **address) as connection:  # type: ignore[arg-type]
            connection.execute("DROP DATABASE IF EXISTS catalog WITH (FORCE)")
            # Texts are ordered by their bytes, as SQLite orders them.
            connection.execute("CREATE DATABASE catalog TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        self._server = psycopg.connect(dbname="catalog", autocommit=True, **address)  # type: ignore[arg-type]
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        for table in metadata.sorted_tables:
            if not table.name.startswith("lexical"):
                self._server.execute(str(CreateTable(table).compile(dialect=dialect)))
                for index in table.indexes:
                    self._server.execute(str(CreateIndex(index).compile(dialect=dialect)))
        for function in _FUNCTIONS:
            self._server.execute(function)
        self._server.execute("INSERT INTO state (id, change) VALUES (1, 0)")
        self._patch(monkeypatch)

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in (CatalogReader, Transaction):
            monkeypatch.setattr(kind, "rows", self._rows(kind.rows))
        executed = Transaction._executed

        def write(transaction: Transaction, sql: str, values: Any) -> Any:
            done = executed(transaction, sql, values)
            if self._is_shared(sql):
                several = [values] if isinstance(values, Mapping) else values
                touched = sum(self._run(sql, each).rowcount for each in several)
                assert done.rowcount in (touched, -1), sql  # -1: sqlite3 does not count behind WITH
                self.written.add(sql)
            return done

        monkeypatch.setattr(Transaction, "_executed", write)

    def _rows(self, ask: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def rows(self_: Any, sql: str, values: Mapping[str, Any] | None = None, **more: Any) -> list[Any]:
            found = ask(self_, sql, values, **more)
            if self._is_shared(sql):
                want, have = _plain(found), _plain(self._run(sql, values or {}).fetchall())
                is_ordered = "ORDER BY" in _outside_brackets(sql)
                assert (have if is_ordered else sorted(have, key=repr)) == (
                    want if is_ordered else sorted(want, key=repr)
                ), (sql, values)
                self.asked.add(sql)
            return found

        return rows

    def _is_shared(self, sql: str) -> bool:
        words = {word for word in OWN_WORDS if word in sql}
        self.words |= words
        return not words and not any(re.search(rf"\b{table}\b", sql) for table in BY_TRIGGERS)

    def _run(self, sql: str, values: Mapping[str, Any]) -> psycopg.Cursor[Any]:
        written = _NAME.sub(r"%(\1)s", sql.replace("%", "%%"))
        try:
            return self._server.execute(written, values)
        except psycopg.Error as error:
            raise AssertionError(f"PostgreSQL does not run it: {error}\n{sql}\n{values}") from error

    def close(self) -> None:
        """End the connection."""
        self._server.close()


def _outside_brackets(sql: str) -> str:
    """A statement without what stands in brackets: its own order, and not that of a part of it."""
    while (less := re.sub(r"\([^()]*\)", "", sql)) != sql:
        sql = less
    return sql


def _plain(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows as tuples of numbers and texts: booleans are numbers in SQLite."""
    return [tuple(map(_value, row)) for row in rows]


def _value(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\d+(,\d+)+", value):  # of group_concat, in any order
        return sorted(value.split(","))
    return value

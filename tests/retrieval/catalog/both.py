"""A catalog in SQLite whose statements also run on PostgreSQL, where they have to give the same rows.

The catalog in PostgreSQL is one as ``photoseek init`` makes it, and each statement is translated as for a gallery
there. What has other statements in PostgreSQL is in :data:`OWN_WORDS`: such a statement runs on SQLite only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="PostgreSQL needs photoseek[postgres]")
import psycopg

from retrieval.catalog.postgres.connect import open_connection
from retrieval.catalog.postgres.statements import translated
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.transaction import Transaction
from tests.retrieval.catalog.servers import new_catalog

OWN_WORDS = {
    ".rank": "ranked by FTS5; words.documents does it in PostgreSQL",
    "bm25": "likewise; words.texts_with",
    "PRAGMA": "overwriting what is deleted",
}
"""What only SQLite understands -> why it is there."""

RANDOM = ("revisions", "version")
"""A table and a column with names that each database makes up."""


class Both:
    """Runs each statement of readers and transactions a second time, on PostgreSQL.

    Attributes:
        asked: statements that gave the same rows on both.
        written: statements that wrote on both.
        words: those of :data:`OWN_WORDS` that occurred.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: set[str] = set()
        self.written: set[str] = set()
        self.words: set[str] = set()
        self._server = open_connection(new_catalog())
        self._patch(monkeypatch)

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in (CatalogReader, Transaction):
            monkeypatch.setattr(kind, "rows", self._rows(kind.rows))
        executed = Transaction._executed

        def write(transaction: Transaction, sql: str, values: Any) -> Any:
            done = executed(transaction, sql, values)
            if self._is_shared(sql):
                several = [values] if isinstance(values, Mapping) else values
                done_there = [self._run(sql, each) for each in several]
                touched = sum(each.rowcount for each in done_there)
                assert "lexical" in sql or "text_index" in sql or done.rowcount in (touched, -1), (
                    sql
                )  # -1: sqlite3 does not count behind WITH
                self.written.add(sql)
            return done

        monkeypatch.setattr(Transaction, "_executed", write)

    def _rows(self, ask: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def rows(self_: Any, sql: str, values: Mapping[str, Any] | None = None, **more: Any) -> list[Any]:
            found = ask(self_, sql, values, **more)
            if self._is_shared(sql) and not ("captions" in sql and "lexical" in sql):  # SQLite gives old ids again
                want, have = _plain(found), _plain(self._run(sql, values or {}, more.get("functions") or {}).fetchall())
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
        return not words and not any(re.search(rf"\b{name}\b", sql) for name in RANDOM)

    def _run(
        self, sql: str, values: Mapping[str, Any], functions: Mapping[str, Any] | None = None
    ) -> psycopg.Cursor[Any]:
        def ask(own: str, own_values: Mapping[str, Any]) -> list[Any]:
            return self._server.execute(own, own_values).fetchall()

        try:
            statement = translated(sql, values, functions or {}, ask)
            return self._server.execute(
                "SELECT 1 WHERE FALSE" if statement is None else statement.text,
                None if statement is None else statement.values,
            )
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
    if isinstance(value, str) and re.fullmatch(r"\d+(,\d+)+", value):  # of group_concat, in any order
        return sorted(value.split(","))
    return value

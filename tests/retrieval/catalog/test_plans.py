"""How SQLite runs the statements of the catalog: none reads a whole table again and again.

A table that is scanned inside a loop over another one takes time in proportion to both: such a statement is fast with
a hundred pictures, and takes minutes with a hundred thousand.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from retrieval.catalog import facets, lexicon, selection
from retrieval.catalog.forgetting import forget
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from retrieval.filters import parse_filter
from tests.retrieval.catalog.statements import CONDITIONS, OWN_CONDITIONS, ask, asked, fill, say
from tests.retrieval.rows import row_of

FEW = {
    "SCAN c": "towns, for each of a few places whose name has a word",
    "SCAN w": "times that a question names",
}
"""What is scanned in a loop all the same -> what it is, and why that is never much."""


class Step(NamedTuple):
    """A line of ``EXPLAIN QUERY PLAN``: how deep it is, and what it says."""

    depth: int
    text: str


def plan_of(connection: sqlite3.Connection, sql: str) -> list[Step]:
    """The steps of a statement as SQLite plans it, in their order."""
    depths = {0: -1}
    steps = []
    for id_, parent, _, text in connection.execute(f"EXPLAIN QUERY PLAN {sql}"):
        depths[id_] = depths[parent] + 1
        steps.append(Step(depths[id_], text))
    return steps


def scans_in_loops(plan: Sequence[Step]) -> Iterator[str]:
    """The steps that read a whole table for each row of another one."""
    for at, step in enumerate(plan):
        if not step.text.startswith("SCAN") or "CONSTANT ROW" in step.text:
            continue
        depth = step.depth
        for before in reversed(plan[:at]):
            if before.depth == depth == step.depth and before.text.startswith(("SCAN", "SEARCH")):
                yield step.text  # joined, and not the first of the tables
                break
            if before.depth < depth:
                depth = before.depth
                if before.text.startswith("CORRELATED"):
                    yield step.text
                if "SUBQUERY" in before.text:
                    break


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM a JOIN b ON a.x = b.x", []),  # by an index that SQLite makes for this statement
        ("SELECT * FROM a JOIN b ON a.x < b.x", ["SCAN b"]),
        ("SELECT * FROM a CROSS JOIN c WHERE c.id = a.x", []),
        ("SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x + 1 AND b.y = 1)", ["SCAN b"]),
        ("SELECT * FROM a WHERE x IN (SELECT x FROM b)", []),
        ("SELECT * FROM a WHERE EXISTS (SELECT 1 FROM c WHERE c.id = a.x AND c.y IN (SELECT y FROM b))", []),
    ],
)
def test_scans_in_loops_are_seen(sql: str, found: list[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("CREATE TABLE a (x, y); CREATE TABLE b (x, y); CREATE TABLE c (id PRIMARY KEY, y)")
        assert list(scans_in_loops(plan_of(connection, sql))) == found


def test_no_statement_reads_a_whole_table_in_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    said: dict[str, list[Step]] = {}

    def note(connection: sqlite3.Connection, statements: list[str]) -> None:
        connection.set_trace_callback(None)
        for sql in statements:
            with suppress(sqlite3.Error):  # BEGIN, PRAGMA, the statements of triggers, which refer to their rows
                said[sql] = plan_of(connection, sql)

    with closing(Catalog(path)) as written, closing(CatalogReader(path)) as reader:
        one, _ = fill(written)
        row = row_of(reader, one)
        with written.transaction() as transaction:
            traced: list[str] = []
            transaction._driver.set_trace_callback(traced.append)
            say(transaction, one)
            ask(transaction, row)
            forget(transaction, ["/photos/b.jpg"], purge=True)
            lexicon.make_anew(transaction)
            note(transaction._driver, traced)
        read: list[str] = []
        reader._connection.set_trace_callback(read.append)
        ask(reader, row)
        for text in (*CONDITIONS, *OWN_CONDITIONS):
            for listed in (False, True):
                selection.select(reader, asked(text), one, for_list=listed)
        facets.failing(reader, asked("after=2020"), [parse_filter(camera="canon")])
        note(reader._connection, read)
    assert len(said) > 300
    wrong = {sql: found for sql, plan in said.items() if (found := set(scans_in_loops(plan)) - set(FEW))}
    assert wrong == {}

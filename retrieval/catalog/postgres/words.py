"""Ranking by words in PostgreSQL: BM25 as FTS5 computes it, over the matches that an index finds.

PostgreSQL's own ``ts_rank`` knows nothing of how rare a word is. So the matches are fetched with their texts, or with
how often a term is in each, and the formula is computed here: https://www.sqlite.org/fts5.html, the bm25() function.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from retrieval.catalog.access import Rows
from retrieval.catalog.postgres.statements import phrases
from retrieval.filters.words import match_of

_K1, _B = 1.2, 0.75
_EXACT = 200_000
"""Rows up to which their mean length is computed from all of them; of more, from a hundredth."""


def bm25(count: int, length: int, mean: float, number: int, having: int) -> float:
    """The part of one term in a document's score; above zero, higher is better.

    Args:
        count: how often it is in the document.
        length, mean: of the document, and of all on average.
        number, having: of documents; and of those with the term.
    """
    weight = max(log((number - having + 0.5) / (having + 0.5)), 1e-6)
    return weight * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / (mean or 1)))


def documents(rows: Rows, match: str, most: int) -> list[tuple[Any, int | str, float]]:
    """(kind, ref, score) of the documents with a word; see ``lexicon.documents_with``. Empty if there are more than
    ``most``."""
    found = rows.rows(
        f"""SELECT d.kind, coalesce(CAST(d.ref AS INTEGER), 0), d.ref, d.words FROM lexical_index AS x
            JOIN lexical AS d ON d.id = x.rowid WHERE x.lexical_index MATCH :match LIMIT {most + 1}""",
        {"match": match},
    )
    if not found or len(found) > most:
        return []
    spaces = "length(words) - length(replace(words, ' ', ''))"
    number, mean = _totals(rows, "lexical", f"CASE WHEN words = '' THEN 0 ELSE {spaces} + 1 END")
    [(phrase, begins)] = phrases(match)
    wanted = phrase.split()
    ranked = []
    for kind, id_, ref, text in found:
        words = text.split(" ")
        score = bm25(_occurrences(words, wanted, begins), len(words), mean, number, len(found))
        ranked.append((kind, ref if kind in ("tag", "place") else id_, score))
    return ranked


def _occurrences(words: Sequence[str], wanted: Sequence[str], begins: bool) -> int:
    last = len(wanted) - 1
    return sum(
        all(
            words[at + n].startswith(word) if begins and n == last else words[at + n] == word
            for n, word in enumerate(wanted)
        )
        for at in range(len(words) - last)
    )


def texts_with(
    rows: Rows, terms: Sequence[str], *, every: bool, also: str = "", values: dict[str, str] | None = None
) -> list[tuple[int, float]]:
    """(image id, score) of the present images whose text has all, or any, of these terms of three characters or more.

    Args:
        also: further conditions on ``picture_texts AS t``, with ``values``.
    """
    held = {f"counted{n}": term for n, term in enumerate(terms)}
    counts = ", ".join(f"(length(t.folded) - length(replace(t.folded, :{n}, ''))) / length(:{n})" for n in held)
    found = rows.rows(
        f"""SELECT i.id, length(t.folded), {counts} FROM picture_texts AS t
            JOIN images AS i ON i.content_hash = t.content_hash
            WHERE t.id IN (SELECT rowid FROM text_index WHERE text_index MATCH :match) AND NOT i.is_retired{also}""",
        {"match": match_of(tuple(terms), every=every), **held, **(values or {})},
    )
    if not found:
        return []
    number, mean = _totals(rows, "picture_texts", "greatest(length(folded) - 2, 0)")
    sql = "SELECT count(*) FROM text_index WHERE text_index MATCH :match"
    having = [rows.rows(sql, {"match": match_of((term,))})[0][0] for term in terms]
    return [
        (
            row[0],
            sum(
                bm25(count, row[1] - 2, mean, number, each)
                for count, each in zip(row[2:], having, strict=True)
                if count
            ),
        )
        for row in found
    ]


def _totals(rows: Rows, table: str, length: str) -> tuple[int, float]:
    """How many rows there are, and their mean length; of large tables both are estimates."""
    estimate = rows.rows(f"SELECT reltuples FROM pg_class WHERE oid = to_regclass('{table}')")[0][0]
    if estimate <= _EXACT:
        number, mean = rows.rows(f"SELECT count(*), avg({length}) FROM {table}")[0]
    else:
        number, mean = estimate, rows.rows(f"SELECT avg({length}) FROM {table} TABLESAMPLE SYSTEM (1)")[0][0]
    return int(number), float(mean or 1)

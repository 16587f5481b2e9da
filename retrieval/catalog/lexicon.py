"""The index of words: names of files and folders, tags and captions by people, names of places.

Each name, folder, caption, tag and place is one *document*, however many pictures have it: a folder of 10,000 pictures
is indexed once. A document's lexemes (:mod:`retrieval.lexemes`) are in ``lexical``, and ``lexical_index`` is an FTS5
index of them (https://www.sqlite.org/fts5.html, external content).

Triggers record in ``lexical_due`` what any statement wrote or deleted; at the end of its transaction
:func:`refresh` brings the documents up to date. So index and tables never differ, and statements need not update it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from retrieval.catalog.access import Rows
from retrieval.errors import GalleryError
from retrieval.lexemes import beginning, lexemes, name_lexemes
from retrieval.paths import as_text, decode_path, is_below

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

Kind = Literal["name", "folder", "caption", "tag", "place"]

MOST_FOUND = 20_000
"""Documents looked up for a word, and pictures that one of them may have. A word in more documents than this says
little about each, and reading them all would take longer than the search."""


class Document(NamedTuple):
    """A text in which a word was found.

    Attributes:
        kind: what the text is.
        ref: whose text: the id of an image, folder or caption; the folded tag; the key of a place.
        score: BM25, above zero; higher is better.
    """

    kind: Kind
    ref: int | str
    score: float


# Reading


def documents_with(rows: Rows, match: str) -> list[Document]:
    """The documents that contain a word.

    Args:
        match: in FTS5's syntax, see :func:`retrieval.lexemes.match`.

    Returns:
        An empty list if there are more than :data:`MOST_FOUND`.
    """
    if rows.is_server:
        from retrieval.catalog.postgres.words import documents

        return [Document(*row) for row in documents(rows, match, MOST_FOUND)]
    sql = f"""SELECT d.kind, d.ref, -x.rank FROM lexical_index AS x JOIN lexical AS d ON d.id = x.rowid
              WHERE x.lexical_index MATCH :match LIMIT {MOST_FOUND + 1}"""
    found = rows.rows(sql, {"match": match})
    return [Document(*row) for row in found] if len(found) <= MOST_FOUND else []


_PICTURES: dict[Kind, str] = {
    "name": "SELECT id, id FROM images WHERE id IN ({}) AND NOT is_retired",
    "folder": "SELECT folder_id, id FROM images WHERE folder_id IN ({}) AND NOT is_retired",
    "caption": """SELECT c.id, i.id FROM captions AS c JOIN images AS i ON i.id = c.image_id
        WHERE c.id IN ({}) AND NOT i.is_retired""",
    "tag": """SELECT s.tag_key, i.id FROM tag_spellings AS s JOIN tags AS t ON t.tag = s.tag
        JOIN images AS i ON i.id = t.image_id WHERE s.tag_key IN ({}) AND NOT i.is_retired""",
    "place": """SELECT p.key, i.id
        FROM places AS p CROSS JOIN places AS c CROSS JOIN located AS l CROSS JOIN images AS i
        WHERE p.key IN ({}) AND p.key IN (c.key, c.region, c.country) AND l.place = c.key
        AND i.latitude = l.latitude AND i.longitude = l.longitude AND NOT i.is_retired""",
}
"""Kind -> (ref, id of a present image that has it). SQLite joins in the order of CROSS JOIN: from few places to their
pictures. By itself it would read all pictures first."""


def pictures_of(rows: Rows, kind: Kind, refs: Sequence[int | str]) -> list[tuple[int | str, int]]:
    """(ref, image id) of the present images that have these documents; at most :data:`MOST_FOUND`."""
    found: list[tuple[int | str, int]] = []
    for start in range(0, len(refs), 100):
        part = {f"ref{n}": ref for n, ref in enumerate(refs[start : start + 100])}
        names = ", ".join(f":{name}" for name in part)
        found += rows.rows(f"{_PICTURES[kind].format(names)} LIMIT {MOST_FOUND + 1}", part)
        if len(found) > MOST_FOUND:
            return []
    return found


def names_beginning(rows: Rows, text: str, most: int) -> list[str]:
    """Names of present files, hidden ones left out, in which words begin like this text; in no order.

    Args:
        most: how many, at most; looking ends with them.
    """
    if not (match := beginning(text)):
        return []
    # CROSS JOIN, and nothing appended, keep SQLite from asking the index of words for each name: of 100,000 pictures
    # that took 13 s instead of 4 ms.
    sql = """SELECT i.name FROM lexical_index AS x CROSS JOIN lexical AS d CROSS JOIN images AS i
             WHERE x.lexical_index MATCH :match AND d.id = x.rowid AND d.kind || '' = 'name'
             AND i.id = CAST(d.ref AS INTEGER) AND NOT i.is_retired
             AND i.id NOT IN (SELECT image_id FROM hidden) LIMIT :most"""
    # A name that several files have is one suggestion.
    found = rows.rows(sql, {"match": match, "most": 4 * most})
    return list(dict.fromkeys(as_text(decode_path(row[0])) for row in found))[:most]


# Writing


def refresh(transaction: Transaction) -> None:
    """Bring the documents up to date with what this transaction wrote; a damaged index is rebuilt."""
    if not transaction.rows("SELECT 1 FROM lexical_due LIMIT 1"):
        return
    try:
        _refresh(transaction)
    except GalleryError:
        make_anew(transaction)


def _refresh(transaction: Transaction) -> None:
    for kind, source in _SOURCES.items():
        due = f"FROM lexical_due WHERE kind = '{kind}'"
        written = transaction.rows(
            f"""SELECT {source.ref}, {source.text} FROM {source.table}
                WHERE {source.ref} IN (SELECT {source.by("ref")} {due})"""
        )
        transaction.run(f"DELETE FROM lexical WHERE kind = '{kind}' AND ref IN (SELECT ref {due})")
        words = _reader_of(transaction, kind)
        transaction.write_new(
            "INSERT INTO lexical (kind, ref, words) VALUES (:kind, :ref, :words)",
            [{"kind": kind, "ref": ref, "words": words(text)} for ref, text in written],
        )
    transaction.run("DELETE FROM lexical_due")


def make_anew(transaction: Transaction) -> None:
    """Rebuild every document and the index: the existing ones may be damaged or missing."""
    transaction.run("INSERT INTO lexical_index (lexical_index) VALUES ('rebuild')")
    transaction.run("DELETE FROM lexical")
    transaction.run("DELETE FROM lexical_due")
    for kind, source in _SOURCES.items():
        transaction.run(f"INSERT INTO lexical_due (kind, ref) SELECT '{kind}', {source.ref} FROM {source.table}")
    _refresh(transaction)


def is_sound(transaction: Transaction) -> bool:
    """Whether the index agrees with the documents, and each text has its document."""
    try:
        transaction.run("INSERT INTO lexical_index (lexical_index, rank) VALUES ('integrity-check', 1)")
    except GalleryError:
        return False
    return not any(
        transaction.rows(f"{one} EXCEPT {other} LIMIT 1")
        for kind, source in _SOURCES.items()
        for one, other in permutations(
            (
                f"SELECT {source.ref} FROM {source.table}",
                f"SELECT {source.by('ref')} FROM lexical WHERE kind = '{kind}'",
            )
        )
    )


def erase_deleted(transaction: Transaction) -> None:
    """For a purge: bring the documents up to date, and remove all traces of deleted ones from the index.

    An index keeps deleted text until its segments are merged.
    """
    refresh(transaction)
    transaction.run("INSERT INTO lexical_index (lexical_index) VALUES ('optimize')")


class _Source(NamedTuple):
    """Where the texts of documents come from: a table, what identifies a row, and the text."""

    table: str
    ref: str
    text: str

    def by(self, ref: str) -> str:
        """What a column of references to these rows is compared with them as: numbers, or texts."""
        return f"CAST({ref} AS INTEGER)" if self.ref == "id" else ref


_SOURCES: dict[Kind, _Source] = {
    "name": _Source("images", "id", "name"),
    "folder": _Source("folders", "id", "path"),
    "caption": _Source("captions", "id", "text"),
    "tag": _Source("tag_spellings", "tag_key", "tag"),
    "place": _Source("places", "key", "names"),
}

NUMBERED = tuple(kind for kind, source in _SOURCES.items() if source.ref == "id")
"""Kinds of documents whose ``ref`` is a number; that of the others is a text."""


def _reader_of(rows: Rows, kind: Kind) -> Callable[[Any], str]:
    """The function that computes the lexemes of a kind's texts."""
    if kind == "name":
        return lambda name: " ".join(name_lexemes(decode_path(name)))
    if kind == "folder":
        from retrieval.catalog.folders import all_roots  # not needed by searches

        roots = sorted(all_roots(rows), key=len)
        return lambda path: " ".join(lexemes(_told(decode_path(path), roots)))
    return lambda text: " ".join(lexemes(str(text)))


def _told(path: str, roots: Sequence[str]) -> str:
    """The informative part of a folder's path: the names from the outermost indexed folder down."""
    root = next((root for root in roots if is_below(path, root)), None)
    return os.path.join(*Path(path).parts[-2:]) if root is None else path[len(os.path.dirname(root)) :]

"""The tables of text recognised in pictures.

Text belongs to a content, not to a picture: one that is moved, copied, or forgotten and indexed again is not read
again. Beside the lines the table has their text for comparison (``filters.words.fold_text``), and an FTS5 index of its
trigrams, which finds parts of words and scripts without spaces. Terms of one or two characters, which have no trigram,
are searched for in that text itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.images import Waiting, waiting
from retrieval.catalog.records import utc_now
from retrieval.filters.words import TRIGRAM, fold_text, match_of, parse_words

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

PAGE_LETTERS = 200
"""A picture with this much text is a page, whatever it looks like: photographed pages, dense posters."""

_UNIT = 10_000
"""Corners are stored as multiples of this fraction of the picture's sides."""

_ENDS = 255
"""Likewise the ends of characters, as fractions of a line's length: a byte each."""

_K1, _B = 1.2, 0.75
"""Parameters of BM25, as in FTS5 (https://www.sqlite.org/fts5.html, the bm25() function)."""


@dataclass(frozen=True)
class TextLine:
    """A line of text in a picture.

    Attributes:
        text: without control characters.
        confidence: the mean probability of its characters, in [0, 1].
        corners: x and y of its four corners, clockwise from the top of the text's beginning; fractions of the
            upright picture's width and height.
        ends: for each character, where it ends along the line, as a fraction of the line's length; empty if that
            is not known.
    """

    text: str
    confidence: float
    corners: tuple[float, ...]
    ends: tuple[float, ...] = ()


@dataclass(frozen=True)
class PictureText:
    """The text recognised in a picture.

    Attributes:
        model: name and version of the recogniser.
        read_at: UTC, ISO 8601.
        lines: in reading order.
        reason: why it could not be read; None if it was.
    """

    model: str
    read_at: str
    lines: tuple[TextLine, ...] = ()
    reason: str | None = None


class TextCounts(NamedTuple):
    """Counts of present pictures: read, with text, unreadable, and not yet tried."""

    read: int
    with_text: int
    failed: int
    unread: int


# Reading


def unread(rows: Rows, model: str, *, retry_failures: bool = False) -> list[Waiting]:
    """The contents that this model has not read yet, see :func:`~retrieval.catalog.images.waiting`."""
    return waiting(rows, "picture_texts", model, retry_failures=retry_failures)


def pages_by_text(rows: Rows, contents: Sequence[bytes]) -> set[bytes]:
    """Those of these contents in which so much text was read that they are pages."""
    found: set[bytes] = set()
    for start in range(0, len(contents), 100):
        part = {f"hash{n}": content for n, content in enumerate(contents[start : start + 100])}
        listed = ", ".join(f":{name}" for name in part)
        sql = f"""SELECT content_hash FROM picture_texts WHERE content_hash IN ({listed})
                  AND length(folded) >= :letters"""
        found.update(row[0] for row in rows.rows(sql, {**part, "letters": PAGE_LETTERS}))
    return found


def texts_of(rows: Rows, ids: Sequence[int]) -> dict[int, PictureText]:
    """Image id -> the text recognised in it; images that were not read are missing."""
    found: dict[int, PictureText] = {}
    for names, values in id_lists(ids):
        sql = f"""SELECT i.id, t.model, t.read_at, t.lines, t.reason FROM images AS i
                  JOIN picture_texts AS t ON t.content_hash = i.content_hash WHERE i.id IN ({names})"""
        for image_id, model, read_at, lines, reason in rows.rows(sql, values):
            try:
                found[image_id] = PictureText(model, read_at, _lines(lines), reason)
            except (ValueError, TypeError):  # a damaged row: only this picture's text is unknown
                continue
    return found


def text_counts(rows: Rows) -> TextCounts:
    """How many present pictures were read."""
    sql = """SELECT count(*), count(t.id), count(CASE WHEN t.folded <> '' THEN 1 END), count(t.reason) FROM images AS i
             LEFT JOIN picture_texts AS t ON t.content_hash = i.content_hash
             WHERE NOT i.is_retired AND i.duration_s IS NULL"""
    present, tried, with_text, failed = rows.rows(sql)[0]
    return TextCounts(tried - failed, with_text, failed, present - tried)


def images_with_text(
    rows: Rows, words: str, *, every: bool = True, limit: int | None = None
) -> list[tuple[int, float]]:
    """The present images whose text matches a query, with scores: the best first, ties by id.

    Args:
        words: words and, in quotes, phrases, as :func:`~retrieval.filters.words.parse_words` reads them; each may be a
            part of a word.
        every: all of them must occur; otherwise any one is enough, which ranks a query in whole sentences.
            Terms under three characters ("of") then count only if there are no longer ones.
        limit: maximum number of images.

    Returns:
        (image id, score): BM25 over trigrams, above zero, higher is better; comparable only within one gallery and
        query.

    Raises:
        QueryError: the query contains no word.
    """
    terms = parse_words(words)
    long, short = [t for t in terms if len(t) >= TRIGRAM], [t for t in terms if len(t) < TRIGRAM]
    if long:
        held = {f"term{n}": term for n, term in enumerate(short if every else ())}
        also = "".join(f" AND instr(t.folded, :{name}) > 0" for name in held)
        if rows.is_server:
            from retrieval.catalog.postgres.words import texts_with

            return _best(texts_with(rows, long, every=every, also=also, values=held), limit)
        sql = f"""SELECT i.id, -bm25(text_index) FROM text_index
                  JOIN picture_texts AS t ON t.id = text_index.rowid JOIN images AS i ON i.content_hash = t.content_hash
                  WHERE text_index MATCH :match AND NOT i.is_retired{also}"""
        found = rows.rows(sql, {"match": match_of(terms, every=every), **held})
    else:
        found = _ranked(rows, short, every)
    return _best(found, limit)


def _best(found: Iterable[tuple[int, float]], limit: int | None) -> list[tuple[int, float]]:
    best = sorted(((int(image_id), float(score)) for image_id, score in found), key=lambda each: (-each[1], each[0]))
    return best[:limit]


def images_with_word(rows: Rows, word: str) -> list[tuple[int, float]]:
    """The present images whose text has a word beginning with this one: the matches of :func:`images_with_text` inside
    words suit queries for a part of a word, but not queries in whole sentences.

    Args:
        word: folded; at least :data:`~retrieval.filters.words.TRIGRAM` characters. One of three must be a whole word.
    """
    bounded = f" {word} " if len(word) == TRIGRAM else f" {word}"
    if rows.is_server:
        from retrieval.catalog.postgres.words import texts_with

        also = " AND instr(' ' || t.folded || ' ', :bounded) > 0"
        return texts_with(rows, (word,), every=True, also=also, values={"bounded": bounded})
    sql = """SELECT i.id, -bm25(text_index) FROM text_index
             JOIN picture_texts AS t ON t.id = text_index.rowid JOIN images AS i ON i.content_hash = t.content_hash
             WHERE text_index MATCH :match AND NOT i.is_retired AND instr(' ' || t.folded || ' ', :bounded) > 0"""
    return rows.rows(sql, {"match": match_of((word,)), "bounded": bounded})


def _ranked(rows: Rows, terms: Sequence[str], every: bool) -> list[tuple[int, float]]:
    """For terms without a trigram: the same formula, over how often they occur in the text itself."""
    held = {f"term{n}": term for n, term in enumerate(terms)}
    counted = ", ".join(f"(length(folded) - length(replace(folded, :{n}, ''))) / length(:{n})" for n in held)
    holds = (" AND " if every else " OR ").join(f"instr(t.folded, :{name}) > 0" for name in held)
    sql = f"""SELECT i.id, length(t.folded), {counted} FROM picture_texts AS t
              JOIN images AS i ON i.content_hash = t.content_hash WHERE NOT i.is_retired AND ({holds})"""
    found = rows.rows(sql, held)
    (number, length) = rows.rows("SELECT count(*), coalesce(avg(length(folded)), 1) FROM picture_texts")[0]
    having = [sum(row[2 + n] > 0 for row in found) for n in range(len(terms))]
    weights = [max(log((number - n + 0.5) / (n + 0.5)), 1e-6) for n in having]  # as FTS5, never below zero
    return [
        (
            row[0],
            sum(
                weight * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * row[1] / length))
                for weight, count in zip(weights, row[2:], strict=True)
            ),
        )
        for row in found
    ]


def _lines(stored: str) -> tuple[TextLine, ...]:
    return tuple(
        TextLine(
            text,
            confidence,
            tuple(corner / _UNIT for corner in corners),
            tuple(end / _ENDS for end in bytes.fromhex(ends)),
        )
        for text, confidence, corners, ends in json.loads(stored)
    )


# Writing


def write_texts(transaction: Transaction, read: Iterable[tuple[bytes, PictureText]]) -> None:
    """Write recognised texts, replacing what was known about these contents."""
    for content_hash, found in read:
        drop_texts(transaction, [content_hash])
        folded = fold_text("\n".join(line.text for line in found.lines))
        values = {
            "hash": content_hash,
            "model": found.model,
            "at": found.read_at or utc_now(),
            "lines": json.dumps([_stored(line) for line in found.lines], ensure_ascii=False, separators=(",", ":")),
            "folded": folded,
            "reason": found.reason,
        }
        id_ = transaction.insert(
            """INSERT INTO picture_texts (content_hash, model, read_at, lines, folded, reason)
               VALUES (:hash, :model, :at, :lines, :folded, :reason)""",
            values,
        )
        transaction.run("INSERT INTO text_index (rowid, folded) VALUES (:id, :folded)", {"id": id_, "folded": folded})
        if len(folded) >= PAGE_LETTERS:
            transaction.run(
                """UPDATE images SET is_page = TRUE, change = :change WHERE content_hash = :hash
                   AND duration_s IS NULL AND NOT coalesce(is_page, FALSE)""",
                {"hash": content_hash, "change": transaction.change()},
            )


def copy_texts(transaction: Transaction, old: bytes, new: bytes) -> None:
    """Text read in one content is also that of another, which shows the same."""
    known = transaction.rows("SELECT 1 FROM picture_texts WHERE content_hash = :new", {"new": new})
    sql = "SELECT model, read_at, lines, folded, reason FROM picture_texts WHERE content_hash = :old"
    for model, read_at, lines, folded, reason in () if known else transaction.rows(sql, {"old": old}):
        id_ = transaction.insert(
            """INSERT INTO picture_texts (content_hash, model, read_at, lines, folded, reason)
               VALUES (:hash, :model, :at, :lines, :folded, :reason)""",
            {"hash": new, "model": model, "at": read_at, "lines": lines, "folded": folded, "reason": reason},
        )
        transaction.run("INSERT INTO text_index (rowid, folded) VALUES (:id, :folded)", {"id": id_, "folded": folded})


def drop_texts(transaction: Transaction, content_hashes: Iterable[bytes]) -> None:
    """Delete the texts of these contents."""
    for content_hash in content_hashes:
        for id_, folded in transaction.rows(
            "SELECT id, folded FROM picture_texts WHERE content_hash = :hash", {"hash": content_hash}
        ):
            row = {"id": id_, "folded": folded}
            transaction.run("INSERT INTO text_index (text_index, rowid, folded) VALUES ('delete', :id, :folded)", row)
            transaction.run("DELETE FROM picture_texts WHERE id = :id", {"id": id_})


def forget_unshown(transaction: Transaction) -> None:
    """For a purge: delete the text of contents that no image has any more, and rebuild the index.

    An index keeps deleted text until its segments are merged.
    """
    gone = transaction.rows(
        """SELECT content_hash FROM picture_texts AS t
           WHERE NOT EXISTS (SELECT 1 FROM images AS i WHERE i.content_hash = t.content_hash)"""
    )
    if gone:
        drop_texts(transaction, [digest for (digest,) in gone])
        transaction.run("INSERT INTO text_index (text_index) VALUES ('rebuild')")


def _stored(line: TextLine) -> list[Any]:
    ends = bytes(min(max(round(end * _ENDS), 0), _ENDS) for end in line.ends).hex()
    return [line.text, round(line.confidence, 3), [round(corner * _UNIT) for corner in line.corners], ends]

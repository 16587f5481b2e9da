"""The data for counting facets: columns of pictures, tags, and which conditions a picture fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from indexes.base import Ids
from retrieval.catalog.access import FilteredRows, Rows
from retrieval.catalog.encoders import active_encoder
from retrieval.catalog.selection import stored_values
from retrieval.filters import Filter
from retrieval.filters.conditions import COUNTED, RATED
from retrieval.filters.sql import FUNCTIONS, distinct, to_sql, without_hidden

_STEP = 50_000
"""Rows per step: they are Python objects before they become columns."""

_ALL = (1 << 63) - 1
"""A limit for all rows."""

_COLUMNS = f"""SELECT i.id, i.is_retired, i.folder_id, i.taken_at, i.latitude, i.longitude,
    {", ".join(facet.expression for facet in COUNTED)} FROM images AS i"""


def changed_pictures(rows: Rows, after: int) -> Iterator[list[Any]]:
    """The rows that changed after a change number (0: all), by id, in blocks, the last of which may be empty.

    Each row: id, is retired, folder's id, date taken, latitude, longitude, and the values of
    ``filters.conditions.COUNTED``.
    """
    # The first reading scans the table; later ones use the index of change numbers.
    where = "" if after == 0 else "change > :after AND "
    last = -1
    while True:
        found = rows.rows(
            f"{_COLUMNS} WHERE {where}id > :last ORDER BY id LIMIT :count",
            {"after": after, "last": last, "count": _STEP},
        )
        yield found
        if len(found) < _STEP:
            return
        last = found[-1][0]


def tag_pairs(rows: Rows) -> list[tuple[int, str]]:
    """(image id, tag) of the tags that people gave, each once, retired pictures included."""
    return rows.rows("SELECT DISTINCT image_id, tag FROM tags")


def rating_pairs(rows: Rows) -> list[tuple[int, str]]:
    """(image id, stars or ``rejected``) of every rated picture, retired ones included; unrated ones are left out."""
    return rows.rows(
        f"SELECT i.id, {RATED} FROM images AS i WHERE i.id IN (SELECT image_id FROM ratings) AND {RATED} <> '0'"
    )


def favourite_pairs(rows: Rows) -> list[tuple[int, str]]:
    """(image id, ``true``) of every favourite, retired ones included."""
    return rows.rows("SELECT DISTINCT image_id, 'true' FROM favourites")


def rating_counts(rows: Rows) -> dict[str, int]:
    """``rejected`` or stars -> how many present images have this effective rating, the best first."""
    sql = f"""SELECT rated, count(*) FROM (SELECT {RATED} AS rated FROM images AS i WHERE NOT i.is_retired
                                           AND i.id IN (SELECT image_id FROM ratings)) AS found
              WHERE rated <> '0' GROUP BY rated ORDER BY rated = 'rejected', rated DESC"""
    return dict(rows.rows(sql))


def predicted_pairs(rows: Rows, encoder_id: int) -> list[tuple[int, str]]:
    """(image id, tag) of the tags that an encoder predicts, retired pictures included."""
    # The plus keeps SQLite from using an index and looking up every row: 0.13 s for 300,000 tags instead of 0.44.
    sql = "SELECT image_id, tag FROM predicted_tags WHERE +encoder_id = :encoder"
    return rows.rows(sql, {"encoder": encoder_id})


def failing(rows: FilteredRows, rest: Filter, groups: Sequence[Filter]) -> dict[int, Ids]:
    """The present pictures that pass ``rest`` and fail at most one of ``groups``.

    Returns:
        0 -> the ids of those that fail none, ``2 << n`` -> of those that fail only the n-th; unordered.
    """
    active = active_encoder(rows)
    encoder_id = None if active is None else active.id
    shown = next(("" for each in groups if each.hidden), without_hidden(rest))
    passed, *parts = distinct(to_sql(each, encoder_id) for each in (rest, *groups))
    # Within CASE, AND stops at the first false operand: distances are computed only inside the circle's bounding box.
    fails = " + ".join(["0", *(f"CASE WHEN {part.text} THEN 0 ELSE {2 << n} END" for n, part in enumerate(parts))])
    # The limit keeps SQLite from repeating the long expression where its value is compared. Ids come as one text for
    # each value: as 100,000 rows of Python objects they took twice as long.
    sql = f"""SELECT fails, group_concat(id) FROM (
                  SELECT i.id AS id, {fails} AS fails FROM images AS i JOIN folders AS f ON f.id = i.folder_id
                  WHERE NOT i.is_retired AND {passed.text}{shown} LIMIT {_ALL}) AS each
              WHERE fails IN (0, {", ".join(str(2 << n) for n in range(len(parts) + 1))}) GROUP BY fails"""
    values = {name: value for part in (passed, *parts) for name, value in stored_values(part).items()}
    found = rows.rows(sql, values, functions=FUNCTIONS)
    return {fails: np.fromstring(ids, dtype=np.int64, sep=",") for fails, ids in found}


def value_counts(rows: Rows, column: str, most: int) -> dict[str, int]:
    """The values of a column of present pictures -> how many have it, the most frequent first.

    Args:
        column: ``camera``, ``lens`` or ``format``.
        most: maximum number of values.
    """
    sql = f"""SELECT {column}, count(*) FROM images WHERE NOT is_retired AND {column} IS NOT NULL
              GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most"""
    return dict(rows.rows(sql, {"most": most}))


def year_counts(rows: Rows, most: int) -> dict[str, int]:
    """The years in which present pictures were taken -> how many, the latest first."""
    sql = """SELECT substr(taken_at, 1, 4), count(*) FROM images WHERE NOT is_retired AND taken_at IS NOT NULL
             GROUP BY 1 ORDER BY 1 DESC LIMIT :most"""
    return dict(rows.rows(sql, {"most": most}))

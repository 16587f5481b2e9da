"""What facets are counted over: columns of pictures and tags, and which conditions a picture fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from indexes.base import Ids
from retrieval.catalog.access import FilteredRows, Rows
from retrieval.catalog.encoders import active_encoder
from retrieval.catalog.selection import stored_values
from retrieval.filters import Filter
from retrieval.filters.conditions import COUNTED
from retrieval.filters.sql import FUNCTIONS, distinct, to_sql

_STEP = 50_000
"""Rows at a time: they are Python objects before they are columns."""

_COLUMNS = f"""SELECT i.id, i.is_retired, i.folder_id, i.taken_at, i.latitude, i.longitude,
    {", ".join(facet.expression for facet in COUNTED)} FROM images AS i"""


def changed_pictures(rows: Rows, after: int) -> Iterator[list[Any]]:
    """What changed behind a change number (0: everything), by id, in blocks, the last of which may be empty.

    Each row: id, is retired, folder's id, date taken, latitude, longitude, and the values of
    ``filters.conditions.COUNTED``.
    """
    # A first reading goes along the table; later ones by the index of change numbers.
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
    """(image id, tag) of what people say, each once, retired pictures included."""
    return rows.rows("SELECT DISTINCT image_id, tag FROM tags")


def predicted_pairs(rows: Rows, encoder_id: int) -> list[tuple[int, str]]:
    """(image id, tag) of what an encoder believes, retired pictures included."""
    # The plus keeps SQLite from going by an index and looking up every row: 0.13 s for 300,000 tags and not 0.44.
    sql = "SELECT image_id, tag FROM predicted_tags WHERE +encoder_id = :encoder"
    return rows.rows(sql, {"encoder": encoder_id})


def failing(rows: FilteredRows, rest: Filter, groups: Sequence[Filter]) -> dict[int, Ids]:
    """The present pictures that pass ``rest`` and fail at most one of ``groups``.

    Returns:
        0 -> the ids of those that fail none, ``2 << n`` -> of those that fail the n-th alone; in no order.
    """
    active = active_encoder(rows)
    encoder_id = None if active is None else active.id
    passed, *parts = distinct(to_sql(each, encoder_id) for each in (rest, *groups))
    # In CASE, unlike as an operand, AND stops at what is false: distances are measured in their circle's box only.
    fails = " + ".join(["0", *(f"CASE WHEN {part.text} THEN 0 ELSE {2 << n} END" for n, part in enumerate(parts))])
    # LIMIT -1 keeps SQLite from putting the long expression also where its value is compared. Ids come as a text for
    # each value: as 100,000 rows of Python objects they took twice as long.
    sql = f"""SELECT fails, group_concat(id) FROM (
                  SELECT i.id AS id, {fails} AS fails FROM images AS i JOIN folders AS f ON f.id = i.folder_id
                  WHERE NOT i.is_retired AND {passed.text} LIMIT -1)
              WHERE fails IN (0, {", ".join(str(2 << n) for n in range(len(parts) + 1))}) GROUP BY fails"""
    values = {name: value for part in (passed, *parts) for name, value in stored_values(part).items()}
    found = rows.rows(sql, values, functions=FUNCTIONS)
    return {fails: np.fromstring(ids, dtype=np.int64, sep=",") for fails, ids in found}


def value_counts(rows: Rows, column: str, most: int) -> dict[str, int]:
    """The values of a column of present pictures -> how many have it, the most frequent first.

    Args:
        column: ``camera``, ``lens`` or ``format``.
        most: values at most.
    """
    sql = f"""SELECT {column}, count(*) FROM images WHERE NOT is_retired AND {column} IS NOT NULL
              GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most"""
    return dict(rows.rows(sql, {"most": most}))


def year_counts(rows: Rows, most: int) -> dict[str, int]:
    """The years in which present pictures were taken -> how many, from the latest on."""
    sql = """SELECT substr(taken_at, 1, 4), count(*) FROM images WHERE NOT is_retired AND taken_at IS NOT NULL
             GROUP BY 1 ORDER BY 1 DESC LIMIT :most"""
    return dict(rows.rows(sql, {"most": most}))

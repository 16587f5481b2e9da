"""Lists of present images: all of them, in the orders that the catalog knows, and those of some time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from indexes.base import Ids
from retrieval.catalog.access import Rows
from retrieval.paths import decode_path


class Dated(NamedTuple):
    """A present image with a date: its folder, its camera, and the date as the camera's clock showed it, ISO 8601."""

    id: int
    folder: str
    camera: str | None
    taken_at: str


def present_ids(rows: Rows) -> Ids:
    """(n,) ids of the present images, in no order."""
    return _ids(rows, "SELECT id FROM images WHERE NOT is_retired")


def ids_by_date(rows: Rows, *, oldest_first: bool) -> Ids:
    """(n,) ids by the moment of the picture; what has no date comes last in either case; ties by id."""
    direction = "ASC" if oldest_first else "DESC"
    return _ids(
        rows,
        f"SELECT id FROM images WHERE NOT is_retired ORDER BY taken_instant IS NULL, taken_instant {direction}, id",
    )


def ids_latest_first(rows: Rows) -> Ids:
    """(n,) ids, the pictures first that were taken last; one without a date as if taken when it was added."""
    return _ids(rows, "SELECT id FROM images WHERE NOT is_retired ORDER BY coalesce(taken_at, added_at) DESC, id DESC")


def _ids(rows: Rows, sql: str) -> Ids:
    found = rows.rows(sql)
    return np.fromiter((row[0] for row in found), np.int64, len(found))


def names(rows: Rows) -> list[tuple[str, str, int]]:
    """(file name folded, path, id) of each present image, in no order."""
    sql = """SELECT i.id, i.name, i.name_key, f.path FROM images AS i JOIN folders AS f ON f.id = i.folder_id
             WHERE NOT i.is_retired"""
    return [
        (decode_path(key), os.path.join(decode_path(folder), decode_path(name)), image_id)
        for image_id, name, key, folder in rows.rows(sql)
    ]


def taken_within(rows: Rows, spans: Sequence[tuple[str, str]]) -> list[Dated]:
    """The images whose date is known to the minute and lies in one of some spans, in no order.

    Args:
        spans: (first, last) moments as the catalog writes them; a few hundred at most.
    """
    given = {f"{end}{at}": text for at, span in enumerate(spans) for end, text in zip("ab", span, strict=True)}
    sql = f"""WITH w (first, last) AS (VALUES {", ".join(f"(:a{at}, :b{at})" for at in range(len(spans)))})
        SELECT i.id, f.path, i.camera, i.taken_at FROM images AS i JOIN folders AS f ON f.id = i.folder_id
        WHERE NOT i.is_retired AND i.taken_at IS NOT NULL AND coalesce(i.taken_precision, 'minute') = 'minute'
        AND EXISTS (SELECT 1 FROM w WHERE i.taken_at BETWEEN w.first AND w.last)"""
    return [Dated(id_, decode_path(folder), camera, taken) for id_, folder, camera, taken in rows.rows(sql, given)]

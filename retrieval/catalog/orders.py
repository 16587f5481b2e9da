"""Lists of present images: all of them in the orders that the catalog supports, and those from given times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from indexes.base import Ids
from retrieval.catalog.access import Rows
from retrieval.paths import decode_path


class Dated(NamedTuple):
    """A present image with a date: its folder, its camera, and the date by the camera's clock, ISO 8601."""

    id: int
    folder: str
    camera: str | None
    taken_at: str


def present_ids(rows: Rows) -> Ids:
    """(n,) ids of the present images, unordered."""
    return _ids(rows, "SELECT id FROM images WHERE NOT is_retired")


def days_taken(rows: Rows) -> list[tuple[int, str | None, int | None]]:
    """(id, day, moment) of each present image, by id.

    The day is by the camera's clock and as exact as the date is known, ``2023-12-24``, ``2023-12`` or ``2023``; the
    moment is in microseconds since 1970 UTC. Both are None for an image without a date.
    """
    day = "substr(taken_at, 1, CASE taken_precision WHEN 'year' THEN 4 WHEN 'month' THEN 7 ELSE 10 END)"
    return rows.rows(f"SELECT id, {day}, taken_instant FROM images WHERE NOT is_retired ORDER BY id")


def ids_latest_first(rows: Rows) -> Ids:
    """(n,) ids, the most recently taken first; a picture without a date counts as taken when it was added."""
    return _ids(rows, "SELECT id FROM images WHERE NOT is_retired ORDER BY coalesce(taken_at, added_at) DESC, id DESC")


def _ids(rows: Rows, sql: str) -> Ids:
    found = rows.rows(sql)
    return np.fromiter((row[0] for row in found), np.int64, len(found))


def names(rows: Rows) -> list[tuple[str, str, int]]:
    """(file name folded, path, id) of each present image, unordered."""
    sql = """SELECT i.id, i.name, i.name_key, f.path FROM images AS i JOIN folders AS f ON f.id = i.folder_id
             WHERE NOT i.is_retired"""
    return [
        (decode_path(key), os.path.join(decode_path(folder), decode_path(name)), image_id)
        for image_id, name, key, folder in rows.rows(sql)
    ]


def taken_within(rows: Rows, spans: Sequence[tuple[str, str]]) -> list[Dated]:
    """The images whose date is known at least to the minute and lies in one of the spans, unordered.

    Args:
        spans: (first, last) moments in the catalog's format; a few hundred at most.
    """
    given = {f"{end}{at}": text for at, span in enumerate(spans) for end, text in zip("ab", span, strict=True)}
    sql = f"""WITH w (first, last) AS (VALUES {", ".join(f"(:a{at}, :b{at})" for at in range(len(spans)))})
        SELECT i.id, f.path, i.camera, i.taken_at FROM images AS i JOIN folders AS f ON f.id = i.folder_id
        WHERE NOT i.is_retired AND i.taken_at IS NOT NULL AND coalesce(i.taken_precision, 'minute') = 'minute'
        AND EXISTS (SELECT 1 FROM w WHERE i.taken_at BETWEEN w.first AND w.last)"""
    return [Dated(id_, decode_path(folder), camera, taken) for id_, folder, camera, taken in rows.rows(sql, given)]

"""The table of images: the record of one image, and facts that are written outside the runs of an indexer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.records import ImageRecord, taken_at
from retrieval.paths import decode_path, encode_path, is_remote

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

_RECORD = """SELECT i.id, f.path, i.name, i.size, i.mtime_ns, i.format, i.width, i.height, i.taken_at,
    i.taken_offset_minutes, i.camera, i.lens, i.latitude, i.longitude, i.content_hash, i.colour, i.taken_instant,
    i.taken_precision, i.ctime_ns, i.iso, i.aperture, i.exposure, i.focal_length,
    i.duration_s, i.still_s,
    (SELECT p.full_name FROM located AS l JOIN places AS p ON p.key = l.place
     WHERE l.latitude = i.latitude AND l.longitude = i.longitude),
    i.motion_offset, i.motion_bytes,
    (SELECT c.image_id FROM shots AS s JOIN shots AS c ON c.shot = s.shot AND c.is_clip
     WHERE s.image_id = i.id AND NOT s.is_clip LIMIT 1)
    FROM images AS i JOIN folders AS f ON f.id = i.folder_id"""

_KINDS: tuple[type | tuple[type, ...], ...] = (int, (str, bytes), (str, bytes), int, int, str, int, int)
"""The types of a record's first columns if the row is undamaged."""


class OtherImage(NamedTuple):
    """Another image with given bytes: where its file was, its state then, and whether it is retired."""

    id: int
    path: str
    size: int
    mtime_ns: int
    is_retired: bool


class Waiting(NamedTuple):
    """A content that waits: one present picture that has it, with the values of its row."""

    content_hash: bytes
    image_id: int
    path: str


class DateAndPlace(NamedTuple):
    """When and where a picture was taken and the source of each, as in ``schema.images``."""

    taken_at: str | None
    taken_offset_minutes: int | None
    taken_instant: int | None
    taken_precision: str | None
    taken_source: str | None
    latitude: float | None
    longitude: float | None
    place_source: str | None


# Reading


def records_of(rows: Rows, ids: Sequence[int]) -> list[ImageRecord]:
    """The records of ``ids`` in that order; retired, unknown and damaged ones are left out."""
    found: dict[int, ImageRecord] = {}
    for names, values in id_lists(ids):
        sql = f"{_RECORD} WHERE NOT i.is_retired AND i.id IN ({names})"
        found.update((row[0], record) for row in rows.rows(sql, values) if (record := _record(row)) is not None)
    return [found[int(i)] for i in ids if int(i) in found]


def known_ids(rows: Rows, ids: Sequence[int], *, present: bool = False) -> set[int]:
    """Those of ``ids`` that the catalog holds; with ``present``, without retired images."""
    also = " AND NOT is_retired" if present else ""
    return {
        row[0]
        for names, values in id_lists(ids)
        for row in rows.rows(f"SELECT id FROM images WHERE id IN ({names}){also}", values)
    }


def record_at(rows: Rows, path: str | Path) -> ImageRecord | None:
    """The present image at ``path`` (symbolic links in its folder resolved), or None."""
    from retrieval.sources.addresses import spelled

    given = spelled(path)
    folder, name = os.path.split(given if is_remote(given) else os.path.abspath(given))
    sql = f"{_RECORD} WHERE NOT i.is_retired AND f.path = :folder AND i.name = :name"
    for candidate in dict.fromkeys((folder if is_remote(folder) else os.path.realpath(folder), folder)):
        found = rows.rows(sql, {"folder": encode_path(candidate), "name": encode_path(name)})
        if found:
            return _record(found[0])
    return None


def _record(row: Sequence[Any]) -> ImageRecord | None:
    """One image; None if the row is damaged: the next run reads the picture again."""
    id_, folder, name, size, mtime_ns, form, width, height, taken, offset, *rest = row
    if not all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=False)):
        return None
    path = os.path.join(decode_path(folder), decode_path(name))
    try:
        record = ImageRecord(id_, path, size, mtime_ns, form, width, height, taken_at(taken, offset), *rest)
    except (ValueError, TypeError):
        return None
    return record if type(record.content_hash) is bytes else None


def image_count(rows: Rows, encoder_id: int | None = None) -> int:
    """How many images are present; with an encoder, how many of them it has embedded."""
    if encoder_id is None:
        return int(rows.rows("SELECT count(*) FROM images WHERE NOT is_retired")[0][0])
    sql = """SELECT count(*) FROM embeddings AS e JOIN images AS i ON i.id = e.image_id
             WHERE e.encoder_id = :encoder AND NOT i.is_retired"""
    return int(rows.rows(sql, {"encoder": encoder_id})[0][0])


def summary(rows: Rows) -> dict[str, Any]:
    """Counts by format, range of dates, how many have a date, a place, a short video ...; how many are retired."""
    from retrieval.catalog.places import unnamed_count

    sql = "SELECT format, count(*) FROM images WHERE NOT is_retired GROUP BY format ORDER BY 2 DESC, 1"
    formats = dict(rows.rows(sql))
    sql = """SELECT min(taken_at), max(taken_at), count(taken_at), count(latitude), count(exposure), count(motion_bytes)
             FROM images WHERE NOT is_retired"""
    first, last, dated, placed, exposed, motion = rows.rows(sql)[0]
    return {
        "formats": formats,
        "first_taken_at": first,
        "last_taken_at": last,
        "with_date": dated,
        "with_place": placed,
        "with_exposure": exposed,
        "without_place_name": unnamed_count(rows),
        "motion_photos": motion,
        "live_photos": rows.rows("SELECT count(*) FROM shots WHERE is_clip")[0][0],
        "retired": rows.rows("SELECT count(*) FROM images WHERE is_retired")[0][0],
    }


def added_at(rows: Rows, ids: Sequence[int]) -> dict[int, str]:
    """Id -> when the image was first indexed: UTC, ISO 8601."""
    return {
        id_: moment
        for names, values in id_lists(ids)
        for id_, moment in rows.rows(f"SELECT id, added_at FROM images WHERE id IN ({names})", values)
    }


def others_with_bytes(rows: Rows, content_hash: bytes, image_id: int) -> list[OtherImage]:
    """The other images with this content, retired ones included, oldest first."""
    sql = """SELECT i.id, f.path, i.name, i.size, i.mtime_ns, i.is_retired FROM images AS i
             JOIN folders AS f ON f.id = i.folder_id WHERE i.content_hash = :hash AND i.id <> :id ORDER BY i.id"""
    return [
        OtherImage(id_, os.path.join(decode_path(folder), decode_path(name)), size, mtime_ns, bool(is_retired))
        for id_, folder, name, size, mtime_ns, is_retired in rows.rows(sql, {"hash": content_hash, "id": image_id})
    ]


def present_hashes(rows: Rows) -> set[bytes]:
    """The contents of the present images."""
    return {row[0] for row in rows.rows("SELECT DISTINCT content_hash FROM images WHERE NOT is_retired")}


def retired_at(rows: Rows, image_id: int, content_hash: bytes) -> str | None:
    """Where the file of a retired image with this content was; None if the content differs or it is present."""
    sql = """SELECT f.path, i.name FROM images AS i JOIN folders AS f ON f.id = i.folder_id
             WHERE i.id = :id AND i.is_retired AND i.content_hash = :hash"""
    found = rows.rows(sql, {"id": image_id, "hash": content_hash})
    return os.path.join(*map(decode_path, found[0])) if found else None


def dates_and_places(rows: Rows, ids: Sequence[int]) -> dict[int, DateAndPlace]:
    """Id -> what is known about when and where the picture was taken."""
    return {
        row[0]: DateAndPlace(*row[1:])
        for names, values in id_lists(ids)
        for row in rows.rows(f"SELECT id, {', '.join(DateAndPlace._fields)} FROM images WHERE id IN ({names})", values)
    }


# Writing


def set_dates_and_places(transaction: Transaction, known: Iterable[tuple[int, DateAndPlace]]) -> None:
    """Write when and where pictures were taken."""
    sets = ", ".join(f"{name} = :{name}" for name in DateAndPlace._fields)
    change = transaction.change()
    transaction.run(
        f"UPDATE images SET {sets}, change = :change WHERE id = :id",
        [{"id": id_, "change": change} | each._asdict() for id_, each in known],
    )


def set_colours(transaction: Transaction, found: Iterable[tuple[ImageRecord, int]]) -> None:
    """Write average colours, 0xRRGGBB. They do not count as a change that an index has to replay."""
    _set(transaction, "colour", found)


def set_hashes(transaction: Transaction, found: Iterable[tuple[ImageRecord, bytes]]) -> None:
    """Write perceptual hashes. They do not count as a change that an index has to replay."""
    _set(transaction, "phash", found)


def set_mtime(transaction: Transaction, image: ImageRecord, mtime_ns: int) -> None:
    """Write the modification time of a file that replaced another one with the same bytes."""
    _set(transaction, "mtime_ns", [(image, mtime_ns)])


def _set(transaction: Transaction, column: str, found: Iterable[tuple[ImageRecord, object]]) -> None:
    """Only if the row still has the picture that was examined."""
    transaction.run(
        f"UPDATE images SET {column} = :value WHERE id = :id AND content_hash = :hash",
        [{"value": value, "id": image.id, "hash": image.content_hash} for image, value in found],
    )


def waiting(
    rows: Rows, table: Literal["picture_texts", "face_looks"], model: str, *, retry_failures: bool = False
) -> list[Waiting]:
    """The contents of present pictures, except videos, without a result by this model, by the picture's id.

    Args:
        table: holds the results.
        model: results of another one do not count.
        retry_failures: also contents for which the result is a failure.
    """
    sql = f"""SELECT i.content_hash, i.id, f.path, i.name FROM images AS i JOIN folders AS f ON f.id = i.folder_id
              LEFT JOIN {table} AS t ON t.content_hash = i.content_hash
              WHERE NOT i.is_retired AND i.duration_s IS NULL
              AND (t.id IS NULL OR t.model <> :model OR (:again AND t.reason IS NOT NULL)) ORDER BY i.id"""
    first: dict[bytes, tuple[int, Any, Any]] = {}  # in SQL, grouping would cost a sort by content
    for digest, image_id, folder, name in rows.rows(sql, {"model": model, "again": retry_failures}):
        first.setdefault(digest, (image_id, folder, name))
    return [
        Waiting(digest, image_id, os.path.join(decode_path(folder), decode_path(name)))
        for digest, (image_id, folder, name) in first.items()
    ]

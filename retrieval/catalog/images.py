"""The table of images: one image's record, and the facts that are written beside the runs of an indexer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.records import ImageRecord, taken_at
from retrieval.paths import decode_path, encode_path

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

_RECORD = """SELECT i.id, f.path, i.name, i.size, i.mtime_ns, i.format, i.width, i.height, i.taken_at,
    i.taken_offset_minutes, i.camera, i.lens, i.latitude, i.longitude, i.content_hash, i.colour, i.taken_instant,
    i.taken_precision, i.ctime_ns, i.iso, i.aperture, i.exposure, i.focal_length
    FROM images AS i JOIN folders AS f ON f.id = i.folder_id"""

_KINDS: tuple[type | tuple[type, ...], ...] = (int, (str, bytes), (str, bytes), int, int, str, int, int)
"""What the first columns of a record are, if nothing happened to them."""


class OtherImage(NamedTuple):
    """An image with certain bytes: where its file was, as it was, and whether it is retired."""

    id: int
    path: str
    size: int
    mtime_ns: int
    is_retired: bool


class DateAndPlace(NamedTuple):
    """When and where a picture was taken and who says so, as ``schema.images`` has them."""

    taken_at: str | None
    taken_offset_minutes: int | None
    taken_instant: int | None
    taken_precision: str | None
    taken_source: str | None
    latitude: float | None
    longitude: float | None
    place_source: str | None


# What is there


def records_of(rows: Rows, ids: Sequence[int]) -> list[ImageRecord]:
    """The records of ``ids`` in that order; retired, unknown and damaged ones are left out."""
    found: dict[int, ImageRecord] = {}
    for names, values in id_lists(ids):
        sql = f"{_RECORD} WHERE NOT i.is_retired AND i.id IN ({names})"
        found.update((row[0], record) for row in rows.rows(sql, values) if (record := _record(row)) is not None)
    return [found[int(i)] for i in ids if int(i) in found]


def record_at(rows: Rows, path: str | Path) -> ImageRecord | None:
    """The present image at ``path`` (symbolic links in its folder resolved), or None."""
    folder, name = os.path.split(os.path.abspath(path))
    sql = f"{_RECORD} WHERE NOT i.is_retired AND f.path = :folder AND i.name = :name"
    for candidate in dict.fromkeys((os.path.realpath(folder), folder)):
        found = rows.rows(sql, {"folder": encode_path(candidate), "name": encode_path(name)})
        if found:
            return _record(found[0])
    return None


def _record(row: Sequence[Any]) -> ImageRecord | None:
    """One image; None where the row is damaged: the next run reads its picture anew."""
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
    """Counts by format, span of dates, how many have a date, a place or an exposure time, how many are retired."""
    sql = "SELECT format, count(*) FROM images WHERE NOT is_retired GROUP BY format ORDER BY 2 DESC"
    formats = dict(rows.rows(sql))
    sql = """SELECT min(taken_at), max(taken_at), count(taken_at), count(latitude), count(exposure)
             FROM images WHERE NOT is_retired"""
    first, last, dated, placed, exposed = rows.rows(sql)[0]
    return {
        "formats": formats,
        "first_taken_at": first,
        "last_taken_at": last,
        "with_date": dated,
        "with_place": placed,
        "with_exposure": exposed,
        "retired": rows.rows("SELECT count(*) FROM images WHERE is_retired")[0][0],
    }


def added_at(rows: Rows, ids: Sequence[int]) -> dict[int, str]:
    """Id -> when the image was indexed first: UTC, ISO 8601."""
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


def retired_at(rows: Rows, image_id: int, content_hash: bytes) -> str | None:
    """Where the file of a retired image with this content was; None if it is another picture, or present."""
    sql = """SELECT f.path, i.name FROM images AS i JOIN folders AS f ON f.id = i.folder_id
             WHERE i.id = :id AND i.is_retired AND i.content_hash = :hash"""
    found = rows.rows(sql, {"id": image_id, "hash": content_hash})
    return os.path.join(*map(decode_path, found[0])) if found else None


def dates_and_places(rows: Rows, ids: Sequence[int]) -> dict[int, DateAndPlace]:
    """Id -> what is known of when and where the picture was taken."""
    return {
        row[0]: DateAndPlace(*row[1:])
        for names, values in id_lists(ids)
        for row in rows.rows(f"SELECT id, {', '.join(DateAndPlace._fields)} FROM images WHERE id IN ({names})", values)
    }


# What is written


def set_dates_and_places(transaction: Transaction, known: Iterable[tuple[int, DateAndPlace]]) -> None:
    """Write when and where pictures were taken."""
    sets = ", ".join(f"{name} = :{name}" for name in DateAndPlace._fields)
    change = transaction.change()
    transaction.run(
        f"UPDATE images SET {sets}, change = :change WHERE id = :id",
        [{"id": id_, "change": change} | each._asdict() for id_, each in known],
    )


def set_colours(transaction: Transaction, found: Iterable[tuple[ImageRecord, int]]) -> None:
    """Write average colours, 0xRRGGBB. They are no change that an index would have to replay."""
    _set(transaction, "colour", found)


def set_hashes(transaction: Transaction, found: Iterable[tuple[ImageRecord, bytes]]) -> None:
    """Write perceptual hashes. They are no change that an index would have to replay."""
    _set(transaction, "phash", found)


def set_mtime(transaction: Transaction, image: ImageRecord, mtime_ns: int) -> None:
    """Write the time of a file that was put in the place of another one with the same bytes."""
    _set(transaction, "mtime_ns", [(image, mtime_ns)])


def _set(transaction: Transaction, column: str, found: Iterable[tuple[ImageRecord, object]]) -> None:
    """Only where the row is of the picture that was looked at."""
    transaction.run(
        f"UPDATE images SET {column} = :value WHERE id = :id AND content_hash = :hash",
        [{"value": value, "id": image.id, "hash": image.content_hash} for image, value in found],
    )

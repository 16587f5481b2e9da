"""The embedded frames of videos other than the representative frame, which is embedded as pictures are.

In an index each frame has its own id, the *moment*, which encodes the image's id and a number, so that the video of a
hit is known without a look-up. Ids of images are far below.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.records import is_whole, sound_vectors

if TYPE_CHECKING:
    from indexes.base import Ids, Vectors
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.transaction import Transaction

FIRST = 1 << 56
"""Ids from here on are those of moments."""

_BITS = 12
MOST = (1 << _BITS) - 1
"""Maximum number of moments of a video."""

Moment = tuple[float, bytes]
"""(seconds from the beginning, float16 bytes as made by ``records.pack_vector``)."""


def moment_id(image_id: int, number: int) -> int:
    """The id of a video's moment, counted from 0, in an index."""
    return FIRST + (image_id << _BITS) + number


def images_of(ids: Ids) -> Ids:
    """(n,) ids of images and of moments -> ids of the images; -1 stays."""
    return np.where(ids >= FIRST, (ids - FIRST) >> _BITS, ids)


def moment_ids(rows: Rows, encoder_id: int) -> Ids:
    """(n,) the ids of all moments that an encoder has embedded, ascending."""
    found = rows.rows("SELECT moment FROM moments WHERE encoder_id = :encoder ORDER BY moment", {"encoder": encoder_id})
    return np.fromiter((row[0] for row in found), np.int64, len(found))


def videos(rows: Rows) -> list[int]:
    """The ids of all videos, including those that are gone."""
    return [image for (image,) in rows.rows("SELECT id FROM images WHERE duration_s IS NOT NULL")]


def stored_moments(rows: Rows, ids: Sequence[int], encoder_id: int) -> dict[int, tuple[Any, Any]]:
    """Moment -> the columns ``vector`` and ``crc``, unchecked."""
    found: dict[int, tuple[Any, Any]] = {}
    for names, values in id_lists(ids):
        sql = f"SELECT moment, vector, crc FROM moments WHERE encoder_id = :encoder AND moment IN ({names})"
        found.update((row[0], tuple(row[1:])) for row in rows.rows(sql, values | {"encoder": encoder_id}))
    return found


def moments_of(rows: Rows, image_ids: Sequence[int], row: EncoderRow) -> tuple[Ids, list[float], Vectors]:
    """The sound moments of some videos: (n,) the images' ids, their times, and (n, dim) embeddings, by video."""
    found: list[Any] = []
    for names, values in id_lists(image_ids):
        sql = f"""SELECT image_id, time_s, vector, crc FROM moments WHERE encoder_id = :encoder
                  AND image_id IN ({names}) ORDER BY moment"""
        found += rows.rows(sql, values | {"encoder": row.id})
    sound, vectors = sound_vectors([each[2:] for each in found], row.dim)
    kept = [each for each, good in zip(found, sound.tolist(), strict=True) if good]
    return np.fromiter((each[0] for each in kept), np.int64, len(kept)), [each[1] for each in kept], vectors


def moments_by_hash(rows: Rows, content_hash: bytes, encoder_id: int) -> tuple[Moment, ...] | None:
    """The moments of any video with exactly these bytes, retired ones included; None if one of them is damaged."""
    sql = """SELECT m.time_s, m.vector, m.crc FROM moments AS m WHERE m.encoder_id = :encoder AND m.image_id =
             (SELECT i.id FROM images AS i CROSS JOIN embeddings AS e WHERE i.content_hash = :hash
              AND e.image_id = i.id AND e.encoder_id = :encoder LIMIT 1) ORDER BY m.moment"""
    found = rows.rows(sql, {"hash": content_hash, "encoder": encoder_id})
    if not all(is_whole(vector, crc) for _, vector, crc in found):
        return None
    return tuple((time, vector) for time, vector, _ in found)


# Writing


def set_moments(transaction: Transaction, image_id: int, encoder_id: int, moments: Sequence[Moment]) -> None:
    """Write an encoder's moments of a video, replacing the existing ones."""
    change = transaction.change()
    drop_moments(transaction, encoder_id, [image_id])
    transaction.run(
        """INSERT INTO moments (encoder_id, image_id, moment, time_s, vector, crc, change)
           VALUES (:encoder, :image, :moment, :time, :vector, :crc, :change)""",
        [
            {
                "encoder": encoder_id,
                "image": image_id,
                "moment": moment_id(image_id, number),
                "time": time,
                "vector": vector,
                "crc": zlib.crc32(vector),
                "change": change,
            }
            for number, (time, vector) in enumerate(moments[:MOST])
        ],
    )


def drop_moments(transaction: Transaction, encoder_id: int | None, image_ids: Iterable[int]) -> None:
    """Delete an encoder's moments of videos (None: every encoder's); indexes learn of it by replay."""
    transaction.change()
    own = "" if encoder_id is None else " AND encoder_id = :encoder"
    values = {} if encoder_id is None else {"encoder": encoder_id}
    transaction.run(
        f"DELETE FROM moments WHERE image_id = :image{own}", [{"image": int(id_), **values} for id_ in image_ids]
    )

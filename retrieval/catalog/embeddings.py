"""The table of embeddings, image by image; ``stored.py`` reads those of whole galleries."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.moments import FIRST, drop_moments, stored_moments
from retrieval.catalog.records import is_whole, pack_vector, sound_vectors

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


def vectors_of(rows: Rows, ids: Sequence[int], encoder: EncoderRow) -> tuple[list[int], Vectors]:
    """Those of ``ids`` that have a sound embedding, in that order, and (n, dim) their embeddings.

    Args:
        ids: of images, and of moments of videos.
    """
    found = _stored(rows, ids, encoder)
    there = [int(i) for i in ids if int(i) in found]
    sound, vectors = sound_vectors([found[i] for i in there], encoder.dim)
    return [i for i, good in zip(there, sound.tolist(), strict=True) if good], vectors


def half_vectors(rows: Rows, ids: Sequence[int], encoder: EncoderRow) -> tuple[Ids, NDArray[np.float16]]:
    """The ids that have a sound embedding, ascending, and their embeddings (m, dim) as stored, float16."""
    found = _stored(rows, sorted(int(i) for i in ids), encoder)
    there = sorted(found)
    sound, _ = sound_vectors([found[i] for i in there], encoder.dim)
    whole: Any = b"".join(found[i][0] for i, good in zip(there, sound.tolist(), strict=True) if good)
    return np.array(there, dtype=np.int64)[sound], np.frombuffer(whole, dtype="<f2").reshape(-1, encoder.dim)


def _stored(rows: Rows, ids: Sequence[int], encoder: EncoderRow) -> dict[int, tuple[Any, Any]]:
    """Id -> the columns ``vector`` and ``crc``, unchecked."""
    moments = [int(id_) for id_ in ids if id_ >= FIRST]
    found = stored_moments(rows, moments, encoder.id)
    for names, values in id_lists([id_ for id_ in ids if id_ < FIRST] if moments else ids):
        sql = f"""SELECT image_id, vector, crc FROM embeddings
                  WHERE encoder_id = :encoder AND image_id IN ({names})"""
        found.update((row[0], tuple(row[1:])) for row in rows.rows(sql, values | {"encoder": encoder.id}))
    return found


def embedding_of(rows: Rows, content_hash: bytes, encoder_id: int) -> tuple[bytes, tuple[Any, ...]] | None:
    """The stored vector and metadata of any image with exactly these bytes, retired ones included."""
    # CROSS keeps SQLite from starting with all of the encoder's embeddings, its choice without statistics:
    # 1.4 ms a file among 9,000 images instead of 0.005, and growing in proportion to their number.
    sql = """SELECT e.crc, e.vector, i.format, i.width, i.height, i.taken_at, i.taken_offset_minutes, i.camera,
                    i.lens, i.latitude, i.longitude, i.phash, i.colour, i.taken_instant, i.taken_precision,
                    i.taken_source, i.place_source, i.iso, i.aperture, i.exposure, i.focal_length, i.duration_s,
                    i.still_s, i.motion_offset, i.motion_bytes, i.content_id, i.is_page
             FROM images AS i CROSS JOIN embeddings AS e
             WHERE i.content_hash = :hash AND e.image_id = i.id AND e.encoder_id = :encoder LIMIT 1"""
    found = rows.rows(sql, {"hash": content_hash, "encoder": encoder_id})
    if not found or not is_whole(found[0][1], found[0][0]):
        return None
    return found[0][1], tuple(found[0][2:])


def missing_from(
    rows: Rows, base: EncoderRow, encoder_id: int, after: int, count: int
) -> tuple[int | None, list[int], Vectors]:
    """The next images that ``base`` has embedded and another encoder has not, retired ones included.

    Args:
        after: only images with a larger id.
        count: how many at most.

    Returns:
        The last image examined, None if none is left; the ids of those whose embedding is sound; and
        (n, dim) their embeddings by ``base``.
    """
    found = rows.rows(
        """SELECT b.image_id, b.vector, b.crc FROM embeddings AS b
           WHERE b.encoder_id = :base AND b.image_id > :after
           AND NOT EXISTS (SELECT 1 FROM embeddings AS a WHERE a.encoder_id = :own AND a.image_id = b.image_id)
           ORDER BY b.image_id LIMIT :count""",
        {"base": base.id, "own": encoder_id, "after": after, "count": count},
    )
    sound, vectors = sound_vectors([row[1:] for row in found], base.dim)
    ids = [int(row[0]) for row, good in zip(found, sound.tolist(), strict=True) if good]
    return (int(found[-1][0]) if found else None), ids, vectors


def drop_embeddings(transaction: Transaction, encoder_id: int, ids: Sequence[int]) -> None:
    """Delete an encoder's embeddings of images; a run then treats them as new pictures."""
    change = transaction.change()
    transaction.run(
        "DELETE FROM embeddings WHERE encoder_id = :encoder AND image_id = :image",
        [{"encoder": encoder_id, "image": int(id_)} for id_ in ids],
    )
    drop_moments(transaction, encoder_id, ids)
    transaction.run(
        "UPDATE images SET change = :change WHERE id = :id", [{"change": change, "id": int(id_)} for id_ in ids]
    )


def add_embeddings(transaction: Transaction, encoder_id: int, ids: Iterable[int], vectors: Vectors) -> None:
    """Write (n, dim) embeddings of images that have none by this encoder."""
    packed = [(image_id, pack_vector(vector)) for image_id, vector in zip(ids, vectors, strict=True)]
    if packed:
        new = {"encoder": encoder_id, "change": transaction.change()}
        transaction.run(
            """INSERT INTO embeddings (encoder_id, image_id, vector, crc, change)
               VALUES (:encoder, :image, :vector, :crc, :change)""",
            [{"image": image_id, "vector": blob, "crc": zlib.crc32(blob)} | new for image_id, blob in packed],
        )

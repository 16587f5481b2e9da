"""Embeddings by an adapter, made from those of the encoder it stands on: no picture is read."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from retrieval.catalog.records import pack_vector, sound_vectors
from retrieval.encoders.adapter import AdaptedEncoder

if TYPE_CHECKING:
    from retrieval.catalog.writer import Catalog
    from retrieval.encoders.base import Encoder

_AT_ONCE = 4096

_BASE = "SELECT id, dim FROM encoders WHERE fingerprint = ?"
_MISSING = """SELECT b.image_id, b.vector, b.crc FROM embeddings AS b
    WHERE b.encoder_id = :base AND b.image_id > :after
    AND NOT EXISTS (SELECT 1 FROM embeddings AS a WHERE a.encoder_id = :own AND a.image_id = b.image_id)
    ORDER BY b.image_id LIMIT :count"""
_ADD = "INSERT INTO embeddings (encoder_id, image_id, vector, crc, change) VALUES (?, ?, ?, ?, ?)"


def adapt_stored(
    catalog: Catalog, encoder: Encoder, encoder_id: int, *, stop: Callable[[], bool] = lambda: False
) -> int:
    """Give every image that the base has embedded an embedding by its adapter; how many were made.

    Nothing happens for an encoder that is no adapter, or where its base has embedded nothing. Images that are retired
    get theirs too, so that they come back as cheaply.

    Args:
        encoder_id: the adapter's row in the catalog.
        stop: asked between transactions of a few thousand images.
    """
    if not isinstance(encoder, AdaptedEncoder):
        return 0
    made, after = 0, 0
    while not stop():
        with catalog.transaction() as connection:
            base = connection.exec_driver_sql(_BASE, (encoder.folder.base.fingerprint,)).first()
            if base is None:
                return made
            rows = connection.exec_driver_sql(
                _MISSING, {"base": base[0], "own": encoder_id, "after": after, "count": _AT_ONCE}
            ).fetchall()
            if not rows:
                return made
            after = int(rows[-1][0])
            sound, vectors = sound_vectors([row[1:] for row in rows], int(base[1]))
            rows = [row for row, good in zip(rows, sound.tolist(), strict=True) if good]  # the others are read anew
            if not rows:
                continue
            vectors = encoder.adapt(vectors)
            change = int(connection.exec_driver_sql("SELECT change FROM state").scalar_one()) + 1
            packed = [(row[0], pack_vector(vector)) for row, vector in zip(rows, vectors, strict=True)]
            new = [(encoder_id, image_id, blob, zlib.crc32(blob), change) for image_id, blob in packed]
            connection.exec_driver_sql(_ADD, new)
            connection.exec_driver_sql("UPDATE state SET change = ?", (change,))
        made += len(rows)
    return made

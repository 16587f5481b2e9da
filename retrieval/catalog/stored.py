"""The embeddings stored in a gallery, read in blocks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.catalog.records import HASH_BYTES, sound_vectors

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.filters import Filter

logger = logging.getLogger("photoseek")

_MOST_CHECKED = 100_000
_AT_ONCE = 4096

# By row ids, in the order of the file: the index on encoders, which SQLite would take, jumps.
_EMBEDDED = """SELECT id, image_id, vector, crc FROM embeddings
               WHERE +encoder_id = :encoder AND id > :after AND id <= :last ORDER BY id LIMIT :count"""

_BROKEN = f"""SELECT i.id FROM images AS i WHERE (typeof(content_hash) <> 'blob' OR length(content_hash) <> {HASH_BYTES}
    OR typeof(size) <> 'integer' OR typeof(mtime_ns) <> 'integer' OR typeof(format) <> 'text'
    OR typeof(width) <> 'integer' OR typeof(height) <> 'integer'
    OR (taken_at IS NOT NULL AND datetime(taken_at) IS NULL))
    AND EXISTS (SELECT 1 FROM embeddings AS e WHERE e.encoder_id = :encoder AND e.image_id = i.id)"""


def chosen_ids(reader: CatalogReader, row: EncoderRow, where: Filter | None) -> Ids | None:
    """The sorted ids that a filter selects; None for all. What is left out only because it is not known is told.

    Raises:
        QueryError: the filter names a camera, lens, format or tag that the gallery does not hold.
    """
    if where is None or where.is_empty():
        return None
    from retrieval.catalog.selection import check_names, select

    check_names(reader, where, row.id)
    found = select(reader, where, row.id)
    if unknown := found.message():
        logger.warning(unknown)
    return found.ids


def stored_vectors(reader: CatalogReader, row: EncoderRow, chosen: Ids | None = None) -> Iterator[tuple[Ids, Vectors]]:
    """The present images' ids and embeddings by one encoder, from one snapshot of the catalog, in blocks by id.

    Args:
        chosen: only these, sorted; default: all.
    """
    for piece in reader.changes(0, row):
        if chosen is None:
            yield piece.ids, piece.vectors
        else:
            wanted = np.isin(piece.ids, chosen, assume_unique=True)
            yield piece.ids[wanted], piece.vectors[wanted]


def damaged_images(reader: CatalogReader, row: EncoderRow) -> list[int]:
    """The ids of images whose embedding or record is not what an indexing run writes, retired ones included.

    It costs some 2 us a picture, so of more than 100,000 a stretch is looked at, another one each time.
    """
    ids: set[int] = set()
    first, last = 0, int(reader.rows("SELECT coalesce(max(id), 0) FROM embeddings")[0][0])
    if last > _MOST_CHECKED:
        first = int.from_bytes(os.urandom(8)) % (last - _MOST_CHECKED)
        last = first + _MOST_CHECKED
    while rows := reader.rows(_EMBEDDED, {"encoder": row.id, "after": first, "last": last, "count": _AT_ONCE}):
        first = rows[-1][0]
        sound, _ = sound_vectors([each[2:] for each in rows], row.dim)
        if not sound.all():
            ids.update(each[1] for each, good in zip(rows, sound.tolist(), strict=True) if not good)
    ids.update(image for (image,) in reader.rows(_BROKEN, {"encoder": row.id}))
    return sorted(ids)


def sampled_vectors(
    reader: CatalogReader, row: EncoderRow, most: int, chosen: Ids | None = None, *, seed: int = 0
) -> tuple[Ids, Vectors]:
    """Ids and embeddings of up to ``most`` images, all of them or evenly drawn; the same ones for the same gallery."""
    present = reader.count(row.id) if chosen is None else len(chosen)
    drawn = np.arange(present)
    if present > most:
        drawn = np.sort(np.random.default_rng(seed).choice(present, most, replace=False))
    ids, vectors, before = [np.empty(0, np.int64)], [np.empty((0, row.dim), np.float32)], 0
    for block_ids, block in stored_vectors(reader, row, chosen):
        here = drawn[(drawn >= before) & (drawn < before + len(block_ids))] - before
        ids.append(block_ids[here])
        vectors.append(block[here])
        before += len(block_ids)
    return np.concatenate(ids), np.concatenate(vectors)

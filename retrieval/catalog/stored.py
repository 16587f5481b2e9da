"""Bulk reads of all images, in blocks: embeddings, perceptual hashes, content hashes."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.catalog.access import Rows
from retrieval.catalog.records import HASH_BYTES, sound_vectors

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.filters import Filter

logger = logging.getLogger("photoseek")

_MOST_CHECKED = 100_000
_AT_ONCE = 4096

# By row ids, in file order: the index on encoders, SQLite's own choice, would read in random order.
_EMBEDDED = """SELECT id, image_id, vector, crc FROM {table}
               WHERE +encoder_id = :encoder AND id > :after AND id <= :last ORDER BY id LIMIT :count"""

_BROKEN = f"""SELECT i.id FROM images AS i WHERE (typeof(content_hash) <> 'blob' OR length(content_hash) <> {HASH_BYTES}
    OR typeof(size) <> 'integer' OR typeof(mtime_ns) <> 'integer' OR typeof(format) <> 'text'
    OR typeof(width) <> 'integer' OR typeof(height) <> 'integer'
    OR (taken_at IS NOT NULL AND datetime(taken_at) IS NULL))
    AND EXISTS (SELECT 1 FROM embeddings AS e WHERE e.encoder_id = :encoder AND e.image_id = i.id)"""

_STEP = 50_000
# For a damaged row: none.
_HASH = "CASE WHEN typeof(phash) = 'blob' AND length(phash) IN (8, 64) THEN phash END"
_COLOUR = "CASE WHEN typeof(colour) = 'integer' THEN colour ELSE -1 END"


def chosen_ids(reader: CatalogReader, row: EncoderRow, where: Filter | None) -> Ids | None:
    """The sorted ids that a filter selects, for people to look at; None for all. Images left out as unknown are
    reported.

    Raises:
        QueryError: the filter names a camera, lens, format or tag that the gallery does not hold.
    """
    if (where is None or where.is_empty()) and not reader.has_hidden():
        return None
    from retrieval.catalog.selection import check_names, select
    from retrieval.filters import Filter

    where = where or Filter()
    check_names(reader, where, row.id)
    found = select(reader, where, row.id, for_list=True)
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


def damaged_images(reader: CatalogReader, row: EncoderRow, *, most: int | None = _MOST_CHECKED) -> list[int]:
    """The ids of images with a damaged embedding or record (not as an indexing run writes them), retired ones included.

    Args:
        most: a check takes some 2 us a picture, so of more than these only one range is checked, a new one each time.
    """
    ids: set[int] = set()
    for table in ("embeddings", "moments"):
        first, last = 0, int(reader.rows(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0])
        if most is not None and last > most:
            first = int.from_bytes(os.urandom(8)) % (last - most)
            last = first + most
        sql = _EMBEDDED.format(table=table)
        while rows := reader.rows(sql, {"encoder": row.id, "after": first, "last": last, "count": _AT_ONCE}):
            first = rows[-1][0]
            sound, _ = sound_vectors([each[2:] for each in rows], row.dim)
            if not sound.all():
                ids.update(each[1] for each, good in zip(rows, sound.tolist(), strict=True) if not good)
    ids.update(image for (image,) in reader.rows(_BROKEN, {"encoder": row.id}))
    return sorted(ids)


def sampled_vectors(
    reader: CatalogReader, row: EncoderRow, most: int, chosen: Ids | None = None, *, seed: int = 0
) -> tuple[Ids, Vectors]:
    """Ids and embeddings of up to ``most`` images, all or evenly sampled; always the same for the same gallery."""
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


class HashedImage(NamedTuple):
    """A present image: pixels as shown, average colour (-1: not known), perceptual hash of 8 or 64 bytes, or None."""

    id: int
    width: int
    height: int
    colour: int
    phash: bytes | None


def hashed_images(rows: Rows) -> Iterator[list[HashedImage]]:
    """Every present image, by id, in blocks, the last of which may be empty."""
    sql = f"""SELECT id, width, height, {_COLOUR}, {_HASH} FROM images
              WHERE id > :last AND NOT is_retired ORDER BY id LIMIT :count"""
    last = -1
    while True:
        found = rows.rows(sql, {"last": last, "count": _STEP})
        yield [HashedImage(*row) for row in found]
        if len(found) < _STEP:
            return
        last = found[-1][0]


def same_bytes(rows: Rows) -> list[list[int]]:
    """The ids of present pictures with equal content hashes, in groups of two or more."""
    sql = """SELECT id, content_hash FROM images WHERE NOT is_retired AND content_hash IN
             (SELECT content_hash FROM images WHERE NOT is_retired GROUP BY content_hash HAVING count(*) > 1)"""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for image_id, digest in rows.rows(sql):
        groups[digest].append(image_id)
    return list(groups.values())

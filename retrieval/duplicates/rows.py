"""What the search for duplicates reads of the catalog: columns of all pictures at once, as arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.reader import CatalogReader, EncoderRow
from retrieval.catalog.records import sound_vectors
from retrieval.pictures.phash import HASH_BYTES, ORIENTATIONS, as_numbers

_STEP = 50_000
_MAX_VARIABLES = 900
_ALL = HASH_BYTES * ORIENTATIONS
_HASH = "CASE WHEN typeof(phash) = 'blob' AND length(phash) IN (8, 64) THEN phash END"  # of a damaged row: none
_COLOUR = "CASE WHEN typeof(colour) = 'integer' THEN colour ELSE -1 END"


@dataclass(frozen=True)
class Columns:
    """Every present picture, by id.

    Attributes:
        ids: (n,) int64, ascending.
        width, height: (n,) int64 pixels, as shown.
        hashes: (n, 8) uint64, in the EXIF orientations 1 to 8; 0 both for plain pictures and for those without a hash.
        is_hashed: (n,) bool: in all orientations.
        colour: (n,) int64 0xRRGGBB, the average; -1 where it is not known.
    """

    ids: Ids
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    is_hashed: NDArray[np.bool_]
    colour: NDArray[np.int64]

    def chosen(self, ids: Ids) -> Columns:
        """Only these ids; those that are not here are left out."""
        at = np.flatnonzero(np.isin(self.ids, ids, assume_unique=True))
        return Columns(
            self.ids[at], self.width[at], self.height[at], self.hashes[at], self.is_hashed[at], self.colour[at]
        )


def read_columns(reader: CatalogReader) -> Columns:
    """The columns of all present pictures: about 130 bytes a picture in memory."""
    numbers: list[NDArray[np.int64]] = []
    hashes: list[NDArray[np.uint64]] = []
    known: list[NDArray[np.bool_]] = []
    last = -1
    while True:
        sql = f"""SELECT id, width, height, {_COLOUR}, {_HASH} FROM images
                  WHERE id > ? AND NOT is_retired ORDER BY id LIMIT ?"""
        rows = reader._all(sql, [last, _STEP])
        numbers.append(np.array([row[:4] for row in rows], dtype=np.int64).reshape(-1, 4))
        hashes.append(hash_rows([row[4] or b"" for row in rows]))
        known.append(np.fromiter((len(row[4] or b"") == _ALL for row in rows), dtype=np.bool_, count=len(rows)))
        if len(rows) < _STEP:
            break
        last = rows[-1][0]
    ids, width, height, colour = np.concatenate(numbers).T
    return Columns(ids, width, height, np.concatenate(hashes), np.concatenate(known), colour)


def hash_rows(stored: Sequence[bytes]) -> NDArray[np.uint64]:
    """(n, 8) hashes as the catalog holds them; what is not there (turned, or at all) is 0."""
    return as_numbers([blob.ljust(_ALL, b"\0") for blob in stored]).reshape(-1, ORIENTATIONS)


def same_bytes(reader: CatalogReader) -> list[list[int]]:
    """The ids of present pictures with equal content hashes, two or more at a time."""
    sql = """SELECT id, content_hash FROM images WHERE NOT is_retired AND content_hash IN
             (SELECT content_hash FROM images WHERE NOT is_retired GROUP BY content_hash HAVING count(*) > 1)"""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for image_id, digest in reader._all(sql):
        groups[digest].append(image_id)
    return list(groups.values())


def half_vectors(reader: CatalogReader, encoder: EncoderRow, ids: Sequence[int]) -> tuple[Ids, NDArray[np.float16]]:
    """The ids of which there is a sound embedding, ascending, and these (m, dim) as stored, float16."""
    found: list[int] = []
    stored: list[tuple[bytes, int | None]] = []
    wanted = sorted(int(i) for i in ids)
    for start in range(0, len(wanted), _MAX_VARIABLES):
        part = wanted[start : start + _MAX_VARIABLES]
        sql = f"""SELECT image_id, vector, crc FROM embeddings WHERE encoder_id = ?
                  AND image_id IN ({", ".join("?" * len(part))}) ORDER BY image_id"""
        for image_id, vector, crc in reader._all(sql, [encoder.id, *part]):
            found.append(image_id)
            stored.append((vector, crc))
    sound, _ = sound_vectors(stored, encoder.dim)
    whole = b"".join(blob for (blob, _), good in zip(stored, sound.tolist(), strict=True) if good)
    return np.array(found, dtype=np.int64)[sound], np.frombuffer(whole, dtype="<f2").reshape(-1, encoder.dim)


def label_counts(reader: CatalogReader, ids: Sequence[int]) -> dict[int, int]:
    """Id -> how many tags and captions people gave it; only those that have any."""
    counts: dict[int, int] = defaultdict(int)
    for start in range(0, len(ids), _MAX_VARIABLES):
        part = [int(i) for i in ids[start : start + _MAX_VARIABLES]]
        for table in ("tags", "captions"):
            sql = f"""SELECT image_id, count(*) FROM {table} WHERE image_id IN ({", ".join("?" * len(part))})
                      GROUP BY image_id"""
            for image_id, count in reader._all(sql, part):
                counts[image_id] += count
    return dict(counts)

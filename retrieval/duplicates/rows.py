"""What the search for duplicates reads of the catalog: columns of all pictures at once, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.access import Rows
from retrieval.catalog.hashes import hashed_images
from retrieval.pictures.phash import HASH_BYTES, ORIENTATIONS, as_numbers

_ALL = HASH_BYTES * ORIENTATIONS


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


def read_columns(reader: Rows) -> Columns:
    """The columns of all present pictures: about 130 bytes a picture in memory."""
    numbers: list[NDArray[np.int64]] = []
    hashes: list[NDArray[np.uint64]] = []
    known: list[NDArray[np.bool_]] = []
    for rows in hashed_images(reader):
        numbers.append(np.array([row[:4] for row in rows], dtype=np.int64).reshape(-1, 4))
        hashes.append(hash_rows([row.phash or b"" for row in rows]))
        known.append(np.fromiter((len(row.phash or b"") == _ALL for row in rows), dtype=np.bool_, count=len(rows)))
    ids, width, height, colour = np.concatenate(numbers).T
    return Columns(ids, width, height, np.concatenate(hashes), np.concatenate(known), colour)


def hash_rows(stored: Sequence[bytes]) -> NDArray[np.uint64]:
    """(n, 8) hashes as the catalog holds them; what is not there (turned, or at all) is 0."""
    return as_numbers([blob.ljust(_ALL, b"\0") for blob in stored]).reshape(-1, ORIENTATIONS)

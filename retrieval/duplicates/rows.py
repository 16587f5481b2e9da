"""The columns that the search for duplicates reads from the catalog, of all pictures at once, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.access import Rows
from retrieval.catalog.stored import hashed_images
from retrieval.pictures.phash import HASH_BYTES, ORIENTATIONS, as_numbers

_ALL = HASH_BYTES * ORIENTATIONS


@dataclass(frozen=True)
class ImageColumns:
    """Every present picture, by id.

    Attributes:
        ids: (n,) int64, ascending.
        width, height: (n,) int64 pixels, as displayed.
        hashes: (n, 8) uint64, in the EXIF orientations 1 to 8; 0 for plain pictures and for those without a hash.
        is_hashed: (n,) bool: all orientations are known.
        colour: (n,) int64 0xRRGGBB, the average; -1 if unknown.
    """

    ids: Ids
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    is_hashed: NDArray[np.bool_]
    colour: NDArray[np.int64]

    def chosen(self, ids: Ids) -> ImageColumns:
        """Only these ids; those that are absent are ignored."""
        at = np.flatnonzero(np.isin(self.ids, ids, assume_unique=True))
        return ImageColumns(
            self.ids[at], self.width[at], self.height[at], self.hashes[at], self.is_hashed[at], self.colour[at]
        )


def read_columns(reader: Rows) -> ImageColumns:
    """The columns of all present pictures: about 130 bytes of memory per picture."""
    numbers: list[NDArray[np.int64]] = []
    hashes: list[NDArray[np.uint64]] = []
    known: list[NDArray[np.bool_]] = []
    for rows in hashed_images(reader):
        numbers.append(np.array([row[:4] for row in rows], dtype=np.int64).reshape(-1, 4))
        hashes.append(hash_rows([row.phash or b"" for row in rows]))
        known.append(np.fromiter((len(row.phash or b"") == _ALL for row in rows), dtype=np.bool_, count=len(rows)))
    ids, width, height, colour = np.concatenate(numbers).T
    return ImageColumns(ids, width, height, np.concatenate(hashes), np.concatenate(known), colour)


def hash_rows(stored: Sequence[bytes]) -> NDArray[np.uint64]:
    """(n, 8) hashes as stored in the catalog; missing ones (rotated, or all) are 0."""
    return as_numbers([blob.ljust(_ALL, b"\0") for blob in stored]).reshape(-1, ORIENTATIONS)

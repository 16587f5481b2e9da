"""ExactIndex: compares every vector, in numpy. The reference in tests and the default for small galleries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.arrays import open_array, write_array
from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, Vectors, check_vectors
from indexes.errors import VectorIndexError
from indexes.ranking import BLOCK_ROWS, Block, check_k, scan
from indexes.rows import RowIds
from indexes.spec import IndexSpec

# Gathering reads and writes each row before the product reads it again; a plain scan reads it once.
_GATHER_SHARE = 4
_GATHER_ROWS = 8192


class ExactIndex:
    """Cosine similarity by float32 matrix products over one (rows, dim) matrix.

    The matrix of an opened snapshot is memory-mapped and read-only; the first change copies it to memory.
    Any number of threads may search at the same time; a change must not run concurrently with anything else.

    Args:
        spec: ``IndexSpec.parse("Exact")``.
        dim: Vector dimension.
    """

    def __init__(self, spec: IndexSpec, dim: int) -> None:
        self.spec = spec
        self.dim = dim
        self._rows = RowIds()
        self._matrix: Vectors = np.empty((0, dim), dtype=np.float32)
        self._closed = False

    def __len__(self) -> int:
        return self._rows.live

    def __contains__(self, image_id: int) -> bool:
        return image_id in self._rows

    @property
    def is_trained(self) -> bool:
        return True

    @property
    def needs_rebuild(self) -> bool:
        """Never: removed rows are dropped as soon as they are more than 20 % of all rows."""
        return False

    def train(self, sample: Vectors) -> None:
        """Does nothing: there is nothing to learn."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors (n, dim) under ids (n,).

        Raises:
            DimensionMismatch, DuplicateId, VectorIndexError: nothing was added.
        """
        self._check_open()
        vectors = check_vectors(vectors, self.dim)
        new = self._rows.check_new(ids, len(vectors))
        if len(new) == 0:
            return
        first, total = self._rows.total, self._rows.total + len(new)
        if total > len(self._matrix):  # always true for a mapped matrix, which has no spare rows
            self._grow(max(total, first * 3 // 2))
        self._matrix[first:total] = vectors
        self._rows.append(new)

    def _grow(self, capacity: int) -> None:
        grown = np.empty((capacity, self.dim), dtype=np.float32)
        grown[: self._rows.total] = self._matrix[: self._rows.total]
        self._matrix = grown

    def remove(self, ids: Ids) -> int:
        """Remove ids (n,) and return how many were present."""
        self._check_open()
        removed = len(self._rows.remove(ids))
        if self._rows.mostly_dead:
            self._matrix = self._matrix[: self._rows.total][self._rows.live_mask]
            self._rows.compact()
        return removed

    def search(
        self, queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort = DEFAULT_EFFORT
    ) -> Neighbours:
        """The ``k`` nearest vectors to each of ``queries`` (q, dim), exactly; ``effort`` is ignored.

        Raises:
            DimensionMismatch, VectorIndexError: queries of another dimension or whose norm is not 1; ``k`` below 1.
        """
        self._check_open()
        queries = check_vectors(queries, self.dim)
        check_k(k)
        if allowed is None:
            return scan(queries, self._blocks(self._rows.ids), k)
        rows = self._rows.rows_of(allowed)
        if len(rows) * _GATHER_SHARE <= self._rows.total:
            return scan(queries, self._gathered(np.sort(rows)), k)
        masked = np.full(self._rows.total, -1, dtype=np.int64)
        masked[rows] = self._rows.ids[rows]
        return scan(queries, self._blocks(masked), k)

    def _blocks(self, ids: Ids) -> Iterator[Block]:
        for start in range(0, self._rows.total, BLOCK_ROWS):
            part = slice(start, min(start + BLOCK_ROWS, self._rows.total))
            yield Block(ids[part], self._matrix[part])

    def _gathered(self, rows: NDArray[np.int64]) -> Iterator[Block]:
        for start in range(0, len(rows), _GATHER_ROWS):
            some = rows[start : start + _GATHER_ROWS]
            yield Block(self._rows.ids[some], self._matrix[some])

    def close(self) -> None:
        """Release the matrix and its file."""
        self._closed = True
        self._rows = RowIds()
        self._matrix = np.empty((0, self.dim), dtype=np.float32)

    def _check_open(self) -> None:
        if self._closed:
            raise VectorIndexError("this index is closed", "open it again")

    @classmethod
    def part_names(cls, spec: IndexSpec) -> tuple[str, ...]:
        return ("vectors.npy", "ids.npy")

    @classmethod
    def structure_in_bulk(cls, spec: IndexSpec) -> bool:
        """False: both files are plain numbers after a validated header."""
        return False

    def write_parts(self, target: Callable[[str], Path]) -> None:
        """Write the live rows in ascending order of their ids, so that an opened snapshot needs no lookup table."""
        self._check_open()
        rows = self._rows.live_rows
        shape = (len(rows), self.dim)
        write_array(target("vectors.npy"), "<f4", shape, (block.vectors for block in self._gathered(rows)))
        write_array(target("ids.npy"), "<i8", (len(rows),), [self._rows.ids[rows]])

    @classmethod
    def read_parts(cls, spec: IndexSpec, dim: int, parts: Mapping[str, Path], *, mmap: bool) -> ExactIndex:
        """Open the files written by :meth:`write_parts`. Raises ValueError or OSError if they are invalid."""
        ids = open_array(parts["ids.npy"], "<i8", (None,), mmap=mmap)
        index = cls(spec, dim)
        index._matrix = open_array(parts["vectors.npy"], "<f4", (len(ids), dim), mmap=mmap)
        index._rows = RowIds(ids)
        if index._rows.dead:
            raise ValueError("an id is negative")
        return index

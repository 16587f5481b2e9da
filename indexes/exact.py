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

PART_BYTES = 32 << 20
"""Of vectors that are added: memory is taken in parts of this size, and what is stored is not copied to make room."""


class ExactIndex:
    """Cosine similarity by float32 matrix products over (rows, dim) matrices, whose rows are numbered through.

    The matrix of an opened snapshot is memory-mapped and read-only, and stays so: what is added is held beside it.
    Any number of threads may search at the same time; a change must not run concurrently with anything else.

    Args:
        spec: ``IndexSpec.parse("Exact")``.
        dim: Vector dimension.
    """

    def __init__(self, spec: IndexSpec, dim: int) -> None:
        self.spec = spec
        self.dim = dim
        self._rows = RowIds()
        self._parts: list[Vectors]  # the last one may have spare rows
        self._starts: list[int]  # the first row of each
        self._stored: int
        self._hold([])
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
        self._append(vectors)
        self._rows.append(new)

    def _append(self, vectors: Vectors) -> None:
        """Store vectors (n, dim) behind the others."""
        done = 0
        while done < len(vectors):
            spare = self._starts[-1] + len(self._parts[-1]) - self._stored if self._parts else 0
            if spare == 0:  # always true for a mapped matrix
                spare = max(1, PART_BYTES // (4 * self.dim))
                self._parts.append(np.empty((spare, self.dim), dtype=np.float32))
                self._starts.append(self._stored)
            count = min(spare, len(vectors) - done)
            at = self._stored - self._starts[-1]
            self._parts[-1][at : at + count] = vectors[done : done + count]
            done, self._stored = done + count, self._stored + count

    def remove(self, ids: Ids) -> int:
        """Remove ids (n,) and return how many were present."""
        self._check_open()
        removed = len(self._rows.remove(ids))
        if self._rows.mostly_dead:
            self._drop_dead(self._rows.live_mask)
            self._rows.compact()
        return removed

    def _drop_dead(self, is_live: NDArray[np.bool_]) -> None:
        """Keep the rows (rows,) that are live, one part after the other. A mapped part without dead rows stays."""
        parts, starts = self._parts, self._starts
        self._hold([])
        for number, start in enumerate(starts):
            part, parts[number] = parts[number], np.empty((0, self.dim), dtype=np.float32)
            live = is_live[start : start + len(part)]
            if number == 0 and live.all() and not part.flags.writeable:
                self._hold([part])
            else:
                self._append(part[: len(live)][live])

    def _hold(self, parts: list[Vectors]) -> None:
        """Make these full parts the stored vectors, at most one."""
        self._parts = [part for part in parts if len(part)]
        self._starts = [0] * len(self._parts)
        self._stored = sum(map(len, self._parts))

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
        for first, part in zip(self._starts, self._parts, strict=True):
            own = ids[first : first + len(part)]
            for start in range(0, len(own), BLOCK_ROWS):
                some = slice(start, min(start + BLOCK_ROWS, len(own)))
                yield Block(own[some], part[some])

    def _gathered(self, rows: NDArray[np.int64]) -> Iterator[Block]:
        for start in range(0, len(rows), _GATHER_ROWS):
            some = rows[start : start + _GATHER_ROWS]
            yield Block(self._rows.ids[some], self._vectors(some))

    def _vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """(n, dim) of rows (n,) in any order."""
        if len(self._parts) == 1:
            return self._parts[0][rows]
        found = np.empty((len(rows), self.dim), dtype=np.float32)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(owner):
            mine = owner == number
            found[mine] = self._parts[number][rows[mine] - self._starts[number]]
        return found

    def close(self) -> None:
        """Release the matrix and its file."""
        self._closed = True
        self._rows = RowIds()
        self._hold([])

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

    @classmethod
    def stays_mapped(cls) -> bool:
        """True: changes are held beside the mapped matrix."""
        return True

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
        index._hold([open_array(parts["vectors.npy"], "<f4", (len(ids), dim), mmap=mmap)])
        index._rows = RowIds(ids)
        if index._rows.dead:
            raise ValueError("an id is negative")
        return index

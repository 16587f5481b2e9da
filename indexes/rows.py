"""Mapping between ids and rows of a backend's storage; removed rows stay in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from indexes.base import Ids
from indexes.errors import DuplicateId, VectorIndexError

_REMOVED = -1
DEAD_SHARE = 0.2
# Looking up 500,000 ids among 1,000,000 by bisection takes 15 ms, which is more than the search itself; with a lookup
# table it takes 1 ms, and building the table 4 ms.
_TABLE_SHARE = 32
_TABLE_SPAN = 4


class RowIds:
    """A two-way mapping between ids and rows, held in sorted arrays instead of a dict.

    A dict of 1,000,000 ids takes about 100 MB and must be filled at each start; sorted arrays are searched in
    place, even if they are memory-mapped. A batch of m changes costs O(n + m log n), mostly for copying memory.

    Args:
        ids: (rows,) int64, the id in each row, -1 where it was removed. Not modified.

    Raises:
        ValueError: ids below -1, or duplicate ids.
    """

    def __init__(self, ids: Ids | None = None) -> None:
        self._ids = np.empty(0, dtype=np.int64) if ids is None else ids
        self._rows = len(self._ids)
        self._owned = ids is None
        self._live_mask: NDArray[np.bool_] | None = None
        self._table: NDArray[np.int64] | None = None
        self._sort()

    def _sort(self) -> None:
        ids = self.ids
        if len(ids) == 0 or (ids[0] >= 0 and _ascending(ids)):
            self._sorted = ids
            self._order: NDArray[np.int64] | None = None  # row i holds the i-th smallest id
            return
        live = np.flatnonzero(ids >= 0)
        # A stable sort is Timsort-like: ids arrive almost in order, and sorted runs need only one pass.
        order = live[np.argsort(ids[live], kind="stable")]
        self._sorted, self._order = ids[order], order
        if ids.min() < _REMOVED or not _ascending(self._sorted):
            raise ValueError("ids are negative or not unique")

    @property
    def ids(self) -> Ids:
        """(rows,) the id in each row, -1 where it was removed; a view that must not be modified."""
        return self._ids[: self._rows]

    @property
    def total(self) -> int:
        """Number of rows, including removed ones."""
        return self._rows

    @property
    def live(self) -> int:
        return len(self._sorted)

    @property
    def dead(self) -> int:
        return self._rows - len(self._sorted)

    @property
    def mostly_dead(self) -> bool:
        """Whether more than 20 % of the rows are removed."""
        return self.dead > DEAD_SHARE * self._rows

    @property
    def live_rows(self) -> NDArray[np.int64]:
        """(live,) rows in ascending order of their ids."""
        return np.arange(self._rows) if self._order is None else self._order

    @property
    def live_mask(self) -> NDArray[np.bool_]:
        """(rows,) True where a row was not removed."""
        if self._live_mask is None:
            self._live_mask = self.ids >= 0
        return self._live_mask

    def __contains__(self, image_id: int) -> bool:
        place = int(np.searchsorted(self._sorted, image_id))
        return place < len(self._sorted) and int(self._sorted[place]) == image_id

    def rows_of(self, ids: ArrayLike) -> NDArray[np.int64]:
        """The rows of those of ``ids`` that are present, each once; unknown ids are ignored."""
        places = self._places(_unique(ids))
        if self._order is None:
            return places
        rows: NDArray[np.int64] = self._order[places]
        return rows

    def _places(self, wanted: Ids) -> NDArray[np.int64]:
        """The positions of those of ``wanted`` (ascending) that are among the sorted ids."""
        if len(self._sorted) == 0:
            return np.empty(0, dtype=np.int64)
        first, last = int(self._sorted[0]), int(self._sorted[-1])
        wanted = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, last, side="right")]
        live, span = len(self._sorted), last - first + 1
        if span == live:  # no gaps between ids
            return wanted - first
        if len(wanted) * _TABLE_SHARE >= live and span <= _TABLE_SPAN * live:
            places = self._place_table(first, span)[wanted - first]
            return places[places >= 0]
        places = np.searchsorted(self._sorted, wanted)
        found: NDArray[np.int64] = places[self._sorted[places] == wanted].astype(np.int64, copy=False)
        return found

    def _place_table(self, first: int, span: int) -> NDArray[np.int64]:
        """(span,) the position of each id from ``first`` on, -1 if it is absent; cached until ids change."""
        table = self._table
        if table is None:
            table = np.full(span, -1, dtype=np.int64)
            table[self._sorted - first] = np.arange(len(self._sorted))
            self._table = table
        return table

    def check_new(self, ids: ArrayLike, count: int) -> Ids:
        """Return ``ids`` as int64 if ``count`` rows can be added with them.

        Raises:
            DuplicateId: an id is present already, or is given twice.
            VectorIndexError: not ``count`` integers >= 0.
        """
        new = as_ids(ids)
        if len(new) != count:
            raise VectorIndexError(f"{len(new)} ids were given for {count} vectors", "give one id a vector")
        if len(new) and int(new.min()) < 0:
            raise VectorIndexError(f"{int(new.min())} is not an id", "ids are integers of 0 or more")
        ordered = np.sort(new)
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        known = self._sorted[self._places(ordered)]
        if len(twice) or len(known):
            culprit = int(twice[0]) if len(twice) else int(known[0])
            where = "is given twice" if len(twice) else "is in the index already"
            raise DuplicateId(f"id {culprit} {where}", "remove an id before adding it again")
        return new

    def append(self, ids: Ids) -> None:
        """Append new rows with ``ids``, which must have passed :meth:`check_new`."""
        first, self._rows = self._rows, self._rows + len(ids)
        if self._rows > len(self._ids) or not self._owned:
            grown = np.empty(max(self._rows, len(self._ids) * 3 // 2), dtype=np.int64)
            grown[:first] = self._ids[:first]
            self._ids, self._owned = grown, True
        self._ids[first : self._rows] = ids
        self._live_mask = self._table = None
        if self._order is None and _ascending(self._ids[max(first - 1, 0) : self._rows]):
            self._sorted = self.ids
            return
        by_id = np.argsort(ids, kind="stable")
        places = np.searchsorted(self._sorted, ids[by_id])
        order = np.arange(first) if self._order is None else self._order
        self._order = np.insert(order, places, by_id + first)
        self._sorted = np.insert(self._sorted, places, ids[by_id])

    def remove(self, ids: ArrayLike) -> NDArray[np.int64]:
        """Mark the rows of those of ``ids`` that are present as removed, and return these rows."""
        places = self._places(_unique(ids))
        if len(places) == 0:
            return places
        order = np.arange(self._rows) if self._order is None else self._order
        rows = order[places]
        self._sorted = np.delete(self._sorted, places)
        self._order = np.delete(order, places)
        if not self._owned:
            self._ids, self._owned = np.array(self.ids), True
        self._ids[rows] = _REMOVED
        self._live_mask = self._table = None
        return rows

    def compact(self) -> None:
        """Drop the removed rows; the others move up and keep their order."""
        self._ids = self._ids[: self._rows][self.live_mask]
        self._rows, self._owned, self._live_mask, self._table = len(self._ids), True, None, None
        self._sort()


def as_ids(ids: ArrayLike) -> Ids:
    """``ids`` as a flat int64 array. Raises VectorIndexError unless they are integers that fit."""
    array = np.asarray(ids)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    fits = array.dtype.kind == "i" or (array.dtype.kind == "u" and int(array.max()) < 2**63)
    if array.ndim != 1 or not fits:
        raise VectorIndexError("ids must be one row of whole numbers", "pass a one-dimensional int64 array")
    return array.astype(np.int64, copy=False)


def _unique(ids: ArrayLike) -> Ids:
    array = as_ids(ids)
    return array if _ascending(array) else np.unique(array)


def _ascending(ids: Ids) -> bool:
    return bool((ids[1:] > ids[:-1]).all())

"""Orders of all present pictures by date and by name; computed once and shared by many lists."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.orders import days_taken, names

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader

By = Literal["date", "name"]


class Days(NamedTuple):
    """The days on which the pictures of a gallery were taken.

    Attributes:
        ids: (n,) ascending.
        codes: (n,) int32, the day of each as its position in ``names``.
        names: ascending, after None for no date: ``2023-12-24``, ``2023-12`` or ``2023``, as far as the date is known.
        moments: (n,) int64 microseconds since 1970 UTC; 0 for no date.
    """

    ids: Ids
    codes: NDArray[np.int32]
    names: list[str | None]
    moments: NDArray[np.int64]

    @classmethod
    def read(cls, reader: CatalogReader) -> Days:
        """The days of all present pictures."""
        found = days_taken(reader)
        count = len(found)
        names: list[str | None] = [None, *sorted({day for _, day, _ in found if day is not None})]
        code_of = {name: code for code, name in enumerate(names)}
        return cls(
            np.fromiter((row[0] for row in found), np.int64, count),
            np.fromiter((code_of[row[1]] for row in found), np.int32, count),
            names,
            np.fromiter((row[2] or 0 for row in found), np.int64, count),
        )

    def order(self, *, oldest_first: bool) -> Ids:
        """(n,) ids by the day, within a day by the moment, ties by id; pictures without a date come last.

        Pictures of two time zones overlap: by the moment alone, the pictures of one day would not be together.
        """
        sign = 1 if oldest_first else -1
        return self.ids[np.lexsort((self.ids, sign * self.moments, sign * self.codes, self.codes == 0))]

    def runs(self, ids: Ids, ends: int | None = None) -> list[tuple[str | None, int]]:
        """The days of a list, in its order, each with the number of pictures that follow each other.

        Args:
            ids: (n,) in the list's order.
            ends: where a run ends even if the next picture was taken on the same day.
        """
        if not len(ids):
            return []
        codes = self.codes[np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)]
        is_new = np.diff(codes, prepend=-1) != 0
        if ends is not None and ends < len(ids):
            is_new[ends] = True
        begins = np.flatnonzero(is_new)
        counts = np.diff(begins, append=len(ids)).tolist()
        return [(self.names[code], count) for code, count in zip(codes[begins].tolist(), counts, strict=True)]


def in_order(reader: CatalogReader, by: By, reverse: bool) -> Ids:
    """(n,) ids. ``date``: newest first, unless reversed, by the day of the camera's clock, within a day by the moment;
    pictures without a date come last in either case; ties by id.
    ``name``: file name ignoring case, then path. The orders are those of :mod:`retrieval.search.pages`.
    """
    return Days.read(reader).order(oldest_first=reverse) if by == "date" else _by_name(reader, reverse)


def restricted(order: Ids, ids: Ids) -> Ids:
    """Those of ``order`` that are among ``ids``, in its order."""
    return order[np.isin(order, ids)]


def _by_name(reader: CatalogReader, reverse: bool) -> Ids:
    named = sorted(names(reader), reverse=reverse)
    return np.fromiter((image_id for _, _, image_id in named), np.int64, len(named))


class Orders:
    """The ids of all present pictures in an order, remembered until the catalog changes. Thread-safe."""

    def __init__(self) -> None:
        self._made: dict[tuple[By, bool], Ids] = {}
        self._days: Days | None = None
        self._change = -1
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget all orders: another catalog is served."""
        with self._lock:
            self._made.clear()
            self._days = None

    def days(self, reader: CatalogReader) -> Days:
        """The days of all present pictures."""
        change = reader.change()
        with self._lock:
            self._follow(change)
            made = self._days
        if made is None:
            made = Days.read(reader)
            with self._lock:
                if self._change == change:
                    self._days = made
        return made

    def _follow(self, change: int) -> None:
        """Forget what was made for another state of the catalog. Under the lock."""
        if change != self._change:
            self._made.clear()
            self._days = None
            self._change = change

    def of(self, reader: CatalogReader, by: By, reverse: bool) -> Ids:
        """(n,) ids, see :func:`in_order`."""
        change = reader.change()
        with self._lock:
            self._follow(change)
            made = self._made.get((by, reverse))
        if made is None:
            made = self.days(reader).order(oldest_first=reverse) if by == "date" else in_order(reader, by, reverse)
            with self._lock:
                if self._change == change:
                    self._made[by, reverse] = made
        return made

"""Orders of all present pictures by date and by name; computed once and shared by many lists."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexes.base import Ids
from retrieval.catalog.orders import ids_by_date, names

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader

By = Literal["date", "name"]


def in_order(reader: CatalogReader, by: By, reverse: bool) -> Ids:
    """(n,) ids. ``date``: newest first, unless reversed; what has no date comes last in either case; ties by id.
    ``name``: of the file in any case, then its path. The orders are those of :mod:`retrieval.search.pages`.
    """
    return ids_by_date(reader, oldest_first=reverse) if by == "date" else _by_name(reader, reverse)


def restricted(order: Ids, ids: Ids) -> Ids:
    """Those of ``order`` that are among ``ids``, in its order."""
    return order[np.isin(order, ids)]


def _by_name(reader: CatalogReader, reverse: bool) -> Ids:
    named = sorted(names(reader), reverse=reverse)
    return np.fromiter((image_id for _, _, image_id in named), np.int64, len(named))


class Orders:
    """The ids of all present pictures in an order, remembered until the catalog changes. For many threads."""

    def __init__(self) -> None:
        self._made: dict[tuple[By, bool], Ids] = {}
        self._change = -1
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget: another catalog is served."""
        with self._lock:
            self._made.clear()

    def of(self, reader: CatalogReader, by: By, reverse: bool) -> Ids:
        """(n,) ids, see :func:`in_order`."""
        change = reader.change()
        with self._lock:
            if change != self._change:
                self._made.clear()
                self._change = change
            made = self._made.get((by, reverse))
        if made is None:
            made = in_order(reader, by, reverse)
            with self._lock:
                if self._change == change:
                    self._made[by, reverse] = made
        return made

"""The orders of all pictures, kept for the lists that are made in them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from indexes.base import Ids
from retrieval.search.orders import By, in_order

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader


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
        """(n,) ids, see :func:`retrieval.search.orders.in_order`."""
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

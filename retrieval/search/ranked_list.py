"""A ranked list, computed as far as it has been read, without pictures whose files are missing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrieval.search.ranked import Content, Recipe, make

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord, OnDisk
    from retrieval.search.orders import Orders

_AHEAD = 4096
"""Files that are looked at beyond what is asked for, at once, where many are gone."""


class RankedList:
    """One list, as far as it was made.

    A *missing* file cannot be opened, and a *changed* one may show something else than what was indexed: such pictures
    leave the list when they are met, and those behind them move up.

    Args:
        recipe: how it is made.
        orders: the orders of all pictures, which several lists may share.

    Attributes:
        content: None until somebody reads from it; without the pictures that are absent.
        absent: id -> what became of the file, of pictures that were met and are not the ones that were indexed.
    """

    def __init__(self, recipe: Recipe, orders: Orders) -> None:
        self.recipe = recipe
        self.content: Content | None = None
        self.absent: dict[int, OnDisk] = {}
        self._orders = orders
        self._made: Content | None = None
        self._lock = threading.Lock()

    def reaches(self, end: int) -> bool:
        """Whether it is made down to rank ``end``."""
        content = self.content
        return content is not None and min(end, content.total) <= len(content.ids)

    def grow(self, reader: CatalogReader, end: int) -> Content:
        """Make it down to rank ``end``. On a thread."""
        with self._lock:
            self._made = make(self.recipe, reader, self._orders, end + len(self.absent), self._made, self.absent)
            return self._settled(self._made)

    def leave_out(self, absent: Mapping[int, OnDisk]) -> None:
        """These pictures' files are not the ones that were indexed: what follows moves up."""
        with self._lock:
            self.absent |= absent
            if self._made is not None:
                self._settled(self._made)

    def part(self, reader: CatalogReader, start: int, count: int) -> tuple[Content, list[ImageRecord]]:
        """The list, and the records of ``count`` ranks after ``start``, each compared with its file."""
        seen: dict[int, ImageRecord] = {}
        end, ahead = start + count, count
        while True:
            content = self.content
            if content is None or not self.reaches(start + ahead):
                content = self.grow(reader, start + ahead)
            new = [image_id for image_id in content.ids[start : start + ahead].tolist() if image_id not in seen]
            known = {record.id: record for record in reader.records(new)}
            absent: dict[int, OnDisk] = dict.fromkeys((i for i in new if i not in known), "missing")
            absent |= {i: state for i, record in known.items() if (state := self.recipe.look(record)) != "same"}
            seen |= known
            if not absent:
                return content, [seen[image_id] for image_id in content.ids[start:end].tolist()]
            self.leave_out(absent)
            ahead = min(2 * ahead, ahead + _AHEAD)

    def scores(self, content: Content, ids: Sequence[int], start: int) -> dict[int, float]:
        """The scores of ``ids``, which have the ranks after ``start``; none where nothing is looked for."""
        ranking = self.recipe.ranking
        if ranking is None:
            return {}
        if content.scores is None:
            return ranking.scores_of(ids)
        return dict(zip(ids, content.scores[start : start + len(ids)].tolist(), strict=True))

    def behind(self, image_id: int) -> set[int]:
        """The pictures that come after one, as far as the list is made, also those that are absent."""
        ids = [] if self._made is None else self._made.ids.tolist()
        return set(ids[ids.index(image_id) :]) if image_id in ids else set()

    def _settled(self, made: Content) -> Content:
        self.content = made.without(self.absent)
        return self.content

    def nbytes(self) -> int:
        """Bytes in memory."""
        return 0 if self._made is None else 2 * self._made.nbytes()

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
"""Files that are checked at once beyond those requested, if many are gone."""


class RankedList:
    """One list, as far as it was made.

    A *missing* file cannot be opened, and a *changed* one may show something else than when indexed: such pictures
    leave the list when they are found, and those after them move up.

    Args:
        recipe: how it is made.
        orders: the orders of all pictures, which several lists may share.

    Attributes:
        content: None until the list is first read; without the pictures that are absent.
        absent: id -> the state of the file, for the pictures met so far that are missing or changed.
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
        """Make it down to rank ``end``. For any thread."""
        with self._lock:
            self._made = make(self.recipe, reader, self._orders, end + len(self.absent), self._made, self.absent)
            return self._settled(self._made)

    def leave_out(self, absent: Mapping[int, OnDisk]) -> None:
        """Remove pictures whose files are missing or changed; those after them move up."""
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
        """The scores of ``ids``, which have the ranks after ``start``; empty if there is no query."""
        ranking = self.recipe.ranking
        if ranking is None:
            return {}
        if content.scores is None:
            return ranking.scores_of(ids)
        return dict(zip(ids, content.scores[start : start + len(ids)].tolist(), strict=True))

    def days(self, reader: CatalogReader, content: Content) -> list[tuple[str | None, int]] | None:
        """The days of the whole list in its order, with the number of pictures of each, see :class:`.orders.Days`;
        None if it is not in the order of dates."""
        if not self.recipe.is_by_date or len(content.ids) != content.total:
            return None
        return self._orders.days(reader).runs(content.ids, content.relevant)

    def behind(self, image_id: int) -> set[int]:
        """The pictures that come after one, as far as the list is made, including those that are absent."""
        ids = [] if self._made is None else self._made.ids.tolist()
        return set(ids[ids.index(image_id) :]) if image_id in ids else set()

    def _settled(self, made: Content) -> Content:
        self.content = made.without(self.absent)
        return self.content

    def nbytes(self) -> int:
        """Bytes in memory."""
        return 0 if self._made is None else 2 * self._made.nbytes()

"""A ranked list cached by the server, and its cursors."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retrieval.errors import QueryError
from retrieval.search.cursor import Cursor, read_cursor
from retrieval.search.ranked import Content, Recipe
from retrieval.search.ranked_list import RankedList
from retrieval.web.front.metrics import stage

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.filters import Filter
    from retrieval.search.orders import Orders
    from retrieval.search.relevant import Relevant
    from retrieval.web.search.question import Question

LOOK_AGAIN_S = 5.0
"""After so long, whoever asks for the beginning of a list has the files looked at again that were absent."""

_OVERHEAD = 4096  # a list's own objects: each key that is typed makes a list


class KeptList(RankedList):
    """A list that the server keeps for whoever asks for another part of it.

    Attributes:
        name: digest of what was asked.
        change: of the catalog.
        state: a number that stands for all of the gallery that decides the list: tags, too, which are no change.
        question, where: what was asked.
        unknown: what is told of pictures that are left out because of what the catalog does not know; may be empty.
        growing: held while the list is made.
    """

    def __init__(
        self, name: str, change: int, state: int, question: Question, where: Filter, unknown: str, recipe: Recipe,
        orders: Orders,
    ) -> None:  # fmt: skip
        super().__init__(recipe, orders)
        self.name, self.change, self.state, self.question = name, change, state, question
        self.where, self.unknown = where, unknown
        self.growing = asyncio.Lock()
        self._looked_at = 0.0

    def grow(self, reader: CatalogReader, end: int) -> Content:
        """See :class:`retrieval.search.ranked_list.RankedList`; the time is measured."""
        with stage("search"):
            return super().grow(reader, end)

    def look_again(self) -> None:
        """Forget what is absent, unless that was seen just now: a drive may be back."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked_at > LOOK_AGAIN_S:
                self._looked_at = now
                if self.absent and self._made is not None:
                    self.absent = {}
                    self._settled(self._made)

    def judged_by(self, relevant: Relevant | None) -> None:
        """What hits are judged by became known after the list was made."""
        with self._lock:
            self.recipe = replace(self.recipe, relevant=relevant)

    def nbytes(self) -> int:
        """Bytes in memory."""
        return _OVERHEAD + super().nbytes()


class Start(NamedTuple):
    """Where a part of a list begins.

    Attributes:
        offset: how many ranks come before it.
        last: id of the last of them, where a cursor says so: others before it may have gone since.
    """

    offset: int
    last: int | None = None

    def within(self, content: Content) -> int:
        """How many ranks come before it now."""
        at = [] if self.last is None else np.flatnonzero(content.ids == self.last).tolist()
        return at[0] + 1 if at else self.offset


def start_of(ranked: KeptList, offset: int, cursor: str | None) -> Start:
    """Where the part that is asked for begins.

    Raises:
        QueryError: the cursor is none, or belongs to another question; or a place was given as well.
        PageExpired: the gallery changed.
    """
    if cursor is None:
        return Start(offset)
    if offset:
        raise QueryError("a cursor and an offset were both given", "give one of them")
    read = read_cursor(cursor, ranked.name, ranked.state)
    return Start(read.offset, read.last)


def next_of(ranked: KeptList, content: Content, end: int) -> str | None:
    """The cursor of what follows rank ``end``; None at the end of the list."""
    if end >= content.total or not len(content.ids):
        return None
    return Cursor(end, int(content.ids[min(end, len(content.ids)) - 1]), ranked.name, ranked.state).text()

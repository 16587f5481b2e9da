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
"""After this long, a request for the beginning of a list has its absent files checked again."""

_OVERHEAD = 4096  # a list's own objects: each key typed makes a list


class KeptList(RankedList):
    """A list that the server keeps for requests for other parts of it.

    Attributes:
        name: digest of the question.
        change: the catalog's change number.
        state: a number for all of the gallery that decides the list, including tags, which have no change number.
        question, where: what was asked.
        unknown: the message about pictures left out because the catalog lacks data about them; may be empty.
        growing: a lock held while the list is made.
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
        """See :class:`retrieval.search.ranked_list.RankedList`; also measures the time."""
        with stage("search"):
            return super().grow(reader, end)

    def look_again(self) -> None:
        """Forget which files are absent, unless that was checked just now: a drive may be back."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked_at > LOOK_AGAIN_S:
                self._looked_at = now
                if self.absent and self._made is not None:
                    self.absent = {}
                    self._settled(self._made)

    def judged_by(self, relevant: Relevant | None) -> None:
        """Set the judge of hits, if it became known only after the list was made."""
        with self._lock:
            self.recipe = replace(self.recipe, relevant=relevant)

    def nbytes(self) -> int:
        """Bytes in memory."""
        return _OVERHEAD + super().nbytes()


class Start(NamedTuple):
    """Where a part of a list begins.

    Attributes:
        offset: how many ranks come before it.
        last: id of the last of them, if a cursor gives it: others before it may have disappeared since.
    """

    offset: int
    last: int | None = None

    def within(self, content: Content) -> int:
        """How many ranks come before it now."""
        at = [] if self.last is None else np.flatnonzero(content.ids == self.last).tolist()
        return at[0] + 1 if at else self.offset


def start_of(ranked: KeptList, offset: int, cursor: str | None) -> Start:
    """Where the requested part begins.

    Raises:
        QueryError: the cursor is invalid or belongs to another question; or an offset was given as well.
        PageExpired: the gallery changed.
    """
    if cursor is None:
        return Start(offset)
    if offset:
        raise QueryError("a cursor and an offset were both given", "give one of them")
    read = read_cursor(cursor, ranked.name, ranked.state)
    return Start(read.offset, read.last)


def next_of(ranked: KeptList, content: Content, end: int) -> str | None:
    """The cursor of the part after rank ``end``; None at the end of the list."""
    if end >= content.total or not len(content.ids):
        return None
    return Cursor(end, int(content.ids[min(end, len(content.ids)) - 1]), ranked.name, ranked.state).text()

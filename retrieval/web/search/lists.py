"""Whole ranked lists, remembered: a question is searched once, and any part of its answer is then a slice."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.errors import QueryError
from retrieval.search.cursor import Cursor, digest, read_cursor
from retrieval.search.relevance import ONLY_WORDS
from retrieval.web.front.metrics import stage
from retrieval.web.search.calibrating import Calibrations
from retrieval.web.search.making import Content, Recipe, make
from retrieval.web.search.models import FilterFields, ListFields
from retrieval.web.search.ordering import Orders
from retrieval.web.search.question import Question, direction_of
from retrieval.web.search.ranking import Ranking
from retrieval.web.search.uploads import Uploads, forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.selection import Selection
    from retrieval.filters import Filter
    from retrieval.search.calibration import Calibration
    from retrieval.search.engine import QueryEngine
    from retrieval.web.work.desk import Desk
    from retrieval.web.work.readers import Readers

T = TypeVar("T")

MOST_BYTES = 64 << 20
_OVERHEAD = 4096  # a list's own objects: each key that is typed makes a list


class RankedList:
    """One list, as far as it was made.

    Attributes:
        name: digest of what was asked.
        change: of the catalog.
        state: a number that stands for all of the gallery that decides the list: tags, too, which are no change.
        question, where: what was asked.
        unknown: what is told of pictures that are left out because of what the catalog does not know; may be empty.
        recipe: how it is made.
        content: None until somebody reads from it.
        calibration: what hits are judged against; None where they cannot be, or not yet.
        relevant_total: how many hits answer the query, once that was counted.
    """

    def __init__(
        self, name: str, change: int, state: int, question: Question, where: Filter, unknown: str, recipe: Recipe
    ) -> None:
        self.name, self.change, self.state, self.question = name, change, state, question
        self.where, self.unknown, self.recipe = where, unknown, recipe
        self.content: Content | None = None
        self.calibration: Calibration | None = recipe.calibration
        self.relevant_total: int | None = None
        self.counted = False
        self.growing = asyncio.Lock()

    def reaches(self, end: int) -> bool:
        """Whether it is made down to rank ``end``."""
        content = self.content
        return content is not None and min(end, content.total) <= len(content.ids)

    def grow(self, reader: CatalogReader, orders: Orders, end: int) -> Content:
        """Make it down to rank ``end``. On a thread."""
        with stage("search"):
            self.content = make(self.recipe, reader, orders, end, self.content)
        return self.content

    def nbytes(self) -> int:
        """Bytes in memory."""
        return _OVERHEAD + (0 if self.content is None else self.content.nbytes())


class Lists:
    """The lists that were asked for last, the uploads and the calibration that go into them."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self.orders = Orders()
        self._calibrations = Calibrations()
        self._lists: OrderedDict[tuple[str, int], RankedList] = OrderedDict()
        self._lock = threading.Lock()
        self._engine: weakref.ref[QueryEngine] | None = None
        self._change = -1
        self._present: tuple[int, int] | None = None

    async def find(self, desk: Desk, question: Question) -> RankedList:
        """The list of a question.

        Raises:
            QueryError: what was asked cannot be answered; names that the gallery does not hold.
            UnknownImage: a picture that it does not hold.
            TextNotSupported: words for an image-only encoder.
            GalleryNotFound: nothing is indexed yet.
            Busy: too much waits already.
            HTTPException: 410, an upload that was forgotten.
        """
        uploads = self.uploads.find([upload.id for upload in question.uploads])
        opening = partial(self._open, question, uploads)
        found = await desk.run(opening, question.texts)
        if found is None:
            await self._calibrations.measured(desk)
            found = await desk.run(opening, question.texts)
        if found is None:
            raise QueryError("relevance could not be measured", "leave out relevant")
        return found

    async def read(
        self, ranked: RankedList, desk: Desk, readers: Readers, end: int, do: Callable[[CatalogReader, Content], T]
    ) -> T:
        """The result of ``do`` on a reader's thread, with the list made down to rank ``end``.

        What the list still needs to be judged is measured afterwards.
        """

        def grown(reader: CatalogReader) -> T:
            return do(reader, ranked.grow(reader, self.orders, end))

        if not ranked.reaches(end):
            async with ranked.growing:  # whoever else waits for it does not make it again
                if not ranked.reaches(end):
                    result = await readers.run(grown)
                    self._shrink()
                    self._judge_later(ranked, desk)
                    return result
        content = ranked.content
        assert content is not None
        result = await readers.run(lambda reader: do(reader, content))
        self._judge_later(ranked, desk)
        return result

    def _judge_later(self, ranked: RankedList, desk: Desk) -> None:
        if ranked.question.is_words_only and ranked.calibration is None:
            self._calibrations.start(desk)

    # On the desk

    def _open(
        self, question: Question, uploads: Mapping[str, tuple[str, Vectors]], engine: QueryEngine
    ) -> RankedList | None:
        """The list, remembered or new; None if it cannot be made before relevance is measured."""
        change = engine.reader.change()  # before the index is asked for: the list may know more than it says, not less
        self._follow(engine, change)
        where = question.fields.where()
        selection = None if where.is_empty() else engine.selection(where)
        name = _name(question, where, engine.encoder_row.fingerprint)
        state = _state(change, selection)
        with self._lock:
            if (known := self._lists.get((name, state))) is not None:
                self._lists.move_to_end((name, state))
        if known is not None:
            if known.calibration is None and question.is_words_only:
                known.calibration = self._calibrations.of(engine)
            return known
        if question.fields.relevant and not question.is_browsing and not question.is_words_only:
            raise QueryError(*ONLY_WORDS)
        recipe = self._recipe(engine, question, selection, uploads)
        if question.fields.relevant and recipe.ranking is not None and recipe.calibration is None:
            return None
        told = "" if selection is None else selection.told()
        made = RankedList(name, change, state, question, where, told, recipe)
        with self._lock:
            self._lists[name, state] = made
        self._shrink()
        return made

    def _follow(self, engine: QueryEngine, change: int) -> None:
        """Forget what belongs to another state of the gallery: it would also keep an index of its own alive."""
        with self._lock:
            if self._engine is None or self._engine() is not engine:
                self.orders.clear()
                self._engine, self._change, self._present = weakref.ref(engine), -1, None
            if change != self._change:
                self._lists.clear()
                self._change = change

    def _recipe(
        self,
        engine: QueryEngine,
        question: Question,
        selection: Selection | None,
        uploads: Mapping[str, tuple[str, Vectors]],
    ) -> Recipe:
        row = engine.encoder_row
        if any(fingerprint != row.fingerprint for fingerprint, _ in uploads.values()):
            raise forgotten()  # it was embedded by another model
        direction = direction_of(engine, question, {name: vector for name, (_, vector) in uploads.items()})
        ids = None if selection is None else selection.ids
        if direction is None:
            return Recipe(question.fields, None, ids, row)
        index = engine.index
        allowed = None if ids is None else self._embedded(engine, ids)
        effort = engine.gallery.effort(row, index.spec)
        ranking = Ranking(index, direction, effort, allowed, question.left_out)
        calibration = self._calibrations.of(engine) if question.is_words_only else None
        return Recipe(question.fields, ranking, allowed, row, calibration)

    def _embedded(self, engine: QueryEngine, ids: Ids) -> Ids:
        """Those of ``ids`` that the index holds: its encoder may be behind another one."""
        index, change = engine.index, self._change
        if self._present is None or self._present[0] != change:
            self._present = change, engine.reader.count()
        if len(index) == self._present[1]:
            return ids
        return ids[np.fromiter((image_id in index for image_id in ids.tolist()), np.bool_, len(ids))]

    def _shrink(self) -> None:
        with self._lock:
            size = sum(each.nbytes() for each in self._lists.values())
            while size > MOST_BYTES and len(self._lists) > 1:
                _, oldest = self._lists.popitem(last=False)
                size -= oldest.nbytes()


def start_of(ranked: RankedList, offset: int, cursor: str | None) -> int:
    """How many ranks come before the part that is asked for.

    Raises:
        QueryError: the cursor is none, or belongs to another question; or a place was given as well.
        PageExpired: the gallery changed.
    """
    if cursor is None:
        return offset
    if offset:
        raise QueryError("a cursor and an offset were both given", "give one of them")
    return read_cursor(cursor, ranked.name, ranked.state).offset


def next_of(ranked: RankedList, content: Content, end: int) -> str | None:
    """The cursor of what follows rank ``end``; None at the end of the list."""
    if end >= content.total or not len(content.ids):
        return None
    return Cursor(end, int(content.ids[min(end, len(content.ids)) - 1]), ranked.name, ranked.state).text()


def _name(question: Question, where: Filter, fingerprint: str) -> str:
    fields = {name: getattr(question.fields, name) for name in _DECIDE}
    asked = (question.terms, question.uploads, question.more, question.less, question.left_out)
    return digest(asked, where, fingerprint, fields)


def _state(change: int, selection: Selection | None) -> int:
    return change if selection is None else int(digest(change, selection.ids.tobytes())[:12], 16)


_DECIDE = tuple(name for name in ListFields.model_fields if name not in FilterFields.model_fields)
"""The fields that decide a list beside its filter."""

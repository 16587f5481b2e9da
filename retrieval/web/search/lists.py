"""Cache of ranked lists: a query is searched once, every response is a slice."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.catalog.orders import present_ids
from retrieval.errors import Busy, QueryError, RetrievalError
from retrieval.search.cursor import digest
from retrieval.search.orders import Orders
from retrieval.search.ranked import Content, Recipe, is_best_first
from retrieval.search.ranking import IndexRanking, Ranking
from retrieval.search.relevance import ONLY_WORDS
from retrieval.search.relevant import Relevant
from retrieval.search.verified import IndexDamaged
from retrieval.web.search.calibrating import Calibrations
from retrieval.web.search.filter_fields import FilterFields
from retrieval.web.search.kept_list import KeptList
from retrieval.web.search.models import ListFields
from retrieval.web.search.question import Question, direction_of
from retrieval.web.search.uploads import Uploads, forgotten

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.selection import Selection
    from retrieval.filters import Filter
    from retrieval.search.engine import QueryEngine
    from retrieval.web.work.engine_thread import EngineThread
    from retrieval.web.work.readers import Readers

T = TypeVar("T")

MOST_BYTES = 64 << 20
_JUDGES = 64  # of 40 bytes for each picture that answers


class Narrowed(NamedTuple):
    """The pictures that a question leaves of the gallery.

    Attributes:
        name: equal for equal ones.
        ranked: a list of them, without filter.
    """

    name: str
    ranked: KeptList

    def ids(self, reader: CatalogReader) -> Ids:
        """(n,) ids, in no order."""
        recipe = self.ranked.recipe
        if recipe.is_plain and recipe.ranking is not None:
            every = present_ids(reader)
            return every[~np.isin(every, recipe.ranking.left_out)]
        return self.ranked.grow(reader, 0).ids


class Lists:
    """The lists that were asked for last, the uploads and the calibration that go into them."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self.orders = Orders()
        self._calibrations = Calibrations()
        self._relevant: OrderedDict[str, Relevant] = OrderedDict()
        self._lists: OrderedDict[tuple[str, int], KeptList] = OrderedDict()
        self._lock = threading.Lock()
        self._engine: weakref.ref[QueryEngine] | None = None
        self._change = -1
        self._present: tuple[int, int] | None = None

    async def find(self, engine_thread: EngineThread, question: Question) -> KeptList:
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
        found = await engine_thread.run(partial(self._open, question, uploads, True), question.texts)
        if found is None:
            try:
                await self._calibrations.measured(engine_thread)
            except RetrievalError:
                if question.fields.relevant:
                    raise
            must = question.fields.relevant  # in another order the list is worth something without being judged
            found = await engine_thread.run(partial(self._open, question, uploads, must), question.texts)
        if found is None:
            raise QueryError("relevance could not be measured", "omit relevant")
        return found

    async def read(
        self,
        ranked: KeptList,
        engine_thread: EngineThread,
        readers: Readers,
        end: int,
        do: Callable[[CatalogReader, Content], T],
    ) -> T:
        """The result of ``do`` on a reader's thread, with the list made down to rank ``end``.

        What the list still needs to be judged is measured afterwards.

        Raises:
            Busy: too much waits already; or the saved index turned out to be damaged: asked again, the answer comes
                from the catalog.
        """
        try:
            return await self._read(ranked, engine_thread, readers, end, do)
        except IndexDamaged:
            await engine_thread.run(self._distrust)
            raise Busy from None

    def _distrust(self, engine: QueryEngine) -> None:
        engine.distrust_index()
        with self._lock:
            self._lists.clear()

    async def _read(
        self,
        ranked: KeptList,
        engine_thread: EngineThread,
        readers: Readers,
        end: int,
        do: Callable[[CatalogReader, Content], T],
    ) -> T:
        def grown(reader: CatalogReader) -> T:
            return do(reader, ranked.grow(reader, end))

        if not ranked.reaches(end):
            async with ranked.growing:  # whoever else waits for it does not make it again
                if not ranked.reaches(end):
                    result = await readers.run(grown)
                    self._shrink()
                    self._judge_later(ranked, engine_thread)
                    return result
        content = ranked.content
        assert content is not None
        result = await readers.run(lambda reader: do(reader, content))
        self._judge_later(ranked, engine_thread)
        return result

    async def narrowed(self, engine_thread: EngineThread, question: Question) -> Narrowed | None:
        """What a question leaves of the gallery before any filter; None where that is every picture.

        Raises: as :meth:`find`.
        """
        fields = question.fields
        if question.is_browsing or not (fields.relevant or fields.min_score is not None or question.left_out):
            return None
        chosen = {"relevant": fields.relevant, "min_score": fields.min_score}
        everywhere = replace(question, fields=ListFields.model_validate(chosen))
        ranked = await self.find(engine_thread, everywhere)
        return Narrowed(f"{ranked.name} {ranked.state}", ranked)

    def _judge_later(self, ranked: KeptList, engine_thread: EngineThread) -> None:
        if ranked.question.is_words_only and ranked.recipe.relevant is None:
            self._calibrations.start(engine_thread)

    # On the engine thread

    def _open(
        self, question: Question, uploads: Mapping[str, tuple[str, Vectors]], must_judge: bool, engine: QueryEngine
    ) -> KeptList | None:
        """The list, remembered or new; None if it cannot be made before relevance is measured.

        Args:
            must_judge: whether a list that relevance decides may not be made without it.
        """
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
            if known.recipe.relevant is None and question.is_words_only and is_best_first(question.fields):
                known.judged_by(self._judge(engine, question, known.recipe.ranking))
            if known.recipe.relevant is not None or not self._waits(question):
                return known
        if question.fields.relevant and not question.is_browsing and not question.is_words_only:
            raise QueryError(*ONLY_WORDS)
        recipe = self._recipe(engine, question, selection, uploads)
        if must_judge and recipe.relevant is None and self._waits(question):
            return None
        told = "" if selection is None else selection.message()
        made = KeptList(name, change, state, question, where, told, recipe, self.orders)
        with self._lock:
            self._lists[name, state] = made
        self._shrink()
        return made

    def _follow(self, engine: QueryEngine, change: int) -> None:
        """Forget what belongs to another state of the gallery: it would also keep an index of its own alive."""
        with self._lock:
            if self._engine is None or self._engine() is not engine:
                self.orders.clear()
                self._relevant.clear()
                self._engine, self._change, self._present = weakref.ref(engine), -1, None
            if change != self._change:
                self._lists.clear()
                self._relevant.clear()
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
        ranking = IndexRanking(index, direction, allowed, question.left_out, effort)
        return Recipe(question.fields, ranking, allowed, row, self._judge(engine, question, ranking))

    @staticmethod
    def _waits(question: Question) -> bool:
        """Whether relevance decides the list."""
        return question.is_words_only and (question.fields.relevant or not is_best_first(question.fields))

    def _judge(self, engine: QueryEngine, question: Question, ranking: Ranking | None) -> Relevant | None:
        """What hits of these words are judged by, one for all filters and orders; None where that is not known yet."""
        calibration = self._calibrations.of(engine) if question.is_words_only and ranking is not None else None
        if calibration is None or ranking is None:
            return None
        row = engine.encoder_row
        key = digest(ranking.direction.tobytes(), ranking.left_out, row.fingerprint, self._change)
        with self._lock:
            known = self._relevant.get(key)
            if known is None or known.calibration is not calibration:
                known = self._relevant[key] = Relevant(replace(ranking, allowed=None), calibration, row)
            self._relevant.move_to_end(key)
            if len(self._relevant) > _JUDGES:
                self._relevant.popitem(last=False)
        return known

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


def _name(question: Question, where: Filter, fingerprint: str) -> str:
    fields = {name: getattr(question.fields, name) for name in _DECIDE}
    asked = (question.terms, question.uploads, question.more, question.less, question.left_out)
    return digest(asked, where, fingerprint, fields)


def _state(change: int, selection: Selection | None) -> int:
    return change if selection is None else int(digest(change, selection.ids.tobytes())[:12], 16)


_DECIDE = tuple(name for name in ListFields.model_fields if name not in FilterFields.model_fields)
"""The fields that decide a list beside its filter."""

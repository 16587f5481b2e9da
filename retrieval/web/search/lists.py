"""Cache of ranked lists: a query is searched once, every response is a slice."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from indexes.base import Ids, Vectors, held_by
from indexes.errors import IndexUnreachable
from retrieval.catalog.orders import present_ids
from retrieval.errors import Busy, QueryError, RetrievalError
from retrieval.search.cursor import digest
from retrieval.search.fused import fused
from retrieval.search.lexical import NOTHING
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
    from retrieval.search.lexical import Matches
    from retrieval.server.engine_thread import EngineThread
    from retrieval.web.readers import Readers

T = TypeVar("T")

MOST_BYTES = 64 << 20
_JUDGES = 32  # each up to 0.6 MB for the pictures nearest to the query, and 100 bytes for each picture judged


class Narrowed(NamedTuple):
    """The pictures of the gallery that a question leaves.

    Attributes:
        name: equal for equal selections.
        ranked: a list of these pictures, without filter.
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
    """The lists requested last, and the uploads and the calibration that they use."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self.orders = Orders()
        self._calibrations = Calibrations()
        self._relevant: OrderedDict[str, Relevant] = OrderedDict()
        self._matches: OrderedDict[str, Matches | None] = OrderedDict()  # used on the engine thread only
        self._folded: OrderedDict[tuple[str, int], Question] = OrderedDict()  # used on the engine thread only
        self._lists: OrderedDict[tuple[str, int], KeptList] = OrderedDict()
        self._sizes: dict[tuple[str, int], int] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self._engine: weakref.ref[QueryEngine] | None = None
        self._change = -1
        self._present: tuple[int, int] | None = None

    async def find(self, engine_thread: EngineThread, question: Question) -> KeptList:
        """The list of a question.

        Raises:
            QueryError: the question cannot be answered, or has names that are not in the gallery.
            UnknownImage: a picture that is not in the gallery.
            TextNotSupported: words for an image-only encoder.
            GalleryNotFound: nothing is indexed yet.
            Busy: too many jobs are waiting already.
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
            must = question.fields.relevant  # in another order the list is useful even without relevance
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

        If the list still needs a calibration to be judged, that is measured afterwards.

        Raises:
            Busy: too many jobs are waiting; or the saved index is damaged or out of reach: on a second request, the
                answer comes from the catalog.
        """
        try:
            return await self._read(ranked, engine_thread, readers, end, do)
        except IndexUnreachable:
            await engine_thread.run(self._reopen)
            raise Busy from None
        except IndexDamaged:
            await engine_thread.run(self._distrust)
            raise Busy from None

    def _distrust(self, engine: QueryEngine) -> None:
        engine.distrust_index()
        with self._lock:
            self._forget_lists()

    def _reopen(self, engine: QueryEngine) -> None:
        engine.reopen_index()
        with self._lock:
            self._forget_lists()

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
            async with ranked.growing:  # others who wait for it do not make it again
                if not ranked.reaches(end):
                    result = await readers.run(grown)
                    self._shrink(ranked)
                    self._judge_later(ranked, engine_thread)
                    return result
        content = ranked.content
        assert content is not None
        result = await readers.run(lambda reader: do(reader, content))
        self._judge_later(ranked, engine_thread)
        return result

    async def narrowed(self, engine_thread: EngineThread, question: Question) -> Narrowed | None:
        """The pictures that a question leaves before any filter; None if that is every picture.

        Raises: as :meth:`find`.
        """
        fields = question.fields
        if fields.weaker is not None:  # whether that leaves pictures out is decided under the filter
            fields = (await self.find(engine_thread, question)).question.fields
        narrows = fields.relevant or fields.min_score is not None or question.left_out or question.is_by_words
        if question.is_browsing or not narrows:
            return None
        chosen = {"relevant": fields.relevant, "min_score": fields.min_score, "only": fields.only}
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
            must_judge: whether a list decided by relevance must not be made without it.
        """
        change = engine.reader.change()  # read before the index: the list may be newer than this, not older
        self._follow(engine, change)
        where = question.fields.where()
        selection = engine.narrowed(where, question.fields.raw_pairs or "both")
        matches = self._matched(engine, question, None if selection is None else selection.ids)
        state = _state(change, selection, matches)
        recipe_of = partial(self._recipe, engine, selection=selection, uploads=uploads, matches=matches)
        name = _name(question, where, engine.encoder_row.fingerprint)
        if question.fields.weaker is not None:
            question = self._decided(engine, question, (name, state), recipe_of)
            name = _name(question, where, engine.encoder_row.fingerprint)
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
        recipe = recipe_of(question)
        if must_judge and recipe.relevant is None and self._waits(question):
            return None
        told = "" if selection is None else selection.message()
        made = KeptList(name, change, state, question, where, told, recipe, self.orders)
        with self._lock:
            self._lists[name, state] = made
        self._shrink(made)
        return made

    def _follow(self, engine: QueryEngine, change: int) -> None:
        """Forget everything of another state of the gallery: it would also keep its own index in memory."""
        with self._lock:
            if self._engine is None or self._engine() is not engine:
                self.orders.clear()
                self._relevant.clear()
                self._engine, self._change, self._present = weakref.ref(engine), -1, None
            if change != self._change:
                self._forget_lists()
                self._relevant.clear()
                self._change = change

    def _recipe(
        self,
        engine: QueryEngine,
        question: Question,
        *,
        selection: Selection | None,
        uploads: Mapping[str, tuple[str, Vectors]],
        matches: Matches | None,
    ) -> Recipe:
        row = engine.encoder_row
        if any(fingerprint != row.fingerprint for fingerprint, _ in uploads.values()):
            raise forgotten()  # it was embedded by another model
        direction = direction_of(engine, question, {name: vector for name, (_, vector) in uploads.items()})
        ids = None if selection is None else selection.ids
        if direction is None:
            return Recipe(question.fields, None, ids, row, matches=matches)
        index = engine.index
        allowed = None if ids is None else self._embedded(engine, ids)
        effort = engine.gallery.effort(row, index.spec)
        left_out, moments = engine.with_mates(question.left_out), engine.moments()
        ranking: Ranking = IndexRanking(index, direction, allowed, left_out, effort, moments=moments)
        if matches is not None:
            ranking = fused(ranking, matches)
        judge, good_first = self._judge(engine, question, ranking), question.fields.weaker == "after"
        return Recipe(question.fields, ranking, allowed, row, judge, good_first=good_first)

    def _decided(
        self, engine: QueryEngine, question: Question, key: tuple[str, int], recipe_of: Callable[[Question], Recipe]
    ) -> Question:
        """The question with what ``weaker`` comes to: only the relevant pictures, these first, or scores alone for as
        long as nobody can tell which ones they are.

        Args:
            key: of the question and the state of the gallery.
        """
        if key not in self._folded:
            recipe, fields = recipe_of(question), question.fields
            if recipe.relevant is None or recipe.ranking is None:
                return replace(question, fields=fields.model_copy(update={"weaker": None}))
            folds = fields.weaker == "fold" and len(recipe.relevant.among(recipe.ranking, engine.reader).ids) > 0
            decided = {"weaker": "fold" if folds else "after", "relevant": fields.relevant or folds}
            self._folded[key] = replace(question, fields=fields.model_copy(update=decided))
        self._folded.move_to_end(key)
        if len(self._folded) > _JUDGES:
            self._folded.popitem(last=False)
        return self._folded[key]

    @staticmethod
    def _waits(question: Question) -> bool:
        """Whether the list is decided by relevance."""
        return question.is_words_only and (question.fields.relevant or not is_best_first(question.fields))

    def _judge(self, engine: QueryEngine, question: Question, ranking: Ranking | None) -> Relevant | None:
        """The judge of hits of these words, one for all filters and orders; None if it is not known yet."""
        calibration = self._calibrations.of(engine) if question.is_words_only and ranking is not None else None
        if calibration is None or ranking is None:
            return None
        row = engine.encoder_row
        key = digest(ranking.direction.tobytes(), ranking.left_out, row.fingerprint, self._change)
        with self._lock:
            known = self._relevant.get(key)
            if known is None or known.calibration is not calibration:
                base = ranking.by_cosine
                everywhere = base if base.allowed is None else replace(base, allowed=None)
                known = self._relevant[key] = Relevant(everywhere, calibration, row)
            self._relevant.move_to_end(key)
            if len(self._relevant) > _JUDGES:
                self._relevant.popitem(last=False)
        return known

    def _matched(self, engine: QueryEngine, question: Question, allowed: Ids | None) -> Matches | None:
        """The matches of a question's words; remembered until the catalog changes, labels included."""
        if question.is_browsing or not any(term.kind == "text" for term in question.terms):
            return None
        only = question.fields.only
        key = digest(question.terms, only, None if allowed is None else allowed.tobytes(), engine.reader.version())
        if key not in self._matches:
            found = engine.matches(question.terms, allowed, only)
            self._matches[key] = NOTHING if found is None and question.is_by_words else found
        self._matches.move_to_end(key)
        if len(self._matches) > _JUDGES:
            self._matches.popitem(last=False)
        return self._matches[key]

    def _embedded(self, engine: QueryEngine, ids: Ids) -> Ids:
        """Those of ``ids`` that the index holds: its encoder may be behind another one."""
        index, change = engine.index, self._change
        if self._present is None or self._present[0] != change:
            self._present = change, engine.reader.count()
        moments = engine.moments()
        if len(index) - (0 if moments is None else len(moments.ids)) == self._present[1]:
            return ids
        return held_by(index, ids)

    def _shrink(self, grown: KeptList) -> None:
        """Keep within the bytes that lists may take; only the size of ``grown`` has changed."""
        key = grown.name, grown.state
        with self._lock:
            if self._lists.get(key) is grown:
                self._bytes += grown.nbytes() - self._sizes.get(key, 0)
                self._sizes[key] = grown.nbytes()
            while self._bytes > MOST_BYTES and len(self._lists) > 1:
                oldest, _ = self._lists.popitem(last=False)
                self._bytes -= self._sizes.pop(oldest, 0)

    def _forget_lists(self) -> None:
        self._lists.clear()
        self._folded.clear()
        self._sizes.clear()
        self._bytes = 0


def _name(question: Question, where: Filter, fingerprint: str) -> str:
    fields = {name: getattr(question.fields, name) for name in _DECIDE}
    asked = (question.terms, question.uploads, question.more, question.less, question.left_out)
    return digest(asked, where, fingerprint, fields)


def _state(change: int, selection: Selection | None, matches: Matches | None) -> int:
    if selection is None and matches is None:
        return change
    selected = None if selection is None else selection.ids.tobytes()
    return int(digest(change, selected, None if matches is None else matches.ranked.tobytes())[:12], 16)


_DECIDE = tuple(name for name in ListFields.model_fields if name not in FilterFields.model_fields)
"""The fields that decide a list, except the filter."""

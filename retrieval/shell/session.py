"""The state of a shell session: the query, its hits, and the feedback on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from retrieval.errors import QueryError
from retrieval.search.feedback import judged
from retrieval.search.pages import Listing, browse
from retrieval.search.query import Query, Term
from retrieval.shell.lines import hit_term

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.filters import Filter
    from retrieval.search.engine import QueryEngine
    from retrieval.search.hits import Hit

MAX_DEPTH = 10_000


class _Listed(NamedTuple):
    """A listing of pictures without a query."""

    where: Filter | None
    k: int


class Session:
    """A conversation with a gallery. Every method that searches returns the hits to display.

    Args:
        engine: the gallery.
        k: number of hits at a time.

    Attributes:
        where: the filter of all searches; set it to change it.
        shown: hits so far, in order of rank; hit numbers given by users are these ranks.
    """

    def __init__(self, engine: QueryEngine, k: int = 10) -> None:
        self.engine = engine
        self.k = k
        self.where: Filter | None = None
        self.shown: list[Hit] = []
        self._query: Query | None = None
        self._listed: _Listed | None = None
        self._direction: Vectors | None = None
        self._leave_out: int | None = None
        self._relevant: dict[int, None] = {}
        self._not_relevant: dict[int, None] = {}

    def ask(self, terms: Sequence[Term], where: Filter | None = None, k: int | None = None) -> list[Hit]:
        """A new query; earlier feedback is discarded. ``where`` replaces the session's filter for this query.

        Without terms, pictures are listed, newest first.
        """
        if not terms:
            return self._list(_Listed(where or self.where, k or self.k))
        return self._start(Query(tuple(terms), where=where or self.where, k=k or self.k))

    def similar(self, number: int) -> list[Hit]:
        """Pictures that look like a hit, without the hit itself."""
        image_id = self.hit(number).image.id
        return self._start(Query((hit_term(image_id),), where=self.where, k=self.k), leave_out=image_id)

    def more(self) -> list[Hit]:
        """The next hits; none if there are no others."""
        found = self._ranked(len(self.shown) + self._asked().k)
        new = found[len(self.shown) :]
        self.shown += new
        return new

    def judge(self, relevant: Sequence[int] = (), not_relevant: Sequence[int] = ()) -> list[Hit]:
        """Search again, towards some of the hits shown and away from others (see :mod:`retrieval.search.feedback`).

        Feedback accumulates until the next query. Hits judged not relevant are not shown again.
        """
        asked = self._asked()
        good = [self.hit(number).image.id for number in relevant]
        bad = [self.hit(number).image.id for number in not_relevant]
        if isinstance(asked, _Listed):  # there was no query: the liked pictures become the query
            if not good:
                raise QueryError("there is no search yet", "like a picture, or type a query: a red bird")
            self._start(Query(tuple(map(hit_term, good)), where=asked.where, k=asked.k))
        for ids, into, out_of in (
            (good, self._relevant, self._not_relevant),
            (bad, self._not_relevant, self._relevant),
        ):
            for image_id in ids:
                into[image_id] = None
                out_of.pop(image_id, None)
        return self._from_start()

    def filter(self, where: Filter | None, k: int | None = None) -> list[Hit]:
        """Change the filter of this and all later searches; the last query is repeated, if there is one."""
        if where is not None:
            self.engine.selection(where)  # refuses names that the gallery does not contain
        self.where, self.k = where, k or self.k
        if self._listed is not None:
            return self._list(_Listed(where, self.k))
        if self._query is None:
            return []
        self._query = Query(self._query.terms, where=where, k=self.k)
        return self._from_start()

    def reset(self) -> None:
        """Discard everything except the number of hits at a time."""
        self.where, self.shown, self._query, self._direction, self._leave_out = None, [], None, None, None
        self._listed = None
        self._relevant, self._not_relevant = {}, {}

    def hit(self, number: int) -> Hit:
        """The hit that was shown with this rank.

        Raises:
            QueryError: there is no such hit.
        """
        if not 1 <= number <= len(self.shown):
            last = f"they go from 1 to {len(self.shown)}" if self.shown else "search first"
            raise QueryError(f"there is no hit number {number}", last)
        return self.shown[number - 1]

    @property
    def query(self) -> Query | None:
        """The last query with its filter; None at first, and if pictures were only listed."""
        return self._query

    @property
    def is_asked(self) -> bool:
        """True if there is a query or listing to which a filter can be applied."""
        return (self._query or self._listed) is not None

    @property
    def asked_where(self) -> Filter | None:
        """The filter of the last query or listing."""
        asked = self._query or self._listed
        return None if asked is None else asked.where

    def _list(self, listed: _Listed) -> list[Hit]:
        if listed.where is not None:
            self.engine.selection(listed.where)  # may fail, so before the state changes
        self._query, self._direction, self._leave_out, self._listed = None, None, None, listed
        self._relevant, self._not_relevant = {}, {}
        return self._from_start()

    def _start(self, query: Query, leave_out: int | None = None) -> list[Hit]:
        direction = self.engine.direction(query)  # may fail, so before the state changes
        if query.where is not None:
            self.engine.selection(query.where)  # likewise
        self._query, self._direction, self._leave_out, self._listed = query, direction, leave_out, None
        self._relevant, self._not_relevant = {}, {}
        return self._from_start()

    def _asked(self) -> Query | _Listed:
        asked = self._query or self._listed
        if asked is None:
            raise QueryError("there is no search yet", "type a query: a red bird")
        return asked

    def _from_start(self) -> list[Hit]:
        self.shown = self._ranked(self._asked().k)
        return list(self.shown)

    def _ranked(self, count: int) -> list[Hit]:
        """The first ``count`` hits, without those that were judged not relevant."""
        query, direction = self._asked(), self._direction
        if isinstance(query, _Listed):
            return list(browse(self.engine, query.where, Listing(), min(count, MAX_DEPTH)).hits)
        assert direction is not None
        direction = judged(self.engine, direction, tuple(self._relevant), tuple(self._not_relevant))
        asked = min(count + len(self._not_relevant), MAX_DEPTH)
        hits = self.engine.ranked(direction, replace(query, k=asked), leave_out=self._leave_out)
        kept = [hit for hit in hits if hit.image.id not in self._not_relevant][:count]
        return [replace(hit, rank=rank) for rank, hit in enumerate(kept, start=1)]

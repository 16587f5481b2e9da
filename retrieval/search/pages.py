"""Lists of hits as people ask for them: only what is relevant, in another order, without bursts, page by page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from retrieval.errors import QueryError
from retrieval.folding import fold
from retrieval.search.cursor import Cursor, digest, read_cursor
from retrieval.search.skipped import Skipped

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.filters import Filter
    from retrieval.search.engine import Hit, QueryEngine
    from retrieval.search.query import Query
    from retrieval.search.relevance import Judge

logger = logging.getLogger("photoseek")

H = TypeVar("H")

Sort = Literal["score", "date", "name"]

MAX_DEPTH = 10_000
"""How far down a list can be read: the index, the records and a look at each file cost in proportion to that."""

MAX_MINUTES = 7 * 24 * 60
_FIRST = 128  # neighbours that are looked at first where all that qualify are wanted
_NEAREST = 10  # one of these has to be relevant; so many were looked at of each search without an answer


@dataclass(frozen=True)
class Listing:
    """How the hits of a query are listed. Which they are says the query, whose ``k`` is the size of a page.

    Args:
        relevant: only hits that answer a search by words (:mod:`retrieval.search.relevance`).
        sort: ``score``; ``date``, newest first (by the moment, across time zones); ``name`` of the file, then its
            folder. What has no date comes last.
            With ``relevant`` or the query's ``min_score`` all hits that qualify are sorted, otherwise the best ``k``.
            Ties are in the order of ids.
        reverse: the other way round; what has no date still comes last.
        page: from 1; None is the first.
        cursor: ``next`` of the page before, in place of ``page``.
        group_minutes: of pictures of one scene taken within so many minutes only the best is listed, with the number
            of the others in ``burst`` (:mod:`retrieval.search.bursts`).

    Raises:
        QueryError: values that cannot be.
    """

    relevant: bool = False
    sort: str = "score"
    reverse: bool = False
    page: int | None = None
    cursor: str | None = None
    group_minutes: float | None = None

    def __post_init__(self) -> None:
        if self.sort not in get_args(Sort):
            raise QueryError(f"cannot sort by {self.sort!r}", f"use one of {', '.join(get_args(Sort))}")
        if self.page is not None and self.page < 1:
            raise QueryError(f"there is no page {self.page}", "pages are counted from 1")
        if self.cursor is not None and self.page is not None:
            raise QueryError("a page and a cursor were both given", "give one of them")
        if self.group_minutes is not None and not 0 < self.group_minutes <= MAX_MINUTES:
            raise QueryError(
                f"a burst of {self.group_minutes} minutes makes no sense", f"give minutes from 0 to {MAX_MINUTES:,}"
            )

    def is_plain(self) -> bool:
        """True if this is what :meth:`QueryEngine.search` gives."""
        return self == Listing()


@dataclass(frozen=True)
class Page:
    """A part of a list of hits.

    Attributes:
        hits: their ranks are places in the whole list.
        next: the cursor of the page after this one; None on the last.
        total: hits in the whole list, where all that qualify were looked for.
        nearest: score of the nearest picture where none was relevant; else None.
    """

    hits: tuple[Hit, ...]
    next: str | None = None
    total: int | None = None
    nearest: float | None = None


def find_page(engine: QueryEngine, query: Query, listing: Listing, *, leave_out: int | None = None) -> Page:
    """A page of the hits of a query.

    The pages of one list never overlap and leave nothing out: page n ends where page n + 1 begins, by rank, and a
    cursor notices that the gallery changed. A page of depth d costs a search for d neighbours, so depth is bounded by
    :data:`MAX_DEPTH`.

    Args:
        leave_out: the id of an image that is not listed: the one that others are to be similar to.

    Raises:
        QueryError: as the engine; deeper than :data:`MAX_DEPTH`; a cursor of something else; pages of the sorted best
            ``k``, of which there is only one; ``relevant`` with pictures in the query.
        PageExpired: the gallery changed since the page that the cursor is from.
    """
    is_sorted = listing.sort != "score" or listing.reverse
    whole = listing.relevant or (is_sorted and query.min_score is not None)
    if is_sorted and not whole and ((listing.page or 1) > 1 or listing.cursor is not None):
        raise QueryError("only the best hits are sorted, so there is one page", "add --relevant or --min-score")
    ranking = _Ranking(engine, query, listing, leave_out)
    change = engine.reader.change()
    question = ranking.question()
    cursor = None if listing.cursor is None else read_cursor(listing.cursor, question, change)
    offset = ((listing.page or 1) - 1) * query.k if cursor is None else cursor.offset
    if offset + query.k > MAX_DEPTH:
        raise QueryError(f"a list is read down to {MAX_DEPTH:,} hits", "narrow it with a filter or --min-score")
    if whole:
        hits = ranking.everything()
    else:
        hits = ranking.first(query.k if is_sorted else offset + query.k + 2)
        hits = hits[: query.k] if is_sorted else hits
    ranking.skipped.warn()
    hits = _in_order(hits, listing)
    start = _start(hits, cursor, offset)
    shown = tuple(replace(hit, rank=start + at + 1) for at, hit in enumerate(hits[start : start + query.k]))
    after = start + len(shown)
    more = after < len(hits) and after + query.k <= MAX_DEPTH
    return Page(
        shown,
        Cursor(after, shown[-1].image.id, question, change).text() if more and shown else None,
        len(hits) if whole else None,
        None if hits else ranking.nearest,
    )


def all_that_qualify(
    nearest: Callable[[int], tuple[Sequence[H], bool]],
    qualifying: Callable[[Sequence[H]], Sequence[H]] | None = None,
    most: int = MAX_DEPTH,
) -> tuple[list[H], bool]:
    """Every hit that qualifies, best first, and whether there may be more because the search ended at ``most``.

    Relevance falls with the score on the whole, not from hit to hit. So if one of the nearest is relevant, neighbours
    are looked at until a further half of them holds none.

    Args:
        nearest: the best ``count`` hits, and whether there are no others.
        qualifying: those of some hits that qualify; None: all of them do.
        most: how many neighbours are looked at.
    """
    depth, checked = min(_FIRST if qualifying is None else _NEAREST, most), 0
    kept: list[H] = []
    while True:
        hits, complete = nearest(depth)
        new = hits[checked:] if qualifying is None else qualifying(hits[checked:])
        kept, checked = [*kept, *new], len(hits)
        if complete or (qualifying is not None and not new):
            return kept, False
        if depth == most:
            return kept, True
        depth = min(max(_FIRST, 2 * depth), most)


class _Ranking:
    """One query's hits, best first, as far down as they are wanted."""

    def __init__(self, engine: QueryEngine, query: Query, listing: Listing, leave_out: int | None) -> None:
        self._engine, self._query, self._listing, self._leave_out = engine, query, listing, leave_out
        self._direction: Vectors = engine.direction(query)
        self._judge: Judge | None = None
        if listing.relevant:
            from retrieval.search.relevance import Judge

            self._judge = Judge(engine, query, self._direction)
        self.nearest: float | None = None
        self.skipped = Skipped()

    def question(self) -> str:
        """Everything that decides the list, apart from the pictures."""
        where, listing = self._query.where, self._listing
        selected = b"" if where is None or where.is_empty() else self._engine.selection(where).ids.tobytes()
        return digest(
            self._query.terms, where, digest(selected), self._query.min_score, self._leave_out,
            self._engine.encoder_row.fingerprint, replace(listing, page=None, cursor=None),
        )  # fmt: skip

    def first(self, count: int) -> list[Hit]:
        """The best ``count`` hits, fewer if there are not so many."""
        grouped = self._listing.group_minutes is not None
        depth = min(2 * count if grouped else count, MAX_DEPTH)
        while True:
            hits, complete = self._neighbours(depth, self._query.where, self._query.min_score)
            present = Skipped().present(hits)
            listed = self._grouped(present) if grouped else present
            if len(listed) >= count or complete or depth == MAX_DEPTH:
                break
            depth = min(2 * depth, MAX_DEPTH)
        listed = listed[:count]
        lowest = listed[-1].score if len(listed) == count else -2.0
        self.skipped.present(hit for hit in hits if hit.score >= lowest)
        return listed

    def everything(self) -> list[Hit]:
        """All hits that qualify.

        Which pictures are relevant is decided in the whole gallery, and a filter then keeps some of them: counts under
        a filter add up to the count without it.
        """
        kept, capped = self._walk(self._query.where if self._judge is None else None)
        allowed = self._allowed()
        if self._judge is not None and allowed is not None:
            if capped:
                kept, capped = self._walk(self._query.where)
            kept = [hit for hit in kept if hit.image.id in allowed]
        if capped:
            logger.warning("more than %d pictures qualify; the best of them are listed", MAX_DEPTH)
        kept = self.skipped.present(kept)
        if not kept:
            near = Skipped().present(self._neighbours(_NEAREST, self._query.where, self._query.min_score)[0])
            self.nearest = near[0].score if near else None
        return kept if self._listing.group_minutes is None else self._grouped(kept)

    def _walk(self, where: Filter | None) -> tuple[list[Hit], bool]:
        """Everything that qualifies among what passes ``where``, and whether there may be more."""
        return all_that_qualify(
            lambda count: self._neighbours(count, where, self._query.min_score),
            self._qualifying if self._judge else None,
        )

    def _qualifying(self, hits: Sequence[Hit]) -> list[Hit]:
        assert self._judge is not None
        return [hit for hit in self._judge.judged(hits) if (hit.relevance or 0.0) >= self._judge.cut]

    def _neighbours(self, count: int, where: Filter | None, min_score: float | None) -> tuple[list[Hit], bool]:
        """The nearest pictures, also those whose files are gone, and whether there are no others."""
        query = replace(self._query, k=min(count, MAX_DEPTH), where=where, min_score=min_score)
        hits = self._engine.neighbours(self._direction, query, leave_out=self._leave_out)
        return hits, len(hits) < query.k

    def _allowed(self) -> frozenset[int] | None:
        """The ids that pass the filter; None for every picture."""
        where = self._query.where
        if where is None or where.is_empty():
            return None
        return frozenset(self._engine.selection(where).ids.tolist())

    def _grouped(self, hits: Sequence[Hit]) -> list[Hit]:
        """What stands for itself or a burst; of a burst's others, those that pass the filter are counted."""
        from retrieval.search.bursts import Scenes

        minutes = self._listing.group_minutes or 0.0
        reader, row = self._engine.reader, self._engine.encoder_row
        return Scenes(reader, row, minutes, self._allowed(), leave_out=self._leave_out).grouped(hits)


def _in_order(hits: list[Hit], listing: Listing) -> list[Hit]:
    """Hits that come best first, in the order that was asked for."""
    if listing.sort == "score":
        return sorted(hits, key=lambda hit: (hit.score, hit.image.id)) if listing.reverse else hits
    if listing.sort == "name":
        return sorted(sorted(hits, key=lambda hit: hit.image.id), key=_name, reverse=listing.reverse)
    dated = sorted((hit for hit in hits if hit.image.taken_at is not None), key=lambda hit: hit.image.id)
    undated = sorted((hit for hit in hits if hit.image.taken_at is None), key=lambda hit: hit.image.id)
    return sorted(dated, key=_moment, reverse=not listing.reverse) + undated


def _start(hits: Sequence[Hit], cursor: Cursor | None, offset: int) -> int:
    """Where a page begins: after the hit that the page before ended with, also if files before it changed since."""
    if cursor is None:
        return offset
    return next((at + 1 for at, hit in enumerate(hits) if hit.image.id == cursor.last), offset)


def _name(hit: Hit) -> tuple[str, str]:
    path = Path(hit.image.path)
    return fold(path.name), hit.image.path


def _moment(hit: Hit) -> int:
    return hit.image.taken_instant or 0

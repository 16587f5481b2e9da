"""Lists of hits: relevance, order, bursts, pages."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from retrieval.catalog.shots import LivePairs, RawPairs
from retrieval.errors import QueryError
from retrieval.folding import fold
from retrieval.search.cursor import Cursor, digest, read_cursor
from retrieval.search.hits import Hit, Skipped
from retrieval.search.orders import Orders
from retrieval.search.ranked import Recipe
from retrieval.search.ranked_list import RankedList
from retrieval.search.ranking import MAX_DEPTH, Ranking, VerifiedRanking

if TYPE_CHECKING:
    from indexes.base import Ids
    from retrieval.filters import Filter
    from retrieval.search.engine import QueryEngine
    from retrieval.search.lexical import Matches
    from retrieval.search.query import Query

logger = logging.getLogger("photoseek")

Sort = Literal["score", "date", "name"]

MAX_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class Listing:
    """How the hits of a query are listed. The query decides which hits, and its ``k`` is the size of a page.

    Args:
        relevant: only hits that answer a search by words (:mod:`retrieval.search.relevance`).
        sort: ``score``; ``date``, newest first (by the moment, across time zones); ``name`` of the file, then its
            folder. Pictures without a date come last.
            With ``relevant`` or the query's ``min_score`` all hits that qualify are sorted, otherwise the best ``k``.
            Ties are in the order of ids.
        reverse: the other way round; pictures without a date still come last.
        page: from 1; None is the first.
        cursor: ``next`` of the page before, in place of ``page``.
        group_minutes: of pictures of one scene taken within this many minutes only the best is listed, with the number
            of the others in ``burst`` (:mod:`retrieval.search.bursts`).
        raw_pairs: of a shot stored as RAW and as JPEG, one hit is listed: its JPEG, or with ``raw`` its RAW.
            ``both`` is ``jpeg`` with the other file named beside it (:mod:`retrieval.search.shots`).
        live_pairs: of a live photo, its still picture is listed, with ``both`` its video is named beside it.

    Raises:
        QueryError: impossible values.
    """

    relevant: bool = False
    sort: str = "score"
    reverse: bool = False
    page: int | None = None
    cursor: str | None = None
    group_minutes: float | None = None
    raw_pairs: RawPairs = "both"
    live_pairs: LivePairs = "both"

    def __post_init__(self) -> None:
        if self.raw_pairs not in get_args(RawPairs):
            raise QueryError(f"cannot show {self.raw_pairs!r} of RAW and JPEG", f"use {', '.join(get_args(RawPairs))}")
        if self.live_pairs not in get_args(LivePairs):
            raise QueryError(f"cannot show {self.live_pairs!r} of live photos", f"use {', '.join(get_args(LivePairs))}")
        if self.sort not in get_args(Sort):
            raise QueryError(f"cannot sort by {self.sort!r}", f"use one of {', '.join(get_args(Sort))}")
        if self.page is not None and self.page < 1:
            raise QueryError(f"there is no page {self.page}", "pages are counted from 1")
        if self.cursor is not None and self.page is not None:
            raise QueryError("a page and a cursor were both given", "give one of them")
        if self.group_minutes is not None and not 0 < self.group_minutes <= MAX_MINUTES:
            raise QueryError(
                f"a burst of {self.group_minutes} minutes is not possible", f"give minutes from 0 to {MAX_MINUTES:,}"
            )

    def is_plain(self) -> bool:
        """True if the list equals that of :meth:`QueryEngine.search`."""
        return self == Listing()


@dataclass(frozen=True)
class Page:
    """A part of a list of hits.

    Attributes:
        hits: their ranks are positions in the whole list.
        next: the cursor of the page after this one; None on the last.
        total: hits in the whole list, if all that qualify were searched for.
        nearest: score of the nearest picture if none was relevant; else None.
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
        leave_out: the id of an image that is not listed: the one that the others should be similar to.

    Raises:
        QueryError: as the engine; deeper than :data:`MAX_DEPTH`; a cursor of something else; pages of the sorted best
            ``k``, of which there is only one; ``relevant`` with pictures in the query.
        PageExpired: the gallery changed since the page that the cursor is from.
    """
    is_sorted = listing.sort != "score" or listing.reverse
    whole = listing.relevant or (is_sorted and query.min_score is not None)
    if is_sorted and not whole and ((listing.page or 1) > 1 or listing.cursor is not None):
        raise QueryError("only the best hits are sorted, so there is only one page", "add --relevant or --min-score")
    if listing.relevant:
        from retrieval.search.relevance import check_words_only  # other lists do not need it

        check_words_only(query)
    if query.is_by_words:
        return _by_words(engine, query, listing)
    direction, allowed = engine.direction(query), _allowed(engine, query.where, listing)
    matches = None if leave_out is not None else engine.matches(query.terms, allowed, query.only)
    asked = (query.terms, query.min_score, leave_out, query.only, _digest(matches))
    place = _place(engine, query.where, allowed, listing, query.k, asked)
    if place.offset + query.k > MAX_DEPTH:
        raise QueryError(f"a list is limited to {MAX_DEPTH:,} hits", "narrow it with a filter or --min-score")
    left_out = () if leave_out is None else engine.with_mates([leave_out])
    ranking: Ranking = VerifiedRanking(
        engine.index, direction, allowed, left_out, engine.nearest, moments=engine.moments()
    )
    if matches is not None:
        from retrieval.search.fused import fused

        ranking = fused(ranking, matches)
    found = _Found(engine, _recipe(engine, query, listing, ranking, whole=whole))
    if whole:
        hits = found.hits(MAX_DEPTH)
    else:
        wanted = query.k if is_sorted else place.offset + query.k + 2
        hits = [hit for hit in found.hits(wanted) if query.min_score is None or hit.score >= query.min_score]
    found.warn()
    total = len(hits) if whole else None
    nearest = found.nearest(query.min_score) if whole and not hits else None
    return place.page(_in_order(hits, listing), query.k, total, nearest, most=MAX_DEPTH)


def _by_words(engine: QueryEngine, query: Query, listing: Listing) -> Page:
    """A page of a query's word matches, whatever the pictures show: best first, unless sorted otherwise.

    Their scores are NaN.
    """
    if listing.relevant:
        raise QueryError("relevance is judged by what pictures show", "omit --relevant or --only")
    allowed = _allowed(engine, query.where, listing)
    matches = engine.matches(query.terms, allowed, query.only)
    if matches is None:
        return Page((), total=0)
    return _unscored(engine, query.where, allowed, listing, query.k, matches, (query.terms, query.only))


def _digest(matches: Matches | None) -> str | None:
    """Labels decide a list, but changing them does not count as a change of the gallery."""
    return None if matches is None else digest(matches.ranked.tobytes())


def browse(engine: QueryEngine, where: Filter | None, listing: Listing, k: int) -> Page:
    """A page of the pictures that pass a filter, without a query: newest first, or by name.

    Their scores are NaN. Files that are missing or changed are skipped, counted and reported, as in a search.

    Args:
        k: the size of a page.

    Raises:
        QueryError: ``relevant``, although there is no query; a cursor of something else; names that are not in the
            gallery.
        PageExpired: the gallery changed since the page that the cursor is from.
    """
    if listing.relevant:
        raise QueryError("without a query nothing can be relevant", "give a query, or omit --relevant")
    return _unscored(engine, where, _allowed(engine, where, listing), listing, k)


def _unscored(
    engine: QueryEngine,
    where: Filter | None,
    allowed: Ids | None,
    listing: Listing,
    k: int,
    matches: Matches | None = None,
    asked: Sequence[object] = (),
) -> Page:
    """A page of a list that does not depend on cosines."""
    place = _place(engine, where, allowed, listing, k, (*asked, _digest(matches)) if asked else ())
    order = _Order(listing.sort, listing.reverse, group_minutes=listing.group_minutes)
    found = _Found(engine, Recipe(order, None, allowed, engine.encoder_row, look=engine.look, matches=matches))
    hits = found.hits(place.offset + k + 1)
    found.warn()
    page = place.page(hits, k, None, None)
    return page if page.next else replace(page, total=len(hits))


@dataclass(frozen=True)
class _Order:
    """See :class:`.ranked.Order`."""

    sort: str = "score"
    reverse: bool = False
    relevant: bool = False
    min_score: float | None = None
    group_minutes: float | None = None


def _recipe(engine: QueryEngine, query: Query, listing: Listing, ranking: Ranking, *, whole: bool) -> Recipe:
    """Best first, whatever the order: a list is sorted by the records of its hits, which are read anyway. Only a
    long-running process benefits from the order of all pictures."""
    relevant = None
    if listing.relevant:
        from retrieval.search.calibration import calibration_of
        from retrieval.search.relevant import Relevant

        relevant = Relevant(replace(ranking.by_cosine, allowed=None), calibration_of(engine), engine.encoder_row)
    lowest = query.min_score if whole else None
    order = _Order(relevant=listing.relevant, min_score=lowest, group_minutes=listing.group_minutes)
    return Recipe(order, ranking, ranking.allowed, engine.encoder_row, relevant, engine.look, is_counted=whole)


def _allowed(engine: QueryEngine, where: Filter | None, listing: Listing) -> Ids | None:
    """(n,) ids that pass the filter, one of each shot; None for every picture."""
    narrowed = engine.narrowed(where, listing.raw_pairs)
    return None if narrowed is None else narrowed.ids


class _Found:
    """A list that is read once, as hits."""

    def __init__(self, engine: QueryEngine, recipe: Recipe) -> None:
        self._reader, self._recipe = engine.reader, recipe
        self._list = RankedList(recipe, Orders())
        self._skipped = Skipped()

    def hits(self, count: int) -> list[Hit]:
        """The first ``count`` hits, or fewer if there are not so many."""
        content, records = self._list.part(self._reader, 0, count)
        if (ranking := self._recipe.ranking) is not None and ranking.moments is not None:
            from retrieval.search.moments import at_best_moments  # most galleries have no videos

            records = at_best_moments(self._reader, self._recipe.row, ranking.direction, records)
        ids = [record.id for record in records]
        scores = self._list.scores(content, ids, 0)
        relevance = [None] * len(ids) if content.relevance is None else content.relevance[: len(ids)].tolist()
        burst = [0] * len(ids) if content.burst is None else content.burst[: len(ids)].tolist()
        found = [
            Hit(
                rank, scores.get(record.id, math.nan), record, "same", how_relevant, others,
                reason=self._recipe.reason(record.id),
            )
            for rank, (record, how_relevant, others) in enumerate(zip(records, relevance, burst, strict=True), 1)
        ]  # fmt: skip
        if content.is_capped and self._recipe.is_counted:
            logger.warning("more than %d pictures qualify; the best of them are listed", MAX_DEPTH)
        self._count_skipped(found[-1] if len(found) == count else None)
        return found

    def _count_skipped(self, last: Hit | None) -> None:
        """Count the absent pictures that would come before ``last``; without it, all absent pictures seen."""
        absent, ranking = self._list.absent, self._recipe.ranking
        if last is not None and ranking is not None and ranking.by_cosine is ranking:
            scores = ranking.scores_of(list(absent))
            absent = {image_id: state for image_id, state in absent.items() if scores.get(image_id, 2.0) >= last.score}
        elif last is not None:
            behind = self._list.behind(last.image.id)
            absent = {image_id: state for image_id, state in absent.items() if image_id not in behind}
        for image_id, state in absent.items():
            self._skipped.add(image_id, state)

    def nearest(self, lowest: float | None) -> float | None:
        """The score of the nearest present picture, if none qualified but some are not below ``lowest``."""
        plain = replace(self._recipe, fields=_Order(), relevant=None)
        content, records = RankedList(plain, Orders()).part(self._reader, 0, 1)
        if not records or content.scores is None or (lowest is not None and content.scores[0] < lowest):
            return None
        return float(content.scores[0])

    def warn(self) -> None:
        """Report the skipped pictures."""
        self._skipped.warn()


@dataclass(frozen=True)
class _Place:
    """Where a page begins: after the last hit of the page before, even if files before it changed since."""

    offset: int
    cursor: Cursor | None
    question: str
    change: int

    def page(
        self, hits: Sequence[Hit], k: int, total: int | None, nearest: float | None, most: int | None = None
    ) -> Page:
        """The page of the list that begins with ``hits``."""
        start = self.offset
        if self.cursor is not None:
            last = self.cursor.last
            start = next((at + 1 for at, hit in enumerate(hits) if hit.image.id == last), start)
        shown = tuple(replace(hit, rank=start + at + 1) for at, hit in enumerate(hits[start : start + k]))
        after = start + len(shown)
        more = after < len(hits) and (most is None or after + k <= most) and bool(shown)
        following = Cursor(after, shown[-1].image.id, self.question, self.change).text() if more else None
        return Page(shown, following, total, nearest)


def _place(
    engine: QueryEngine,
    where: Filter | None,
    allowed: Ids | None,
    listing: Listing,
    k: int,
    asked: Sequence[object] = (),
) -> _Place:
    """Read the cursor or the page number. The question is everything that decides the list, except the pictures."""
    change = engine.reader.change()
    selected = "" if allowed is None else digest(allowed.tobytes())
    fingerprint = engine.encoder_row.fingerprint
    question = digest(asked, where, selected, fingerprint, replace(listing, page=None, cursor=None))
    cursor = None if listing.cursor is None else read_cursor(listing.cursor, question, change)
    return _Place(((listing.page or 1) - 1) * k if cursor is None else cursor.offset, cursor, question, change)


def _in_order(hits: list[Hit], listing: Listing) -> list[Hit]:
    """Hits that come best first, in the requested order.

    Sorts the records at hand: the orders of all pictures in :mod:`.orders`, which a server keeps, would cost a
    single command a pass over the whole catalog.
    """
    if listing.sort == "score" and hits and hits[0].reason is not None:
        return hits[::-1] if listing.reverse else hits
    if listing.sort == "score":
        return sorted(hits, key=lambda hit: (hit.score, hit.image.id)) if listing.reverse else hits
    if listing.sort == "name":
        return sorted(sorted(hits, key=lambda hit: hit.image.id), key=_name, reverse=listing.reverse)
    dated = sorted((hit for hit in hits if hit.image.taken_at is not None), key=lambda hit: hit.image.id)
    undated = sorted((hit for hit in hits if hit.image.taken_at is None), key=lambda hit: hit.image.id)
    return sorted(dated, key=_moment, reverse=not listing.reverse) + undated


def _name(hit: Hit) -> tuple[str, str]:
    path = Path(hit.image.path)
    return fold(path.name), hit.image.path


def _moment(hit: Hit) -> tuple[str, int]:
    return (hit.image.taken_text() or "")[: len("2023-12-24")], hit.image.taken_instant or 0

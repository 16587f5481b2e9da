"""Lists without anything to look for: the pictures that pass a filter, by date or by name, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from retrieval.errors import QueryError
from retrieval.search.cursor import Cursor, digest, read_cursor
from retrieval.search.orders import in_order, restricted
from retrieval.search.pages import MAX_DEPTH, Listing, Page
from retrieval.search.skipped import Skipped

if TYPE_CHECKING:
    from indexes.base import Ids
    from retrieval.filters import Filter
    from retrieval.search.engine import Hit, QueryEngine

_AT_ONCE = 512


def browse(engine: QueryEngine, where: Filter | None, listing: Listing, k: int) -> Page:
    """A page of the pictures that pass a filter: newest first, or by name. Their scores are NaN.

    Files that are missing or changed are skipped, counted and told, as in a search.

    Args:
        k: how many there are on a page.

    Raises:
        QueryError: ``relevant``, without anything to be relevant to; a cursor of something else; names that the
            gallery does not hold.
        PageExpired: the gallery changed since the page that the cursor is from.
    """
    if listing.relevant:
        raise QueryError("without words nothing can be relevant", "say what to look for, or leave out --relevant")
    allowed = None if where is None or where.is_empty() else engine.selection(where).ids
    ids = in_order(engine.reader, "name" if listing.sort == "name" else "date", listing.reverse)
    if allowed is not None:
        ids = restricted(ids, allowed)
    change = engine.reader.change()
    selected = "" if allowed is None else digest(allowed.tobytes())
    question = digest(where, selected, replace(listing, page=None, cursor=None))
    cursor = None if listing.cursor is None else read_cursor(listing.cursor, question, change)
    first = ((listing.page or 1) - 1) * k if cursor is None else cursor.offset
    skipped = Skipped()
    if listing.group_minutes is not None:
        hits: Iterator[Hit] = iter(_scenes(engine, ids.tolist(), listing.group_minutes, allowed, skipped))
    else:
        hits = _present(engine, ids.tolist(), skipped)
    before = list(islice(hits, first))
    if cursor is not None:  # after the hit that the page before ended with, also if files before it are gone now
        ends = next((at + 1 for at, hit in enumerate(before) if hit.image.id == cursor.last), len(before))
        hits = chain(before[ends:], hits)
        del before[ends:]
    shown = list(islice(hits, k))
    more = next(hits, None) is not None
    skipped.warn()
    ranked = tuple(replace(hit, rank=rank) for rank, hit in enumerate(shown, len(before) + 1))
    after = len(before) + len(ranked)
    following = Cursor(after, ranked[-1].image.id, question, change).text() if more and ranked else None
    return Page(ranked, following, None if more else after)


def _present(engine: QueryEngine, ids: Sequence[int], skipped: Skipped) -> Iterator[Hit]:
    """The pictures whose files are the ones that were indexed; a few at a time, since each costs a look at the disk."""
    for start in range(0, len(ids), _AT_ONCE):
        for hit in engine.hits_of(ids[start : start + _AT_ONCE]):
            if hit.on_disk == "same":
                yield hit
            else:
                skipped.add(hit.image.id, hit.on_disk)


def _scenes(
    engine: QueryEngine, ids: Sequence[int], minutes: float, allowed: Ids | None, skipped: Skipped
) -> list[Hit]:
    from retrieval.search.bursts import Scenes

    some = None if allowed is None else frozenset(allowed.tolist())
    return Scenes(engine.reader, engine.encoder_row, minutes, some).grouped(
        list(islice(_present(engine, ids, skipped), MAX_DEPTH))
    )

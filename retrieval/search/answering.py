"""From query vectors to hits: neighbours, fused with the word matches, as pictures whose files are unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retrieval.search.hits import Hit, Skipped, best_hits

if TYPE_CHECKING:
    from indexes.base import Ids, Neighbours, Vectors
    from retrieval.catalog.records import ImageRecord, OnDisk
    from retrieval.search.engine import QueryEngine
    from retrieval.search.fused import FusedMany
    from retrieval.search.query import Query


def hits_of(
    engine: QueryEngine,
    vectors: Vectors,
    queries: Sequence[Query],
    skipped: Skipped,
    *,
    leave_out: int | None = None,
) -> list[list[Hit]]:
    """The hits of queries, with vectors (q, dim), that differ only in their terms; and their lowest score.

    Args:
        skipped: counts the pictures whose files are missing or changed.
        leave_out: the id of an image that is not listed.
    """
    where, size = queries[0].where, len(engine.index)
    narrowed = engine.narrowed(where)
    allowed = None if narrowed is None else narrowed.ids

    def near(places: list[int], count: int) -> Neighbours:
        return engine.nearest(vectors[places], count, allowed)

    def look(ids: Sequence[int]) -> list[tuple[ImageRecord, OnDisk]]:
        return [(record, engine.look(record)) for record in engine.reader.records(ids)]

    total = size if allowed is None else len(allowed)
    left_out = () if leave_out is None else engine.with_mates([leave_out])
    fused = _fused(engine, vectors, queries, allowed)
    answers = best_hits(queries, total, near if fused is None else fused.near(near), look, skipped, left_out=left_out)
    if fused is not None:
        answers = fused.explained(answers)
    if engine.moments() is None:
        return answers
    from retrieval.search.moments import hits_at_moments

    return hits_at_moments(engine.reader, engine.encoder_row, vectors, answers)


def _fused(engine: QueryEngine, vectors: Vectors, queries: Sequence[Query], allowed: Ids | None) -> FusedMany | None:
    """The queries that have word matches; None if there are none, in which case nothing is loaded for them."""
    every = ((at, engine.matches(query.terms, allowed, query.only)) for at, query in enumerate(queries))
    found = {at: matches for at, matches in every if matches is not None}
    if not found:
        return None
    from retrieval.search.fused import FusedMany
    from retrieval.search.ranking import VerifiedRanking

    index = engine.index
    return FusedMany(
        {
            at: (VerifiedRanking(index, vectors[at : at + 1], allowed, (), engine.nearest), matches)
            for at, matches in found.items()
        }
    )

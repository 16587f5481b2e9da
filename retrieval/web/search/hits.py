"""A slice of a list as JSON: records, state of the files, and relevance where it is known."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retrieval.paths import as_text
from retrieval.search.english import english_hint
from retrieval.search.ranked import Content
from retrieval.search.ranking import Neighbour
from retrieval.search.verified import check_scores
from retrieval.web.front.metrics import stage
from retrieval.web.search.kept_list import KeptList, Start, next_of
from retrieval.web.search.models import HitOut, QueryOut, SearchAnswer, SkippedOut, TermOut

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord, OnDisk


class Slice(NamedTuple):
    """The requested part of a list.

    Attributes:
        start: where it begins.
        k: how many ranks are in it.
        since: when the request came, of ``time.perf_counter``.
        upload: the id of the picture that came with the request.
    """

    start: Start
    k: int
    since: float
    upload: str | None = None


def answer(ranked: KeptList, wanted: Slice, reader: CatalogReader, content: Content) -> bytes:
    """JSON of a :class:`SearchAnswer`. On a reader's thread."""
    with stage("records"):
        start = wanted.start.within(content)
        if not start:
            ranked.look_again()
        content, records = ranked.part(reader, start, wanted.k)
        end = start + len(records)
        relevant = ranked.recipe.relevant
        relevant_total = _relevant_total(ranked, content, reader)
        return SearchAnswer(
            hits=hits_of(ranked, content, start, records, reader),
            total=content.total,
            total_is_capped=content.is_capped,
            offset=start,
            next=next_of(ranked, content, end) if end > start else None,
            query=_understood(ranked, relevant_total),
            cut=None if relevant is None else relevant.cut,
            relevant_total=relevant_total,
            nearest=content.nearest,
            skipped=_skipped(ranked),
            upload=wanted.upload,
            took_ms=round(1000 * (time.perf_counter() - wanted.since), 3),
            digest=ranked.name,
            change=ranked.change,
        ).model_dump_json(by_alias=True).encode()  # fmt: skip


def hits_of(
    ranked: KeptList,
    content: Content,
    start: int,
    records: Sequence[ImageRecord],
    reader: CatalogReader,
    *,
    judging: bool = True,
) -> list[HitOut]:
    """The hits of the ranks after ``start``.

    Args:
        records: of these ranks.
        judging: also where the list was not made by relevance.

    Raises:
        IndexDamaged: the catalog says something else of them than the saved index.
    """
    ids = [record.id for record in records]
    scores = ranked.scores(content, ids, start)
    if ranked.recipe.ranking is not None and reader.change() == ranked.change:  # otherwise embeddings may be newer
        ranking = ranked.recipe.ranking
        check_scores(ranking.index.spec, reader, ranked.recipe.row, ranking.direction, scores)
    relevance = _relevance(ranked, content, ids, scores, start, reader, judging)
    cut = None if ranked.recipe.relevant is None else ranked.recipe.relevant.cut
    found = []
    for rank, record in enumerate(records, start + 1):
        value = relevance.get(record.id)
        burst = 0 if content.burst is None else int(content.burst[rank - 1])
        is_relevant = None if value is None or cut is None else value >= cut
        found.append(hit_of(record, "same", rank, scores.get(record.id), value, is_relevant, burst))
    return found


def hit_of(
    record: ImageRecord,
    on_disk: OnDisk,
    rank: int,
    score: float | None = None,
    relevance: float | None = None,
    relevant: bool | None = None,
    burst: int = 0,
) -> HitOut:
    """A picture as the API shows it."""
    path = as_text(record.path)
    return HitOut.model_construct(
        id=record.id, rank=rank, score=None if score is None else round(score, 6),
        relevance=None if relevance is None else round(relevance, 4), relevant=relevant, burst=burst,
        name=os.path.basename(path), path=path, width=record.width, height=record.height,
        taken_at=record.taken_text(), camera=record.camera,
        latitude=record.latitude, longitude=record.longitude, format=record.format, bytes=record.size,
        colour=None if record.colour is None else f"#{record.colour:06x}",
        on_disk=on_disk, hash=record.content_hash.hex()[:16],
    )  # fmt: skip


def _relevance(
    ranked: KeptList,
    content: Content,
    ids: Sequence[int],
    scores: dict[int, float],
    start: int,
    reader: CatalogReader,
    judging: bool,
) -> dict[int, float]:
    if content.relevance is not None:
        return dict(zip(ids, content.relevance[start : start + len(ids)].tolist(), strict=True))
    relevant = ranked.recipe.relevant
    if relevant is None or not judging:
        return {}
    return relevant.judge([Neighbour(image_id, scores[image_id]) for image_id in ids], reader)


def _relevant_total(ranked: KeptList, content: Content, reader: CatalogReader) -> int | None:
    """How many pictures of the list answer the query; None if nobody knows, or they are too many to count."""
    recipe = ranked.recipe
    if content.relevant is not None:
        return content.relevant
    if recipe.relevant is None or recipe.ranking is None:
        return None
    found = recipe.relevant.among(recipe.ranking, reader)
    if found.is_capped:
        return None
    if recipe.is_plain:  # which holds every picture, but need not be made to its end
        return sum(image_id not in ranked.absent for image_id in found.ids.tolist())
    return int(np.count_nonzero(np.isin(content.ids, found.ids)))


def _skipped(ranked: KeptList) -> SkippedOut:
    states = list(ranked.absent.values())
    return SkippedOut(missing=states.count("missing"), changed=states.count("changed"))


def _understood(ranked: KeptList, relevant_total: int | None) -> QueryOut:
    question = ranked.question
    terms = [TermOut(kind="text" if term.kind == "text" else "id", value=str(term.value), weight=term.weight)
             for term in question.terms]  # fmt: skip
    terms += [TermOut(kind="upload", value=upload.id, weight=upload.weight) for upload in question.uploads]
    words = [term.value for term in terms if term.kind == "text" and term.weight > 0]
    return QueryOut(
        words=words,
        hint=english_hint(words, ranked.recipe.row.name, nothing_matches=relevant_total == 0) or None,
        terms=terms,
        filter=ranked.where.to_mapping(),
        unknown=ranked.unknown or None,
    )

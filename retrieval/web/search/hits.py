"""A part of a list as JSON: records, a look at each file, and relevance where it can be judged."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from retrieval.paths import as_text
from retrieval.search.pages import all_that_qualify
from retrieval.search.relevance import cut_of
from retrieval.web.front.metrics import stage
from retrieval.web.search.lists import RankedList, next_of
from retrieval.web.search.making import Content, judge
from retrieval.web.search.models import HitOut, QueryOut, SearchAnswer, TermOut
from retrieval.web.search.ranking import Near, Steps

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord, OnDisk

_COUNTED = 2048
"""Where more than so many hits may be relevant, their number is not counted: nobody sees where they end."""


class Asked(NamedTuple):
    """Which part of a list is asked for.

    Attributes:
        offset, k: ranks before it, and in it.
        since: when the request came, of ``time.perf_counter``.
        upload: the id of the picture that came with the request.
    """

    offset: int
    k: int
    since: float
    upload: str | None = None


def answer(ranked: RankedList, asked: Asked, reader: CatalogReader, content: Content) -> bytes:
    """JSON of a :class:`SearchAnswer`. On a reader's thread."""
    with stage("records"):
        start, end = asked.offset, min(asked.offset + asked.k, content.total)
        hits = hits_of(ranked, content, start, end, reader)
        judged = ranked.calibration is not None
        if judged and not ranked.counted:
            ranked.relevant_total, ranked.counted = _relevant_total(ranked, content, reader), True
        return SearchAnswer(
            hits=hits,
            total=content.total,
            total_is_capped=content.is_capped,
            offset=start,
            next=next_of(ranked, content, end) if end > start else None,
            query=_understood(ranked),
            cut=None if ranked.calibration is None else cut_of(ranked.calibration),
            relevant_total=ranked.relevant_total,
            nearest=content.nearest,
            upload=asked.upload,
            took_ms=round(1000 * (time.perf_counter() - asked.since), 3),
            digest=ranked.name,
            change=ranked.change,
        ).model_dump_json(by_alias=True).encode()  # fmt: skip


def hits_of(
    ranked: RankedList, content: Content, start: int, end: int, reader: CatalogReader, *, judging: bool = True
) -> list[HitOut]:
    """The hits of the ranks after ``start`` up to ``end``, without those whose file changed: it may show another one.

    Args:
        judging: also where the list was not made by relevance.
    """
    ids = content.ids[start:end].tolist()
    scores = _scores(ranked, content, ids, start)
    relevance = _relevance(ranked, content, ids, scores, start, reader, judging)
    cut = None if ranked.calibration is None else cut_of(ranked.calibration)
    ranks = {image_id: rank for rank, image_id in enumerate(ids, start + 1)}
    found = []
    for record in reader.records(ids):
        if (on_disk := record.on_disk()) == "changed":
            continue
        rank, value = ranks[record.id], relevance.get(record.id)
        burst = 0 if content.burst is None else int(content.burst[rank - 1])
        is_relevant = None if value is None or cut is None else value >= cut
        found.append(hit_of(record, on_disk, rank, scores.get(record.id), value, is_relevant, burst))
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


def _scores(ranked: RankedList, content: Content, ids: Sequence[int], start: int) -> dict[int, float]:
    ranking = ranked.recipe.ranking
    if ranking is None:
        return {}
    if content.scores is None:
        return ranking.scores_of(ids)
    return dict(zip(ids, content.scores[start : start + len(ids)].tolist(), strict=True))


def _relevance(
    ranked: RankedList,
    content: Content,
    ids: Sequence[int],
    scores: dict[int, float],
    start: int,
    reader: CatalogReader,
    judging: bool,
) -> dict[int, float]:
    if content.relevance is not None:
        return dict(zip(ids, content.relevance[start : start + len(ids)].tolist(), strict=True))
    ranking = ranked.recipe.ranking
    if ranking is None or ranked.calibration is None or not judging:
        return {}
    hits = [Near(image_id, scores[image_id]) for image_id in ids]
    return judge(ranked.calibration, ranking, hits, reader, ranked.recipe.row)


def _relevant_total(ranked: RankedList, content: Content, reader: CatalogReader) -> int | None:
    """How many hits answer the query, by the rule of ``all_that_qualify``; None if they are too many to count."""
    calibration, recipe = ranked.calibration, ranked.recipe
    if content.relevance is not None:
        return content.total
    if calibration is None or recipe.ranking is None or recipe.fields.group_minutes is not None:
        return None
    ranking = recipe.ranking
    known = (content.ids, content.scores) if recipe.is_plain and content.scores is not None else None
    steps = Steps(ranking, _COUNTED, known)

    def relevant(hits: Sequence[Near]) -> list[Near]:
        judged = judge(calibration, ranking, hits, reader, recipe.row)
        return [hit for hit in hits if judged[hit.id] >= cut_of(calibration)]

    kept, capped = all_that_qualify(steps.near, relevant, max(steps.most, 1))
    return None if capped else len(kept)


def _understood(ranked: RankedList) -> QueryOut:
    question = ranked.question
    terms = [TermOut(kind="text" if term.kind == "text" else "id", value=str(term.value), weight=term.weight)
             for term in question.terms]  # fmt: skip
    terms += [TermOut(kind="upload", value=upload.id, weight=upload.weight) for upload in question.uploads]
    return QueryOut(
        words=[term.value for term in terms if term.kind == "text" and term.weight > 0],
        terms=terms,
        filter=ranked.where.to_mapping(),
        unknown=ranked.unknown or None,
    )

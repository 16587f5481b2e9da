"""A slice of a list as JSON: records, state of the files, and relevance if known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retrieval.search.english import english_hint
from retrieval.search.moments import best_moments
from retrieval.search.ranked import Content
from retrieval.search.ranking import Neighbour
from retrieval.search.verified import check_scores
from retrieval.web.front.metrics import stage
from retrieval.web.pictures.models import listed
from retrieval.web.search.kept_list import KeptList, Start, next_of
from retrieval.web.search.models import HitOut, QueryOut, SearchAnswer, SkippedOut, TermOut

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord, OnDisk
    from retrieval.search.hits import Reason


class Slice(NamedTuple):
    """The requested part of a list.

    Attributes:
        start: where it begins.
        k: how many ranks are in it.
        since: when the request arrived, by ``time.perf_counter``.
        upload: the id of the picture that came with the request.
        days: whether the days of the whole list are wanted.
    """

    start: Start
    k: int
    since: float
    upload: str | None = None
    days: bool = False


def answer(ranked: KeptList, wanted: Slice, reader: CatalogReader, content: Content) -> bytes:
    """The JSON of a :class:`SearchAnswer`. On a reader's thread."""
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
            weaker=_weaker(ranked, reader),
            days=ranked.days(reader, content) if wanted.days else None,
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
        judging: also compute relevance if the list was not made by it.

    Raises:
        IndexDamaged: the catalog and the saved index disagree about them.
    """
    ids = [record.id for record in records]
    scores = ranked.scores(content, ids, start)
    if ranked.recipe.ranking is not None and reader.change() == ranked.change:  # otherwise embeddings may be newer
        ranking, row = ranked.recipe.ranking, ranked.recipe.row
        best = {} if ranking.moments is None else best_moments(reader, row, ranking.direction, records)
        records = [replace(each, time_s=best[each.id].time_s) if each.id in best else each for each in records]
        scores |= {image_id: found.score for image_id, found in best.items()}
        stills = {image_id: score for image_id, score in scores.items() if image_id not in best}
        check_scores(ranking.index.spec, reader, row, ranking.direction, stills)
    relevance = _relevance(ranked, content, ids, scores, start, reader, judging)
    cut = None if ranked.recipe.relevant is None else ranked.recipe.relevant.cut
    answers = set() if ranked.recipe.ranking is None else set(ranked.recipe.ranking.answers.tolist())
    found = []
    for rank, record in enumerate(records, start + 1):
        value = relevance.get(record.id)
        burst = 0 if content.burst is None else int(content.burst[rank - 1])
        is_relevant = None if value is None or cut is None else value >= cut or record.id in answers
        reason = ranked.recipe.reason(record.id)
        found.append(hit_of(record, "same", rank, scores.get(record.id), value, is_relevant, burst, reason))
    return found


def hit_of(
    record: ImageRecord,
    on_disk: OnDisk,
    rank: int,
    score: float | None = None,
    relevance: float | None = None,
    relevant: bool | None = None,
    burst: int = 0,
    reason: Reason | None = None,
) -> HitOut:
    """A picture as the API shows it."""
    return HitOut.model_construct(
        **listed(record),
        rank=rank,
        score=None if score is None else round(score, 6),
        relevance=None if relevance is None else round(relevance, 4),
        relevant=relevant,
        burst=burst,
        found_by=[] if reason is None else list(reason.by),
        matched={} if reason is None else {source: list(words) for source, words in reason.words.items()},
        visual_rank=None if reason is None else reason.visual_rank,
        on_disk=on_disk,
    )


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
    """How many pictures of the list answer the query; None if unknown, or too many to count."""
    recipe = ranked.recipe
    if content.relevant is not None:
        return content.relevant
    if recipe.relevant is None or recipe.ranking is None:
        return None
    found = recipe.relevant.among(recipe.ranking, reader)
    if found.is_capped:
        return None
    if recipe.is_plain:  # such a list holds every picture, but need not be made to its end
        return sum(image_id not in ranked.absent for image_id in found.ids.tolist())
    return int(np.count_nonzero(np.isin(content.ids, found.ids)))


def _weaker(ranked: KeptList, reader: CatalogReader) -> int | None:
    """How many pictures are left out only because they are weaker matches; None if none are, or if that is unknown."""
    recipe, fields = ranked.recipe, ranked.question.fields
    is_folded = fields.weaker == "fold" and fields.relevant and recipe.relevant is not None
    if not is_folded or recipe.ranking is None or fields.min_score is not None or fields.group_minutes is not None:
        return None
    assert recipe.relevant is not None
    return max(0, recipe.ranking.limit - len(recipe.relevant.among(recipe.ranking, reader).ids))


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

"""From a question's direction to its list: what qualifies, without bursts, in the order that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.search.bursts import Scenes
from retrieval.search.engine import Hit
from retrieval.search.pages import MAX_DEPTH, all_that_qualify
from retrieval.search.relevance import cut_of, relevances
from retrieval.web.search.ordering import Orders, restricted
from retrieval.web.search.ranking import FIRST, Near, Ranking, Scores, Steps

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader, EncoderRow
    from retrieval.search.calibration import Calibration
    from retrieval.web.search.models import ListFields


class Content(NamedTuple):
    """A list, or the beginning of it.

    Attributes:
        ids: (n,) in the list's order.
        scores, relevance: (n,) of each, where the list was made by them.
        burst: (n,) how many others each stands for.
        total: length of the whole list.
        is_capped: more pictures qualify than are listed.
        nearest: score of the nearest picture where none qualified.
    """

    ids: Ids
    scores: Scores | None
    relevance: NDArray[np.float32] | None
    burst: NDArray[np.int32] | None
    total: int
    is_capped: bool = False
    nearest: float | None = None

    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(each.nbytes for each in (self.ids, self.scores, self.relevance, self.burst) if each is not None)


@dataclass(frozen=True)
class Recipe:
    """What decides a list.

    Attributes:
        fields: order and conditions; the filter's are in ``allowed`` already.
        ranking: None where nothing is looked for.
        allowed: (n,) ids that pass the filter; None for every picture.
        row: whose embeddings are searched.
        calibration: where hits of words have to be judged.
    """

    fields: ListFields
    ranking: Ranking | None
    allowed: Ids | None
    row: EncoderRow
    calibration: Calibration | None = None

    @property
    def is_plain(self) -> bool:
        """Best first, and nothing but the filter says what qualifies: can be made in parts."""
        fields = self.fields
        by_score = fields.sort in (None, "score") and not fields.reverse
        return self.ranking is not None and by_score and not self._is_narrowed and fields.group_minutes is None

    @property
    def _is_narrowed(self) -> bool:
        return self.fields.relevant or self.fields.min_score is not None


def make(recipe: Recipe, reader: CatalogReader, orders: Orders, depth: int, known: Content | None = None) -> Content:
    """The list, down to ``depth`` at least. Any thread.

    Args:
        known: the beginning, as far as it is made.
    """
    ranking, fields = recipe.ranking, recipe.fields
    if ranking is None:
        return _browsed(recipe, reader, orders)
    if recipe.is_plain:
        return _plain(ranking, depth, known)
    if recipe._is_narrowed:
        found = _qualifying(recipe, ranking, reader)
    elif fields.group_minutes is None and fields.sort in ("date", "name"):
        return _whole_in_order(recipe, ranking, reader, orders)
    else:
        most = ranking.limit if fields.group_minutes is None else min(ranking.limit, MAX_DEPTH)
        ids, scores = ranking.nearest(most)
        found = Content(ids, scores, None, None, len(ids), len(ids) < ranking.size)
    if fields.group_minutes is not None:
        found = _grouped(found, recipe, reader)
    return _in_order(found, recipe, reader, orders)


def _plain(ranking: Ranking, depth: int, known: Content | None) -> Content:
    limit, size = ranking.limit, ranking.size
    ids, scores = ranking.nearest(FIRST if depth <= FIRST else limit)
    if known is not None and known.scores is not None:
        # An approximate search for more may find others on the way: what was shown stays where it is.
        new = ~np.isin(ids, known.ids)
        ids = np.concatenate([known.ids, ids[new]])[:limit]
        scores = np.concatenate([known.scores, scores[new]])[:limit]
    return Content(ids, scores, None, None, limit, limit < size)


def _browsed(recipe: Recipe, reader: CatalogReader, orders: Orders) -> Content:
    fields = recipe.fields
    ids = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
    if recipe.allowed is not None:
        ids = restricted(ids, recipe.allowed)
    found = Content(ids, None, None, None, len(ids))
    return found if fields.group_minutes is None else _grouped(found, recipe, reader)


def _qualifying(recipe: Recipe, ranking: Ranking, reader: CatalogReader) -> Content:
    """What reaches the lowest score, and answers a search by words if that is asked for."""
    lowest = -np.inf if recipe.fields.min_score is None else recipe.fields.min_score
    if not recipe.fields.relevant:
        ids, scores, capped = Steps(ranking, ranking.limit).not_below(lowest)
        return Content(ids, scores, None, None, len(ids), capped, None if len(ids) else _best(ranking))
    calibration = recipe.calibration
    assert calibration is not None
    steps = Steps(ranking, MAX_DEPTH)
    values: dict[int, float] = {}

    def nearest(count: int) -> tuple[list[Near], bool]:
        hits, complete = steps.near(count)
        reaching = [hit for hit in hits if hit.score >= lowest]
        return reaching, complete or len(reaching) < len(hits)

    def relevant(hits: Sequence[Near]) -> list[Near]:
        judged = judge(calibration, ranking, hits, reader, recipe.row)
        values.update(judged)
        return [hit for hit in hits if judged[hit.id] >= cut_of(calibration)]

    kept, capped = all_that_qualify(nearest, relevant, max(steps.most, 1))
    return Content(
        np.array([hit.id for hit in kept], np.int64),
        np.array([hit.score for hit in kept], np.float32),
        np.array([values[hit.id] for hit in kept], np.float32),
        None,
        len(kept),
        capped,
        None if kept else _best(ranking),
    )


def _best(ranking: Ranking) -> float | None:
    """The score of the nearest picture."""
    scores = ranking.nearest(1)[1].tolist()
    return scores[0] if scores else None


def judge(
    calibration: Calibration, ranking: Ranking, hits: Sequence[Near], reader: CatalogReader, row: EncoderRow
) -> dict[int, float]:
    """Id -> relevance of hits of words."""
    ids, scores = [hit.id for hit in hits], [hit.score for hit in hits]
    return dict(zip(ids, relevances(calibration, ranking.direction, ids, scores, reader, row), strict=True))


def _whole_in_order(recipe: Recipe, ranking: Ranking, reader: CatalogReader, orders: Orders) -> Content:
    """Everything by date or by name, which asks the index nothing if all of it is listed."""
    fields = recipe.fields
    order = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
    if ranking.limit < ranking.size or (recipe.allowed is None and len(order) != len(ranking.index)):
        ids = restricted(order, ranking.nearest(ranking.limit)[0])
    else:
        ids = order if recipe.allowed is None else restricted(order, recipe.allowed)
        ids = ids[~np.isin(ids, ranking.left_out)] if ranking.left_out else ids
    return Content(ids, None, None, None, len(ids), ranking.limit < ranking.size)


def _grouped(found: Content, recipe: Recipe, reader: CatalogReader) -> Content:
    """Without bursts: of the first :data:`MAX_DEPTH` pictures those that stand for themselves or for others."""
    ids = found.ids[:MAX_DEPTH]
    scores = {} if found.scores is None else dict(zip(ids.tolist(), found.scores.tolist(), strict=False))
    ranking = recipe.ranking
    left_out = () if ranking is None else ranking.left_out
    allowed = None if recipe.allowed is None else frozenset(recipe.allowed.tolist())
    scenes = Scenes(reader, recipe.row, recipe.fields.group_minutes or 0.0, allowed, leave_out=left_out)
    shown = (record for record in reader.records(ids.tolist()) if record.on_disk() != "changed")
    groups = scenes.grouped([Hit(rank, scores.get(record.id, 0.0), record) for rank, record in enumerate(shown, 1)])
    kept = np.array([hit.image.id for hit in groups], np.int64)
    at = np.flatnonzero(np.isin(ids, kept))  # in the order of the list, as the groups are
    return Content(
        ids[at],
        None if found.scores is None else found.scores[at],
        None if found.relevance is None else found.relevance[at],
        np.array([hit.burst for hit in groups], np.int32),
        len(at),
        found.is_capped or len(found.ids) > MAX_DEPTH,
        found.nearest,
    )


def _in_order(found: Content, recipe: Recipe, reader: CatalogReader, orders: Orders) -> Content:
    """What came best first, in the order that was asked for."""
    fields = recipe.fields
    if fields.sort in ("date", "name"):
        order = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
        ranks = {image_id: rank for rank, image_id in enumerate(restricted(order, found.ids).tolist())}
        # What the catalog retired since the index was opened has no place in the order.
        at = np.array([n for n, i in enumerate(found.ids.tolist()) if i in ranks], np.int64)
        at = at[np.argsort([ranks[i] for i in found.ids[at].tolist()], kind="stable")] if len(at) else at
    elif fields.reverse and found.scores is not None:
        at = np.lexsort((found.ids, found.scores))
    else:
        return found
    return found._replace(
        ids=found.ids[at],
        scores=None if found.scores is None else found.scores[at],
        relevance=None if found.relevance is None else found.relevance[at],
        burst=None if found.burst is None else found.burst[at],
        total=len(at),
    )

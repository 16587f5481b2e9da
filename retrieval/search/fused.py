"""A ranking whose head is fused with the word matches of the question; the rest follows in the order of cosines.

Scores stay cosines. The order of the head is by reciprocal ranks (:mod:`.lexical`), where a picture's rank by its
cosine counts as one more source, if it is among the first :data:`DEPTH`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.ranking import nothing_found
from retrieval.search.hits import Reason
from retrieval.search.lexical import DEPTH, RRF_K, Matches
from retrieval.search.ranking import Ranking, Scores

if TYPE_CHECKING:
    from indexes.base import Ids, Neighbours
    from retrieval.search.hits import Hit

    Near = Callable[[list[int], int], Neighbours]


@dataclass(frozen=True)
class FusedRanking(Ranking):
    """Searches of any depth, fused; a deeper search begins with the results of a shallower one.

    Args:
        base: the ranking by cosine; the other attributes are taken from it.
        matches: the word matches, under the same filter.
    """

    base: Ranking
    matches: Matches

    @property
    def limit(self) -> int:
        """As many as are listed by cosine."""
        return self.base.limit

    def step(self, depth: int) -> int:
        """As by cosine."""
        return self.base.step(depth)

    def search(self, count: int, allowed: Ids | None) -> tuple[Ids, Scores]:
        """See :class:`Ranking`; with ``allowed`` ids other than the filter's, by cosine only."""
        if allowed is not self.allowed:
            return self.base.search(count, allowed)
        ids, scores = self.head
        if count > len(ids):
            more, their = self.base.search(count, allowed)
            new = (more >= 0) & ~np.isin(more, ids)
            ids, scores = np.concatenate([ids, more[new]]), np.concatenate([scores, their[new]])
        return ids[:count], scores[:count]

    @property
    def by_cosine(self) -> Ranking:
        """See :class:`Ranking`."""
        return self.base

    @property
    def answers(self) -> Ids:
        """(n,) ids in which all words are found: they answer the question, whatever they show."""
        ids = self.head[0]
        return ids[self.matches.kept(ids)]

    def arrangement(self, ids: Ids) -> NDArray[np.intp]:
        """(n,) positions of ``ids``: those of the head first, in its order."""
        ranks = {image_id: rank for rank, image_id in enumerate(self.head[0].tolist())}
        behind = np.fromiter((ranks.get(image_id, len(ranks)) for image_id in ids.tolist()), np.int64, len(ids))
        return np.argsort(behind, kind="stable")

    def reason(self, image_id: int) -> Reason:
        """Why a picture is in the list."""
        words = self.matches.why(image_id)
        rank = self._visual_ranks.get(image_id)
        is_visual = rank is not None or not words
        return Reason((*(("visual",) if is_visual else ()), *words), words, rank)

    @cached_property
    def head(self) -> tuple[Ids, Scores]:
        """(n,) ids and cosines of the fused pictures, best first; ties by cosine, then by id."""
        near, scores = self._near
        gains = self.matches.gains
        ranks = self._visual_ranks
        further = np.array([i for i in gains if i not in ranks and i in self.index], np.int64)
        if len(further):
            found, their = self.base.search(len(further), np.sort(further))
            there = found >= 0
            near, scores = np.concatenate([near, found[there]]), np.concatenate([scores, their[there]])
        fused = [
            gains.get(i, 0.0) + (1.0 / (RRF_K + ranks[i]) if i in ranks else 0.0) for i in near.tolist()
        ]  # fmt: skip
        at = np.lexsort((near, -scores, -np.array(fused)))
        return near[at], scores[at]

    @cached_property
    def _near(self) -> tuple[Ids, Scores]:
        return self.base.nearest(DEPTH)

    @cached_property
    def _visual_ranks(self) -> dict[int, int]:
        return {image_id: rank for rank, image_id in enumerate(self._near[0].tolist(), 1)}


class FusedMany:
    """The fused rankings among several queries.

    Args:
        found: position among the queries -> the ranking by cosine, and the word matches.
    """

    def __init__(self, found: Mapping[int, tuple[Ranking, Matches]]) -> None:
        self._rankings = {at: fused(*each) for at, each in found.items()}

    def near(self, by_cosine: Near) -> Near:
        """(positions, count) -> neighbours, as :func:`.hits.best_hits` calls it."""

        def near(places: list[int], count: int) -> Neighbours:
            found = nothing_found(len(places), count)
            others = [at for at in places if at not in self._rankings]
            if others:
                rows = [row for row, at in enumerate(places) if at not in self._rankings]
                found.ids[rows], found.scores[rows] = by_cosine(others, count)
            for row, at in enumerate(places):
                if at in self._rankings:
                    ranking = self._rankings[at]
                    ids, scores = ranking.search(count, ranking.allowed)
                    found.ids[row, : len(ids)], found.scores[row, : len(ids)] = ids, scores
            return found

        return near

    def explained(self, answers: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The hits of each query; those of fused queries with reasons."""
        return [
            [replace(hit, reason=self._rankings[at].reason(hit.image.id)) for hit in hits]
            if at in self._rankings
            else list(hits)
            for at, hits in enumerate(answers)
        ]


def fused(base: Ranking, matches: Matches) -> FusedRanking:
    """``base`` fused with the word matches."""
    return FusedRanking(base.index, base.direction, base.allowed, base.left_out, base, matches, moments=base.moments)

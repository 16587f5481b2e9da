"""The relevant pictures of a text search: computed once, for every list and count that needs them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.search.ranking import MAX_DEPTH, Neighbour, Ranking, Scores, Steps
from retrieval.search.relevance import Pool, cut_of, pool_of, relevances
from retrieval.search.smoothing import POOL

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.calibration import Calibration


_FIRST = 128
_NEAREST = 10  # one of these has to be relevant; for each unlikely search as many were examined


class RelevantHits(NamedTuple):
    """Pictures that answer, best first.

    Attributes:
        ids: (n,).
        scores, relevance: (n,) of each.
        is_capped: there may be more.
    """

    ids: Ids
    scores: Scores
    relevance: NDArray[np.float32]
    is_capped: bool

    def kept(self, which: NDArray[np.bool_]) -> RelevantHits:
        """The pictures marked in ``which`` (n,)."""
        return self._replace(ids=self.ids[which], scores=self.scores[which], relevance=self.relevance[which])


class Relevant:
    """The pictures that answer the words of one question, in the whole gallery; a filter keeps some of them. So
    counts under a filter add up to the count without it, in whatever order they are searched. For any thread.

    Args:
        ranking: without a filter.
        calibration: what hits are judged against.
        row: whose embeddings are searched.
    """

    def __init__(self, ranking: Ranking, calibration: Calibration, row: EncoderRow) -> None:
        self._ranking, self.calibration, self._row = ranking, calibration, row
        self._found: RelevantHits | None = None
        self._values: dict[int, float] = {}
        self._pool: Pool | None = None
        self._lock = threading.RLock()

    @property
    def cut(self) -> float:
        """The relevance from which a picture answers the question."""
        return cut_of(self.calibration)

    def judge(self, hits: Sequence[Neighbour], reader: CatalogReader) -> dict[int, float]:
        """Id -> relevance."""
        with self._lock:
            found = {hit.id: self._values[hit.id] for hit in hits if hit.id in self._values}
            new = [hit for hit in hits if hit.id not in found]
            if new:
                ids, scores = [hit.id for hit in new], [hit.score for hit in new]
                pool = self._pool_of_query(reader)
                values = relevances(self.calibration, self._ranking.direction, ids, scores, pool, reader, self._row)
                found.update(zip(ids, values, strict=True))
                if len(self._values) < MAX_DEPTH:
                    self._values.update(found)
            return found

    def _pool_of_query(self, reader: CatalogReader) -> Pool | None:
        if self._pool is None and self.calibration.measured.bias is None:
            nearest, _ = Steps(self._ranking, MAX_DEPTH).upto(POOL)
            self._pool = pool_of(self.calibration, self._ranking.direction, nearest, reader, self._row)
        return self._pool

    def everywhere(self, reader: CatalogReader) -> RelevantHits:
        """The pictures that answer in the whole gallery."""
        with self._lock:
            if self._found is None:
                self._found = self._walk(self._ranking, reader)
            return self._found

    def among(self, ranking: Ranking, reader: CatalogReader) -> RelevantHits:
        """Those that pass the filter of ``ranking``, in its order; and those that answer by names, captions or text."""
        found = self._by_cosine(ranking.by_cosine, reader)
        answers = ranking.answers
        further = answers[~np.isin(answers, found.ids)]
        if len(further):
            scores = ranking.scores_of(further.tolist())
            hits = [Neighbour(image_id, scores[image_id]) for image_id in further.tolist() if image_id in scores]
            judged = self.judge(hits, reader)
            found = RelevantHits(
                np.concatenate([found.ids, np.array([hit.id for hit in hits], np.int64)]),
                np.concatenate([found.scores, np.array([hit.score for hit in hits], np.float32)]),
                np.concatenate([found.relevance, np.array([judged[hit.id] for hit in hits], np.float32)]),
                found.is_capped,
            )
        at = ranking.arrangement(found.ids)
        return RelevantHits(found.ids[at], found.scores[at], found.relevance[at], found.is_capped)

    def _by_cosine(self, ranking: Ranking, reader: CatalogReader) -> RelevantHits:
        found = self.everywhere(reader)
        if ranking.allowed is None:
            return found
        if found.is_capped:  # the filter may admit pictures beyond the limit
            return self._walk(ranking, reader)
        return found.kept(np.isin(found.ids, ranking.allowed))

    def _walk(self, ranking: Ranking, reader: CatalogReader) -> RelevantHits:
        steps = Steps(ranking, MAX_DEPTH)
        values: dict[int, float] = {}

        def relevant(hits: Sequence[Neighbour]) -> list[Neighbour]:
            judged = self.judge(hits, reader)
            values.update(judged)
            return [hit for hit in hits if judged[hit.id] >= self.cut]

        # Relevance falls with the score on average, not from hit to hit: if one of the nearest is relevant,
        # further neighbours are examined until the newly examined half holds no relevant one.
        most = max(steps.most, 1)
        depth, checked, capped = min(_NEAREST, most), 0, False
        kept: list[Neighbour] = []
        while True:
            hits, complete = steps.near(depth)
            new = relevant(hits[checked:])
            kept += new
            checked = len(hits)
            if complete or not new:
                break
            if depth == most:
                capped = True
                break
            depth = min(max(_FIRST, 2 * depth), most)
        return RelevantHits(
            np.array([hit.id for hit in kept], np.int64),
            np.array([hit.score for hit in kept], np.float32),
            np.array([values[hit.id] for hit in kept], np.float32),
            capped,
        )

"""The relevant pictures of a text search: computed once, for every list and count that needs them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.search.ranking import MAX_DEPTH, Neighbour, Ranking, Scores, Steps
from retrieval.search.relevance import cut_of, relevances
from retrieval.search.smoothing import POOL

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.calibration import Calibration


_FIRST = 128
_NEAREST = 10  # one of these has to be relevant; so many were looked at of each search without an answer


class Found(NamedTuple):
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

    def kept(self, which: NDArray[np.bool_]) -> Found:
        """Those that are marked in ``which`` (n,)."""
        return self._replace(ids=self.ids[which], scores=self.scores[which], relevance=self.relevance[which])


class Relevant:
    """What answers the words of one question, in the whole gallery: a filter keeps some of it. So counts under a filter
    add up to the count without it, whatever is searched first. For any thread.

    Args:
        ranking: without a filter.
        calibration: what hits are judged against.
        row: whose embeddings are searched.
    """

    def __init__(self, ranking: Ranking, calibration: Calibration, row: EncoderRow) -> None:
        self._ranking, self.calibration, self._row = ranking, calibration, row
        self._found: Found | None = None
        self._lock = threading.Lock()

    @property
    def cut(self) -> float:
        """The relevance from which a picture answers."""
        return cut_of(self.calibration)

    @cached_property
    def _nearest(self) -> Ids:
        return self._ranking.nearest(0 if self.calibration.measured.bias is not None else POOL)[0]

    def judge(self, hits: Sequence[Neighbour], reader: CatalogReader) -> dict[int, float]:
        """Id -> relevance."""
        ids, scores = [hit.id for hit in hits], [hit.score for hit in hits]
        direction, nearest = self._ranking.direction, self._nearest
        values = relevances(self.calibration, direction, ids, scores, nearest, reader, self._row)
        return dict(zip(ids, values, strict=True))

    def everywhere(self, reader: CatalogReader) -> Found:
        """What answers in the whole gallery."""
        with self._lock:
            if self._found is None:
                self._found = self._walk(self._ranking, reader)
            return self._found

    def among(self, ranking: Ranking, reader: CatalogReader) -> Found:
        """What of it passes the filter of ``ranking``."""
        found = self.everywhere(reader)
        if ranking.allowed is None:
            return found
        if found.is_capped:  # the filter may let through what was not reached
            return self._walk(ranking, reader)
        return found.kept(np.isin(found.ids, ranking.allowed))

    def _walk(self, ranking: Ranking, reader: CatalogReader) -> Found:
        steps = Steps(ranking, MAX_DEPTH)
        values: dict[int, float] = {}

        def relevant(hits: Sequence[Neighbour]) -> list[Neighbour]:
            judged = self.judge(hits, reader)
            values.update(judged)
            return [hit for hit in hits if judged[hit.id] >= self.cut]

        # Relevance falls with the score on the whole, not from hit to hit: if one of the nearest is relevant,
        # neighbours are looked at until a further half of them holds none.
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
        return Found(
            np.array([hit.id for hit in kept], np.int64),
            np.array([hit.score for hit in kept], np.float32),
            np.array([values[hit.id] for hit in kept], np.float32),
            capped,
        )

"""The neighbours of a query vector in one state of the index, as ids and scores; reads no records or files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Effort, Ids, Vectors
from indexes.errors import VectorIndexError
from retrieval.errors import Busy

if TYPE_CHECKING:
    from indexes.base import Neighbours, VectorIndex
    from indexes.spec import IndexSpec
    from retrieval.search.hits import Reason
    from retrieval.search.moments import Moments

Scores = NDArray[np.float32]

MAX_DEPTH = 10_000
"""How far down a list can be read if an approximate index finds its pictures, or if a process reads one list and
exits: the cost of the search, the records and the file checks is proportional to that."""

MOST_LISTED = 200_000
"""Limit for a list that a process keeps, found by an index that compares a query with every vector anyway."""

FIRST = 512
"""Neighbours that are ranked for the first parts of a list. Among 100,000 of 512 numbers that takes some 10 ms, all of
them 160 to 490: the rest is ranked when someone reads further down."""

_STEPS = (FIRST, 4096)


class Neighbour(NamedTuple):
    """A neighbour."""

    id: int
    score: float


@dataclass(frozen=True)
class Ranking(ABC):
    """Searches of any depth for one question.

    Args:
        index: as the engine has it at one change number of the catalog; for the next, the engine opens another one.
        direction: (1, dim).
        allowed: ids that pass the filter; None for every picture.
        left_out: ids that are not listed.
        moments: the frames of videos in the index; None if there are none.
    """

    index: VectorIndex
    direction: Vectors
    allowed: Ids | None
    left_out: tuple[int, ...]
    moments: Moments | None = field(default=None, kw_only=True)

    @abstractmethod
    def search(self, count: int, allowed: Ids | None) -> tuple[Ids, Scores]:
        """(n,) ids and scores of the best ``count``, id -1 if there are fewer."""

    @property
    @abstractmethod
    def limit(self) -> int:
        """How many pictures are listed."""

    @abstractmethod
    def step(self, depth: int) -> int:
        """How many to search for if ``depth`` are wanted."""

    @cached_property
    def size(self) -> int:
        """How many pictures can be listed."""
        if self.allowed is None:
            return self.images - sum(image_id in self.index for image_id in self.left_out)
        left_out = np.isin(np.asarray(self.left_out, np.int64), self.allowed)
        return len(self.allowed) - int(left_out.sum())

    @property
    def images(self) -> int:
        """How many pictures the index holds, including videos."""
        return len(self.index) - (0 if self.moments is None else len(self.moments.ids))

    def nearest(self, count: int) -> tuple[Ids, Scores]:
        """The best ``count`` ids and their scores, or fewer if there are not so many; ties by id."""
        count = min(count, self.limit)
        if count < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        for most, ids, scores in self._found:
            if count <= most:
                return ids[:count], scores[:count]
        ids, scores = self.search(count + len(self.left_out), self.allowed)
        kept = (ids >= 0) & ~np.isin(ids, self.left_out)
        ids, scores = ids[kept][:count], scores[kept][:count]
        if count <= FIRST:
            self._found[:] = [(count, ids, scores)]
        return ids, scores

    @cached_property
    def _found(self) -> list[tuple[int, Ids, Scores]]:
        """The result of the last search, at most one: the list and its judge both begin with it."""
        return []

    @property
    def by_cosine(self) -> Ranking:
        """The same pictures in the order of their scores, if this order differs (``fused.py``)."""
        return self

    @property
    def answers(self) -> Ids:
        """(n,) ids of pictures that answer the question by something other than their cosine."""
        return np.empty(0, np.int64)

    def arrangement(self, ids: Ids) -> NDArray[np.intp]:
        """(n,) positions of ``ids``, which are in the order of scores, in the order of this ranking."""
        return np.arange(len(ids))

    def reason(self, image_id: int) -> Reason | None:
        """Why a picture is listed, if not because of its cosine only."""
        return None

    def scores_of(self, ids: Sequence[int]) -> dict[int, float]:
        """The scores of some ids, as a search finds them."""
        if not ids:
            return {}
        found, scores = self.search(len(ids), np.asarray(ids, np.int64))
        return dict(zip(found.tolist(), scores.tolist(), strict=True))


@dataclass(frozen=True)
class IndexRanking(Ranking):
    """The neighbours as the index returns them. For any thread: several may search an index that is only read.

    Args:
        effort: the search effort of the index.
    """

    effort: Effort

    @property
    def limit(self) -> int:
        """All if the index compares a query with every vector anyway, otherwise the depth to which an approximate
        search is useful."""
        return min(self.size, MOST_LISTED if looks_at_all(self.index.spec) else MAX_DEPTH)

    def step(self, depth: int) -> int:
        """The beginning of the list, or all of it: a long-running process is soon asked for more."""
        return FIRST if depth <= FIRST else self.limit

    def search(self, count: int, allowed: Ids | None) -> tuple[Ids, Scores]:
        """See :class:`Ranking`.

        Raises:
            Busy: the engine was closed during the search.
        """
        expected = len(self.index)
        try:
            found = self._near(count, allowed)
        except (VectorIndexError, AttributeError, ValueError):
            if expected and len(self.index) == expected:
                raise
            raise Busy from None
        if len(self.index) != expected:
            raise Busy  # closed during the search: the result may be incomplete
        return found.ids[0], found.scores[0]

    def _near(self, count: int, allowed: Ids | None) -> Neighbours:
        moments = self.moments
        if moments is None:
            return self.index.search(self.direction, count, allowed=allowed, effort=self.effort)
        wide = None if allowed is None else moments.widened(allowed)
        total = len(self.index) if wide is None else len(wide)
        search = self.index.search
        return moments.nearest(
            lambda fetch: search(self.direction, fetch, allowed=wide, effort=self.effort), count, total
        )


@dataclass(frozen=True)
class VerifiedRanking(Ranking):
    """The neighbours scored by the catalog's embeddings. For the engine's own thread.

    Args:
        find: (1, dim), how many, allowed ids -> neighbours; see ``QueryEngine.nearest``.
    """

    find: Callable[[Vectors, int, Ids | None], Neighbours]

    @property
    def limit(self) -> int:
        """Each picture costs a read of its embedding."""
        return min(self.size, MAX_DEPTH)

    def step(self, depth: int) -> int:
        """Exactly what is wanted: the list is read once."""
        return min(depth, self.limit)

    def search(self, count: int, allowed: Ids | None) -> tuple[Ids, Scores]:
        """See :class:`Ranking`."""
        found = self.find(self.direction, count, allowed)
        return found.ids[0], found.scores[0]


class Steps:
    """A ranking that is read further and further, searched in a few steps rather than at each depth requested.

    Args:
        ranking: the ranking to search.
        most: the greatest depth to read.
        known: the beginning, if it was ranked before.
    """

    def __init__(self, ranking: Ranking, most: int, known: tuple[Ids, Scores] | None = None) -> None:
        self._ranking, self.most = ranking, min(most, ranking.limit)
        self._known = known or (np.empty(0, np.int64), np.empty(0, np.float32))

    def upto(self, count: int) -> tuple[Ids, Scores]:
        """The best ``count`` ids and their scores, or fewer if there are not so many."""
        count = min(count, self.most)
        if count > len(self._known[0]):
            depth = next((step for step in _STEPS if count <= step < self.most), self.most)
            self._known = self._ranking.nearest(depth)
        ids, scores = self._known
        return ids[:count], scores[:count]

    def near(self, count: int) -> tuple[list[Neighbour], bool]:
        """The same as :class:`Neighbour` values, and whether there are no others."""
        ids, scores = self.upto(count)
        hits = [Neighbour(*pair) for pair in zip(ids.tolist(), scores.tolist(), strict=True)]
        return hits, len(hits) < count or len(hits) >= self._ranking.size

    def not_below(self, lowest: float) -> tuple[Ids, Scores, bool]:
        """Ids and scores that are at least ``lowest``, and whether there may be more of them."""
        for depth in (*_STEPS, self.most):
            ids, scores = self.upto(depth)
            reaching = int(np.count_nonzero(scores >= lowest))
            if reaching < len(ids) or len(ids) >= self.most:
                break
        return ids[:reaching], scores[:reaching], reaching == len(ids) < self._ranking.size


def looks_at_all(spec: IndexSpec) -> bool:
    """True for an index whose searches compare with every vector, in whatever precision."""
    return spec.family == "exact" or (spec.family == "flat" and spec.codec != "PQ" and not spec.gpu)

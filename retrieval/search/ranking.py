"""The neighbours of a query vector in one state of the index, as ids and scores; reads no records or files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

Scores = NDArray[np.float32]

MAX_DEPTH = 10_000
"""How far down a list can be read where an approximate index finds its pictures, or where a process reads one list and
ends: the search, the records and a look at each file cost in proportion to that."""

MOST_LISTED = 200_000
"""Pictures of a list that a process keeps, found by an index that compares a query with every vector anyway."""

FIRST = 512
"""Neighbours that are ranked for the first parts of a list. Among 100,000 of 512 numbers that takes some 10 ms, all of
them 160 to 490: these are ranked when somebody goes further down."""

_STEPS = (FIRST, 4096)


class Neighbour(NamedTuple):
    """A neighbour."""

    id: int
    score: float


@dataclass(frozen=True)
class Ranking(ABC):
    """Searches of any depth for one question.

    Args:
        index: as the engine has it at one change of the catalog; the engine opens another one for the next.
        direction: (1, dim).
        allowed: ids that pass the filter; None for every picture.
        left_out: ids that are not listed.
    """

    index: VectorIndex
    direction: Vectors
    allowed: Ids | None
    left_out: tuple[int, ...]

    @abstractmethod
    def search(self, count: int, allowed: Ids | None) -> tuple[Ids, Scores]:
        """(n,) ids and scores of the best ``count``, -1 where there are not so many."""

    @property
    @abstractmethod
    def limit(self) -> int:
        """How many of them are listed."""

    @abstractmethod
    def step(self, depth: int) -> int:
        """How many to search for where ``depth`` are wanted."""

    @cached_property
    def size(self) -> int:
        """How many pictures there are to be listed."""
        if self.allowed is None:
            return len(self.index) - sum(image_id in self.index for image_id in self.left_out)
        left_out = np.isin(np.asarray(self.left_out, np.int64), self.allowed)
        return len(self.allowed) - int(left_out.sum())

    def nearest(self, count: int) -> tuple[Ids, Scores]:
        """The best ``count`` ids and their scores, fewer if there are not so many; ties by id."""
        count = min(count, self.limit)
        if count < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        ids, scores = self.search(count + len(self.left_out), self.allowed)
        kept = (ids >= 0) & ~np.isin(ids, self.left_out)
        return ids[kept][:count], scores[kept][:count]

    def scores_of(self, ids: Sequence[int]) -> dict[int, float]:
        """The scores of some ids, as a search finds them."""
        if not ids:
            return {}
        found, scores = self.search(len(ids), np.asarray(ids, np.int64))
        return dict(zip(found.tolist(), scores.tolist(), strict=True))


@dataclass(frozen=True)
class IndexRanking(Ranking):
    """The neighbours as the index gives them. For any thread: an index that is only read may be searched by several.

    Args:
        effort: how hard the index searches.
    """

    effort: Effort

    @property
    def limit(self) -> int:
        """All where the index compares a query with every vector anyway, otherwise the depth to which an approximate
        search is of use."""
        return min(self.size, MOST_LISTED if looks_at_all(self.index.spec) else MAX_DEPTH)

    def step(self, depth: int) -> int:
        """The beginning of the list, or all of it: a process that stays is asked for more soon."""
        return FIRST if depth <= FIRST else self.limit

    def search(self, count: int, allowed: Ids | None) -> tuple[Ids, Scores]:
        """See :class:`Ranking`.

        Raises:
            Busy: the engine was closed meanwhile.
        """
        expected = len(self.index)
        try:
            found = self.index.search(self.direction, count, allowed=allowed, effort=self.effort)
        except (VectorIndexError, AttributeError, ValueError):
            if expected and len(self.index) == expected:
                raise
            raise Busy from None
        if len(self.index) != expected:
            raise Busy  # closed while it was read: what was found may be a part
        return found.ids[0], found.scores[0]


@dataclass(frozen=True)
class VerifiedRanking(Ranking):
    """The neighbours with the scores that the catalog's embeddings have. For the engine's own thread.

    Args:
        find: (1, dim), how many, allowed ids -> neighbours; see ``QueryEngine.nearest``.
    """

    find: Callable[[Vectors, int, Ids | None], Neighbours]

    @property
    def limit(self) -> int:
        """Each costs a read of its embedding."""
        return min(self.size, MAX_DEPTH)

    def step(self, depth: int) -> int:
        """What is wanted, and no more: the list is read once."""
        return min(depth, self.limit)

    def search(self, count: int, allowed: Ids | None) -> tuple[Ids, Scores]:
        """See :class:`Ranking`."""
        found = self.find(self.direction, count, allowed)
        return found.ids[0], found.scores[0]


class Steps:
    """A ranking that is read further and further: searched in a few steps, not at each depth that is asked for.

    Args:
        ranking: see there.
        most: how far down it is read.
        known: the beginning, if it was ranked before.
    """

    def __init__(self, ranking: Ranking, most: int, known: tuple[Ids, Scores] | None = None) -> None:
        self._ranking, self.most = ranking, min(most, ranking.limit)
        self._known = known or (np.empty(0, np.int64), np.empty(0, np.float32))

    def upto(self, count: int) -> tuple[Ids, Scores]:
        """The best ``count`` ids and their scores, fewer if there are not so many."""
        count = min(count, self.most)
        if count > len(self._known[0]):
            depth = next((step for step in _STEPS if count <= step < self.most), self.most)
            self._known = self._ranking.nearest(depth)
        ids, scores = self._known
        return ids[:count], scores[:count]

    def near(self, count: int) -> tuple[list[Neighbour], bool]:
        """The same as values, and whether there are no others."""
        ids, scores = self.upto(count)
        hits = [Neighbour(*pair) for pair in zip(ids.tolist(), scores.tolist(), strict=True)]
        return hits, len(hits) < count or len(hits) >= self._ranking.size

    def not_below(self, lowest: float) -> tuple[Ids, Scores, bool]:
        """Ids and scores from ``lowest`` up, and whether there may be more of them."""
        for depth in (*_STEPS, self.most):
            ids, scores = self.upto(depth)
            reaching = int(np.count_nonzero(scores >= lowest))
            if reaching < len(ids) or len(ids) >= self.most:
                break
        return ids[:reaching], scores[:reaching], reaching == len(ids) < self._ranking.size


def looks_at_all(spec: IndexSpec) -> bool:
    """True for an index whose searches compare with every vector, in whatever precision."""
    return spec.family == "exact" or (spec.family == "flat" and spec.codec != "PQ" and not spec.gpu)

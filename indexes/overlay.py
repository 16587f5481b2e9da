"""An index that must not be changed, with later changes held in memory beside it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, Vectors
from indexes.errors import DuplicateId
from indexes.exact import ExactIndex
from indexes.ranking import ranked
from indexes.rows import as_ids
from indexes.spec import IndexSpec


class Base(Protocol):
    """What an overlay lies over."""

    spec: IndexSpec
    dim: int

    def __len__(self) -> int: ...

    def present(self, ids: ArrayLike) -> Ids:
        """Those of ``ids`` that are there, sorted."""
        ...

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None, effort: Effort, hidden: Ids) -> Neighbours:
        """As ``VectorIndex.search``, without the sorted ids ``hidden``."""
        ...

    def close(self) -> None: ...


class Overlay:
    """The base without hidden ids, and an exact index of what was added since.

    A reader of an index in a server uses it: the server is changed by the one process that writes, others catch up in
    memory. Every id that is removed here is hidden in the base, whether it is there or not, so that what the writer
    does meanwhile cannot show an older or newer vector of it.

    Args:
        base: only read; closed by :meth:`close`.
    """

    def __init__(self, base: Base) -> None:
        self.spec = base.spec
        self.dim = base.dim
        self._base = base
        self._tail = ExactIndex(IndexSpec.parse("Exact"), base.dim)
        self._hidden: Ids = np.empty(0, np.int64)
        self._covered = 0  # how many of the hidden ids the base has

    def __len__(self) -> int:
        return len(self._base) - self._covered + len(self._tail)

    def __contains__(self, image_id: int) -> bool:
        return len(self.present([image_id])) == 1

    def present(self, ids: ArrayLike) -> Ids:
        """Those of ``ids`` that a search can find, sorted."""
        given = np.unique(as_ids(ids))
        late = given[[int(id_) in self._tail for id_ in given]] if len(self._tail) else given[:0]
        return np.union1d(self._shown(given), late)

    def _shown(self, ids: Ids) -> Ids:
        """Those of ``ids`` that the base has and that are not hidden."""
        return self._base.present(np.setdiff1d(ids, self._hidden))

    @property
    def is_trained(self) -> bool:
        return True

    @property
    def needs_rebuild(self) -> bool:
        """Never: an overlay lives as long as a reader."""
        return False

    def train(self, sample: Vectors) -> None:
        """Does nothing."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors (n, dim) under ids (n,); raises as ``ExactIndex.add``, and then nothing was added."""
        known = self._shown(as_ids(ids))
        if len(known):
            raise DuplicateId(f"id {known[0]} is in the index already", "remove an id before adding it again")
        self._tail.add(ids, vectors)

    def remove(self, ids: Ids) -> int:
        """Remove ids (n,) and return how many were present."""
        given = np.unique(as_ids(ids))
        shown = self._shown(given)
        self._hidden = np.union1d(self._hidden, given)
        self._covered += len(shown)
        return len(shown) + self._tail.remove(given)

    def search(
        self, queries: Vectors, k: int, *, allowed: Ids | None = None, effort: Effort = DEFAULT_EFFORT
    ) -> Neighbours:
        """The ``k`` nearest vectors to each of ``queries`` (q, dim); with ``allowed``, among these ids only."""
        found = self._base.search(queries, k, allowed=allowed, effort=effort, hidden=self._hidden)
        if len(self._tail) == 0:
            return found
        late = self._tail.search(queries, k, allowed=allowed)
        return ranked(np.hstack([found.ids, late.ids]), np.hstack([found.scores, late.scores]), k)

    def close(self) -> None:
        """Close the base and release the memory."""
        self._base.close()
        self._tail.close()

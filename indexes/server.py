"""ServerIndex: candidates from a server of vectors, scores, order and completeness from here.

A server answers with approximate neighbours, in an order of its own, cut off anywhere among equal scores, and with
fewer than were asked for when a filter meets a graph. So its answers are only candidates: their vectors come with them,
are scored again exactly, and more are fetched until the answer is complete (as :mod:`indexes.widening` does it for
faiss). What a server cannot give at once (its limits on hits and on the length of a filter) is fetched in pieces.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, Vectors, check_effort, check_vectors
from indexes.errors import DuplicateId, VectorIndexError
from indexes.ranking import MARGIN, Block, check_k, exact_scores, nothing_found, ranked, scan
from indexes.rows import RowIds, as_ids
from indexes.server_spec import ServerSpec
from indexes.spec import IndexSpec

NO_IDS: Ids = np.empty(0, np.int64)
_SPARE = 8  # as in widening.py: enough to see that no equal score was cut off
_ROUNDS = 3
_WIDEN = 4
_FEW = 256  # so few allowed vectors are read and compared here
_ANSWER_BYTES = 16 << 20  # of candidates' vectors in one answer
_READ = 1 << 18  # so many vectors are read from the server, if need be, to complete an answer: 0.5 GiB at dimension 512


class Server(Protocol):
    """What :class:`ServerIndex` needs of a server; ``name`` is that of one collection of vectors in it.

    Every method raises IndexUnreachable if the server does not answer, refuses access or has no such collection.

    Attributes:
        most: hits in one answer.
        listed: ids in one filter.
    """

    most: int
    listed: int

    def create(self, name: str, dim: int) -> None:
        """Make an empty collection."""
        ...

    def dim(self, name: str) -> int | None:
        """The dimension of a collection's vectors; None if there is none of this name."""
        ...

    def count(self, name: str) -> int:
        """The number of vectors."""
        ...

    def insert(self, name: str, ids: Ids, vectors: Vectors) -> None:
        """Add vectors (n, dim) under new ids (n,)."""
        ...

    def delete(self, name: str, ids: Ids) -> None:
        """Delete ids (at most ``listed`` of them)."""
        ...

    def present(self, name: str, ids: Ids) -> Ids:
        """Those of ``ids`` (at most ``listed``) that are there."""
        ...

    def vectors(self, name: str, ids: Ids) -> Block:
        """The vectors of those of ``ids`` (at most ``listed``) that are there."""
        ...

    def blocks(self, name: str, dim: int) -> Iterator[Block]:
        """Every vector, in blocks."""
        ...

    def nearest(
        self, name: str, queries: Vectors, count: int, *, among: Ids | None, effort: Effort, thorough: bool
    ) -> list[Block]:
        """About ``count`` candidates for each of ``queries`` (q, dim), with their vectors.

        Args:
            among: only these ids (at most ``listed``).
            thorough: as complete an answer as the server can give.
        """
        ...

    def flush(self, name: str) -> None:
        """Return when everything that was written is safe from a crash of the server."""
        ...

    def settle(self, name: str) -> None:
        """Wait a while for the server to finish building its index of a collection."""
        ...

    def names(self, stem: str) -> list[str]:
        """The collections whose names begin with ``stem``."""
        ...

    def drop(self, name: str) -> None:
        """Delete a collection; nothing if there is none."""
        ...

    def note(self, stem: str) -> bytes | None:
        """What :meth:`write_note` has written last; None if nothing."""
        ...

    def write_note(self, stem: str, note: bytes | None, name: str) -> None:
        """Replace the note of ``stem`` atomically, None to remove it; ``name`` is the collection in use from now on."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class _Asked(NamedTuple):
    """One round of a search."""

    fetch: int
    k: int
    filters: list[Ids | None]
    wanted: Ids | None
    hidden: Ids
    effort: Effort
    thorough: bool


class ServerIndex:
    """One collection in a server, behind the contract of every index.

    Any number of threads may search at the same time. Changes are in the server when a call returns, and safe from its
    crashes after :meth:`keep`. Of more than 262,144 vectors, an answer that the server does not complete in three
    rounds stays as good as it is, because reading all of them would take minutes.

    Args:
        spec: address and kind.
        dim: vector dimension.
        server: an open connection, which the index closes.
        name: of a collection that exists; None: a new one, which is dropped by ``close`` unless it is kept.
        stem: beginning of a new collection's name.
    """

    def __init__(
        self, spec: ServerSpec, dim: int, server: Server, *, name: str | None = None, stem: str | None = None
    ) -> None:
        self.spec: IndexSpec = spec
        self.dim = dim
        self._server = server
        self._is_new = name is None
        self._exists = name is not None
        self.name = name or f"{stem or spec.prefix + '_unsaved'}_{secrets.token_hex(4)}"
        self._count = server.count(self.name) if self._exists else 0
        self._closed = False

    def __len__(self) -> int:
        return self._count

    def __contains__(self, image_id: int) -> bool:
        return len(self.present(np.array([image_id], np.int64))) == 1

    @property
    def is_trained(self) -> bool:
        return True

    @property
    def needs_rebuild(self) -> bool:
        """Never: servers clear what was deleted by themselves."""
        return False

    def train(self, sample: Vectors) -> None:
        """Does nothing: a server learns from what it holds."""

    def present(self, ids: ArrayLike) -> Ids:
        """Those of ``ids`` that are in the index, sorted."""
        self._check_open()
        found = [NO_IDS]
        if self._exists:
            found += [self._server.present(self.name, part) for part in self._listed(_positive(ids))]
        return np.sort(np.concatenate(found))

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors (n, dim) under ids (n,).

        Raises:
            DimensionMismatch, DuplicateId, VectorIndexError: nothing was added.
            IndexUnreachable: some may have been added; add them again after removing them.
        """
        self._check_open()
        vectors = check_vectors(vectors, self.dim)
        new = RowIds().check_new(ids, len(vectors))
        if len(new) == 0:
            return
        if len(known := self.present(new)):
            raise DuplicateId(f"id {known[0]} is in the index already", "remove an id before adding it again")
        if not self._exists:
            self._server.create(self.name, self.dim)
            self._exists = True
        self._server.insert(self.name, new, vectors)
        self._count += len(new)

    def remove(self, ids: Ids) -> int:
        """Remove ids (n,) and return how many were present."""
        gone = self.present(ids)
        for part in self._listed(gone):
            self._server.delete(self.name, part)
        self._count -= len(gone)
        return len(gone)

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        allowed: Ids | None = None,
        effort: Effort = DEFAULT_EFFORT,
        hidden: Ids = NO_IDS,
    ) -> Neighbours:
        """The ``k`` nearest vectors to each of ``queries`` (q, dim); with ``allowed``, among these ids only.

        Few allowed ids are read and compared here, more are a filter in the server; if they are too many for that, more
        candidates are fetched and those that are not allowed are dropped.

        Args:
            hidden: sorted ids that are not found.

        Raises:
            DimensionMismatch, VectorIndexError: queries of another dimension or norm, a number below 1.
            IndexUnreachable: see :class:`Server`.
        """
        self._check_open()
        check_k(k)
        check_effort(effort)
        queries = check_vectors(queries, self.dim)
        wanted = None if allowed is None else _without(_positive(allowed), hidden)
        if not self._exists or len(queries) == 0 or (wanted is not None and len(wanted) == 0):
            return nothing_found(len(queries), k)
        pool = self._count if wanted is None else len(wanted)
        filters = self._filters(wanted, min(k, pool) + _SPARE)
        spread = 1 if wanted is None or filters[0] is not None else -(-self._count // pool)
        best = nothing_found(len(queries), k)
        pending = np.arange(len(queries))
        for round_number in range(_ROUNDS):
            fetch = (min(k, pool) + _SPARE) * _WIDEN**round_number
            ask = fetch * spread
            if len(pending) == 0 or pool <= _FEW or fetch * 2 > pool or ask > self._server.most:
                break
            asked = _Asked(ask, k, filters, wanted, hidden, effort, round_number > 0)
            found, complete = self._judged(queries[pending], asked)
            best.ids[pending], best.scores[pending] = found.ids, found.scores
            pending = pending[~complete]
        if len(pending) and (pool <= _READ or best.ids[pending, 0].max() < 0):
            rest = scan(queries[pending], self._pool_blocks(wanted, hidden), k)
            best.ids[pending], best.scores[pending] = rest.ids, rest.scores
        return best

    def _filters(self, wanted: Ids | None, fetch: int) -> list[Ids | None]:
        """The filters with which the server is asked, one after the other: ids, or None to drop others here."""
        if wanted is None:
            return [None]
        if len(wanted) > self._server.listed and fetch * -(-self._count // len(wanted)) <= self._server.most:
            return [None]
        return list(self._listed(wanted))

    def _judged(self, queries: Vectors, asked: _Asked) -> tuple[Neighbours, NDArray[np.bool_]]:
        """The best of the candidates for each query, and whether no equal or better one can be missing."""
        k = asked.k
        best, complete = nothing_found(len(queries), k), np.zeros(len(queries), np.bool_)
        step = max(1, _ANSWER_BYTES // (asked.fetch * self.dim * 4))
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            answers = [
                self._server.nearest(
                    self.name, part, asked.fetch, among=among, effort=asked.effort, thorough=asked.thorough
                )
                for among in asked.filters
            ]
            for at, blocks in enumerate(zip(*answers, strict=True), start):
                lowest = -np.inf
                for among, block in zip(asked.filters, blocks, strict=True):
                    if len(block.ids) == 0:
                        continue
                    kept = _kept(block, asked.wanted if among is None else None, asked.hidden)
                    scores = exact_scores(queries[at : at + 1], kept.vectors[None])
                    merged = ranked(
                        np.hstack([best.ids[at : at + 1], kept.ids[None]]),
                        np.hstack([best.scores[at : at + 1], scores]),
                        k,
                    )
                    best.ids[at], best.scores[at] = merged.ids[0], merged.scores[0]
                    # A part with fewer rows than were asked for has given all it has.
                    if among is None or len(block.ids) < len(among):
                        lowest = max(lowest, float(scores.min(initial=np.inf)))
                bar = float(best.scores[at, -1]) - 2 * MARGIN
                complete[at] = best.ids[at, -1] >= 0 and lowest < bar
        return best, complete

    def _pool_blocks(self, wanted: Ids | None, hidden: Ids) -> Iterator[Block]:
        """Every vector that a search may find."""
        if wanted is None:
            blocks = self._server.blocks(self.name, self.dim)
        else:
            blocks = (self._server.vectors(self.name, part) for part in self._listed(wanted))
        yield from (_kept(block, None, hidden) for block in blocks if len(block.ids))

    def _listed(self, ids: Ids) -> Iterator[Ids]:
        """``ids`` in parts that fit into one filter."""
        for start in range(0, len(ids), self._server.listed):
            yield ids[start : start + self._server.listed]

    def keep(self) -> int:
        """Make all changes safe from a crash of the server and keep a new collection; how many vectors it holds."""
        self._check_open()
        if not self._exists:
            self._server.create(self.name, self.dim)
            self._exists = True
        self._server.flush(self.name)
        self._count = self._server.count(self.name)
        self._is_new = False
        return self._count

    def close(self) -> None:
        """End the connection; a new collection that was not kept is dropped."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._is_new and self._exists:
                self._server.drop(self.name)
        finally:
            self._server.close()

    def _check_open(self) -> None:
        if self._closed:
            raise VectorIndexError("this index is closed", "open it again")


def _positive(ids: ArrayLike) -> Ids:
    """``ids`` as sorted int64, each once, without negative ones. Raises VectorIndexError if they are no integers."""
    array = np.unique(as_ids(ids))
    return array[np.searchsorted(array, 0) :]


def _without(ids: Ids, hidden: Ids) -> Ids:
    return ids[~_in_sorted(ids, hidden)] if len(hidden) else ids


def _kept(block: Block, wanted: Ids | None, hidden: Ids) -> Block:
    """The rows of a block that are wanted and not hidden."""
    keep = np.ones(len(block.ids), np.bool_) if wanted is None else _in_sorted(block.ids, wanted)
    if len(hidden):
        keep &= ~_in_sorted(block.ids, hidden)
    return block if keep.all() else Block(block.ids[keep], block.vectors[keep])


def _in_sorted(ids: Ids, known: Ids) -> NDArray[np.bool_]:
    """Whether each of ``ids`` is among ``known``, which is sorted."""
    if len(known) == 0:
        return np.zeros(len(ids), np.bool_)
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    found: NDArray[np.bool_] = known[places] == ids
    return found

"""Turn a backend's approximate candidates into a complete, correctly ordered result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Neighbours, Vectors
from indexes.ranking import MARGIN, Block, exact_scores, nothing_found, ranked, scan

Rows = NDArray[np.int64]

_SPARE = 8  # candidates beyond k: enough to detect that no equal score was cut off
_ROUNDS = 3
_WIDEN = 4
_SCAN_BLOCK = 8192
_DECODED_FLOATS = 4 * 1024 * 1024  # candidates decoded at a time: 16 MiB


@dataclass(frozen=True)
class Pool:
    """The rows that a search may return.

    Args:
        mask: (total,) True for these rows; None means all.
        size: The number of these rows.
        total: Rows in the index, including removed ones.
    """

    mask: NDArray[np.bool_] | None
    size: int
    total: int

    @property
    def rows(self) -> Rows:
        return np.arange(self.total) if self.mask is None else np.flatnonzero(self.mask)


@dataclass(frozen=True)
class Candidates:
    """What a backend provides for one search.

    Args:
        fetch: ``fetch(queries, count, thorough)`` returns rows (q, count or more), -1 where none was found.
            ``thorough`` requests the best of the whole pool, however long it takes. Rows outside the pool are
            ignored.
        decode: From rows (m,) to their vectors (m, dim), as exactly as they are stored.
        ids: (total,) the id in each row.
    """

    fetch: Callable[[Vectors, int, bool], Rows]
    decode: Callable[[Rows], Vectors]
    ids: Ids

    def blocks(self, rows: Rows) -> Iterator[Block]:
        for start in range(0, len(rows), _SCAN_BLOCK):
            some = rows[start : start + _SCAN_BLOCK]
            yield Block(self.ids[some], self.decode(some))


def search_rows(candidates: Candidates, queries: Vectors, k: int, rows: Rows) -> Neighbours:
    """The ``k`` nearest to each of ``queries`` (q, dim) among ``rows``, each decoded and compared."""
    return scan(queries, candidates.blocks(rows), k)


def search_pool(candidates: Candidates, queries: Vectors, k: int, pool: Pool, *, thorough: bool) -> Neighbours:
    """The ``k`` nearest to each of ``queries`` (q, dim) in ``pool``, among the backend's candidates.

    A query is repeated, thoroughly and for four times as many candidates, if fewer live candidates than hits were
    found or if the last candidate scores like the last hit, so that an equal score may have been cut off.
    After three rounds, or when half of the pool would have to be fetched, every row of the pool is compared here.
    """
    best = nothing_found(len(queries), k)
    want = min(k, pool.size)
    pending = np.arange(len(queries))
    for round_number in range(_ROUNDS):
        fetch = (want + _SPARE) * _WIDEN**round_number
        if len(pending) == 0 or fetch * 2 > pool.size:
            break
        rows = candidates.fetch(queries[pending], fetch, thorough or round_number > 0)
        found, complete = _judged(candidates, queries[pending], rows, want, pool)
        best.ids[pending, :want], best.scores[pending, :want] = found.ids, found.scores
        pending = pending[~complete]
    if len(pending) and pool.size:
        rest = search_rows(candidates, queries[pending], k, pool.rows)
        best.ids[pending], best.scores[pending] = rest.ids, rest.scores
    return best


def nearest_in_pool(
    queries: Vectors, rows: Rows, pool: Pool, count: int, decode: Callable[[Rows], Vectors]
) -> tuple[Rows, NDArray[np.int64]]:
    """The ``count`` rows nearest to each of ``queries``, from its candidates ``rows`` (q, m) that are in the pool.

    Returns:
        Rows (q, count), -1 where there are fewer, and the number of candidates (q,) that are in the pool.
    """
    best = np.full((len(queries), count), -1, dtype=np.int64)
    found = np.zeros(len(queries), dtype=np.int64)
    for number, listed in enumerate(rows):
        kept = listed[(listed >= 0) & (True if pool.mask is None else pool.mask[listed])]
        found[number] = len(kept)
        if len(kept) > count:
            rough = decode(kept) @ queries[number]
            kept = kept[np.argpartition(-rough, count - 1)[:count]]
        best[number, : len(kept)] = kept
    return best, found


def _judged(
    candidates: Candidates, queries: Vectors, rows: Rows, want: int, pool: Pool
) -> tuple[Neighbours, NDArray[np.bool_]]:
    """The best ``want`` of the candidates ``rows``, and the queries for which they are complete."""
    if pool.mask is not None:
        rows = np.where((rows >= 0) & pool.mask[rows], rows, -1)
    scores = _rescored(candidates, queries, rows)
    found = ranked(np.where(rows >= 0, candidates.ids[rows], -1), scores, want)
    lowest = np.where(rows >= 0, scores, np.inf).min(axis=1)
    complete = (found.ids[:, -1] >= 0) & (lowest < found.scores[:, -1] - 2 * MARGIN)
    return found, complete


def _rescored(candidates: Candidates, queries: Vectors, rows: Rows) -> NDArray[np.float32]:
    scores = np.empty(rows.shape, dtype=np.float32)
    q_step = max(1, _DECODED_FLOATS // (rows.shape[1] * queries.shape[1]))
    for start in range(0, len(rows), q_step):
        part = slice(start, start + q_step)
        decoded = candidates.decode(np.maximum(rows[part], 0).ravel())
        scores[part] = exact_scores(queries[part], decoded.reshape(*rows[part].shape, -1))
    return scores

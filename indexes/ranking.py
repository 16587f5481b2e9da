"""Rank candidates by exact score. All backends use this code for order and ties."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Neighbours, Vectors
from indexes.errors import VectorIndexError

BLOCK_ROWS = 65_536
_QUERY_CHUNK = 64  # 64 queries x 65,536 rows of float32 scores are 16 MiB, for any gallery size
_EXACT_ROWS = 4096  # rows scored in float64 at a time: 16 MiB at dimension 512

# A float32 product of 512 terms has an error of up to a few 1e-6, and BLAS rounds equal rows differently depending
# on their position in the matrix. Candidates this close to the k-th are scored again before they are ranked.
MARGIN = 1e-5


class Block(NamedTuple):
    """Some stored vectors.

    Attributes:
        ids: (m,) int64; -1 marks a row that must not be found.
        vectors: (m, dim) float32.
    """

    ids: Ids
    vectors: Vectors


def exact_scores(queries: Vectors, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products of each of ``queries`` (q, dim) with its own ``vectors`` (q, m, dim), as float32 (q, m).

    Summed in float64, in an order that depends only on ``dim``, so equal vectors get equal scores wherever
    they are stored and however many queries are processed at once. Clipped to [-1, 1].
    """
    products = np.multiply(vectors, queries[:, None, :], dtype=np.float64).sum(axis=-1)
    scores: NDArray[np.float32] = np.clip(products, -1.0, 1.0).astype(np.float32)
    return scores


def ranked(ids: Ids, scores: NDArray[np.float32], k: int) -> Neighbours:
    """The best ``k`` of each row of ``ids`` and ``scores`` (q, m); entries with an id of -1 are ignored."""
    scores = np.where((ids < 0) | np.isnan(scores), np.float32(-np.inf), scores)
    order = np.lexsort((ids, -scores), axis=-1)[:, :k]
    best = nothing_found(len(ids), k)
    width = order.shape[1]
    best.scores[:, :width] = np.take_along_axis(scores, order, axis=1)
    best.ids[:, :width] = np.take_along_axis(ids, order, axis=1)
    best.ids[np.isneginf(best.scores)] = -1
    return best


def nothing_found(n_queries: int, k: int) -> Neighbours:
    """A result that is only padding: ids -1, scores -inf, both (n_queries, k)."""
    return Neighbours(
        np.full((n_queries, k), -1, dtype=np.int64),
        np.full((n_queries, k), -np.inf, dtype=np.float32),
    )


def scan(queries: Vectors, blocks: Iterable[Block], k: int) -> Neighbours:
    """Compare ``queries`` (q, dim) with every row of every block and keep the best ``k``."""
    best = nothing_found(len(queries), k)
    for block in blocks:
        excluded = block.ids < 0
        skip = excluded if excluded.any() else None
        for start in range(0, len(queries), _QUERY_CHUNK):
            part = slice(start, start + _QUERY_CHUNK)
            # A damaged file may contain NaN or huge values; such rows are dropped below, so numpy need not warn.
            with np.errstate(invalid="ignore", over="ignore"):
                rough = queries[part] @ block.vectors.T
            if skip is not None:
                rough[:, skip] = -np.inf
            for offset, scores in enumerate(rough):
                _offer(best, start + offset, queries, block, scores, k)
    return best


def _offer(best: Neighbours, query: int, queries: Vectors, block: Block, rough: NDArray[np.float32], k: int) -> None:
    """Merge the best rows of one block into the result of one query."""
    bar = max(_kth(rough, k), float(best.scores[query, -1]))
    rows = np.flatnonzero((rough >= bar - MARGIN) & np.isfinite(rough))
    if len(rows) == 0:
        return
    own = queries[query : query + 1]
    pieces = np.array_split(rows, -(-len(rows) // _EXACT_ROWS))
    scores = [exact_scores(own, block.vectors[piece][None])[0] for piece in pieces]
    merged = ranked(
        np.concatenate([best.ids[query], block.ids[rows]])[None],
        np.concatenate([best.scores[query], *scores])[None],
        k,
    )
    best.ids[query], best.scores[query] = merged.ids[0], merged.scores[0]


def _kth(scores: NDArray[np.float32], k: int) -> float:
    """The ``k``-th largest finite number in ``scores``; -inf if there are fewer than ``k``."""
    if len(scores) <= k:
        return -np.inf
    top = np.partition(scores, len(scores) - k)[-k:]
    if not (top < np.inf).all():  # NaN sorts last, so any NaN is in the top
        return _kth(scores[np.isfinite(scores)], k)
    return float(top[0])


def check_k(k: int) -> None:
    """Raise VectorIndexError unless ``k`` is a valid number of hits."""
    if k < 1:
        raise VectorIndexError(f"cannot return {k} hits", "ask for at least 1")

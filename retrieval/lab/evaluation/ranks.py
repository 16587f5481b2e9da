"""The ranks of the right answers among all candidates: exact search, ties against the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.errors import QueryError

_QUERIES = 256
_CANDIDATES = 8192  # 256 x 8,192 float64 scores are 16 MiB


@dataclass(frozen=True)
class Relevance:
    """The right answers to each query.

    Attributes:
        starts: (q + 1,) int64: query i's answers are ``items[starts[i]:starts[i + 1]]``, at least one.
        items: int64 rows of the candidates; no row occurs twice for one query.
    """

    starts: Ids
    items: Ids

    @classmethod
    def of(cls, answers: Sequence[Sequence[int]]) -> Relevance:
        """From a list of candidates' rows per query; repetitions count once.

        Raises:
            QueryError: a query has no right answer, so no ranking of it can be evaluated.
        """
        if not answers or not all(len(each) for each in answers):
            raise QueryError("a query has no right answer", "leave it out of the evaluation")
        distinct = [sorted(set(map(int, each))) for each in answers]
        starts = np.concatenate([[0], np.cumsum([len(each) for each in distinct])]).astype(np.int64)
        return cls(starts, np.array([item for each in distinct for item in each], dtype=np.int64))

    @property
    def counts(self) -> Ids:
        """(q,) the number of right answers of each query."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Ranks:
    """The input of ranking metrics.

    Attributes:
        starts: as in :class:`Relevance`.
        ranks: int64, from 1: the ranks of a query's right answers, ascending and distinct.
        candidates: number of candidates.
    """

    starts: Ids
    ranks: Ids
    candidates: int

    @property
    def best(self) -> Ids:
        """(q,) the rank of each query's first right answer."""
        return self.ranks[self.starts[:-1]]

    @property
    def counts(self) -> Ids:
        """(q,) the number of right answers of each query."""
        return np.diff(self.starts)


def rank_relevant(queries: Vectors, candidates: Vectors, relevance: Relevance) -> Ranks:
    """The rank of every right answer among all candidates by cosine similarity, searched exactly.

    A wrong candidate with the same score as a right one is ranked before it. So the ranks do not depend on the order of
    the candidates, and an encoder that maps everything to one point is not rewarded. Scores are summed in float64 and
    rounded to float32: candidates with equal vectors get equal scores at all positions, unlike with BLAS in
    float32.

    Args:
        queries: (q, dim) unit vectors.
        candidates: (n, dim) unit vectors.
        relevance: for q queries and n candidates.

    Raises:
        QueryError: the shapes do not match.
    """
    _check(queries, candidates, relevance)
    ahead = np.empty(len(relevance.items), dtype=np.int64)
    for first in range(0, len(queries), _QUERIES):
        last = min(first + _QUERIES, len(queries))
        part = slice(relevance.starts[first], relevance.starts[last])
        owner = np.repeat(np.arange(last - first), relevance.counts[first:last])
        ahead[part] = _wrong_ahead(queries[first:last], candidates, owner, relevance.items[part])
    order = np.lexsort((ahead, np.repeat(np.arange(len(queries)), relevance.counts)))
    place = np.arange(len(ahead)) - np.repeat(relevance.starts[:-1], relevance.counts)
    return Ranks(relevance.starts, 1 + ahead[order] + place, len(candidates))


def _wrong_ahead(queries: Vectors, candidates: Vectors, owner: Ids, items: Ids) -> Ids:
    """For each right answer ``items`` of query ``owner``: how many wrong candidates score as high or higher."""
    wide = queries.astype(np.float64)
    own = np.empty(len(items), dtype=np.float32)
    for start in range(0, len(items), _CANDIDATES):
        part = slice(start, start + _CANDIDATES)
        own[part] = np.einsum("ij,ij->i", wide[owner[part]], candidates[items[part]], dtype=np.float64)
    ahead = np.zeros(len(items), dtype=np.int64)
    # By position among a query's answers: one comparison of the block for all first ones, then for all second ...
    places = np.arange(len(items)) - np.searchsorted(owner, owner)
    for start in range(0, len(candidates), _CANDIDATES):
        block = candidates[start : start + _CANDIDATES].astype(np.float64)
        scores = (wide @ block.T).astype(np.float32)
        inside = (items >= start) & (items < start + len(block))
        scores[owner[inside], items[inside] - start] = -np.inf
        for place in range(int(places.max()) + 1):
            at = np.flatnonzero(places == place)
            ahead[at] += (scores[owner[at]] >= own[at, None]).sum(axis=1)
    return ahead


def _check(queries: Vectors, candidates: Vectors, relevance: Relevance) -> None:
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise QueryError(
            f"queries of shape {queries.shape} and candidates of shape {candidates.shape} have no common space",
            "embed both with one encoder",
        )
    if len(relevance.starts) != len(queries) + 1:
        raise QueryError(f"right answers are known for {len(relevance.starts) - 1} of {len(queries)} queries", "")
    if relevance.items.min() < 0 or relevance.items.max() >= len(candidates):
        raise QueryError(f"a right answer is not among the {len(candidates)} candidates", "give rows from 0")

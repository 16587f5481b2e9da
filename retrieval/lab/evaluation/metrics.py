"""Ranking metrics, one number per query; :mod:`.bootstrap` takes the mean (or median) over queries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SettingsError
from retrieval.lab.evaluation.ranks import Ranks

PerQuery = NDArray[np.float64]
"""(q,) one value per query."""


def hits_at(ranks: Ranks, k: int) -> PerQuery:
    """1 if any right answer is among the first ``k``, else 0. The mean is hit_rate@k, which papers on COCO and
    Flickr30k call R@k (Karpathy and Fei-Fei, arXiv:1412.2306, section 4.2)."""
    return (ranks.best <= _checked(k)).astype(np.float64)


def recall_at(ranks: Ranks, k: int) -> PerQuery:
    """The fraction of a query's right answers that are among the first ``k``: recall as in information retrieval.

    Equal to :func:`hits_at` if there is one right answer; with five of them recall@1 is at most 0.2.
    """
    return _per_query(ranks, (ranks.ranks <= _checked(k)).astype(np.float64)) / ranks.counts


def reciprocal_rank(ranks: Ranks) -> PerQuery:
    """1 / rank of the first right answer; the mean is MRR."""
    return 1.0 / ranks.best


def ndcg_at(ranks: Ranks, k: int) -> PerQuery:
    """Normalised discounted cumulative gain with relevance 0 or 1.

    The sum of 1/log2(1 + rank) over right answers up to rank ``k``, divided by that of the best possible ranking
    (Järvelin and Kekäläinen 2002, in the form with log2(1 + rank)).
    """
    _checked(k)
    gains = np.where(ranks.ranks <= k, 1.0 / np.log2(1.0 + ranks.ranks), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(1.0 + np.arange(1, k + 1)))])
    result: PerQuery = _per_query(ranks, gains) / ideal[np.minimum(ranks.counts, k)]
    return result


def _per_query(ranks: Ranks, values: PerQuery) -> PerQuery:
    sums: PerQuery = np.add.reduceat(values, ranks.starts[:-1])  # every query has an answer
    return sums


def _checked(k: int) -> int:
    if k < 1:
        raise SettingsError(f"the first {k} hits are none", "give a k from 1 up")
    return k

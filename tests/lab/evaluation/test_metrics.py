"""Ranking metrics, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.errors import SettingsError
from retrieval.lab.evaluation.metrics import hits_at, ndcg_at, recall_at, reciprocal_rank
from retrieval.lab.evaluation.ranks import Ranks

RANKS = Ranks(np.array([0, 1, 4, 6]), np.array([3, 1, 2, 12, 5, 11]), 20)
"""Three queries: right answers at 3; at 1, 2 and 12; at 5 and 11."""


def test_hits_ask_for_one_right_answer() -> None:
    assert hits_at(RANKS, 1).tolist() == [0, 1, 0]
    assert hits_at(RANKS, 5).tolist() == [1, 1, 1]


def test_recall_asks_for_all_of_them() -> None:
    np.testing.assert_allclose(recall_at(RANKS, 2), [0, 2 / 3, 0])
    np.testing.assert_allclose(recall_at(RANKS, 11), [1, 2 / 3, 1])
    np.testing.assert_allclose(recall_at(RANKS, 20), [1, 1, 1])


def test_reciprocal_rank_is_of_the_first() -> None:
    np.testing.assert_allclose(reciprocal_rank(RANKS), [1 / 3, 1, 1 / 5])


def test_ndcg_by_hand() -> None:
    gain = [0, *(1 / np.log2(1 + rank) for rank in range(1, 13))]
    expected = [
        gain[3] / gain[1],
        (gain[1] + gain[2]) / (gain[1] + gain[2] + gain[3]),  # the one at 12 is out of sight
        gain[5] / (gain[1] + gain[2]),
    ]
    np.testing.assert_allclose(ndcg_at(RANKS, 10), expected)
    np.testing.assert_allclose(ndcg_at(RANKS, 1), [0, 1, 0])


@pytest.mark.parametrize("metric", [hits_at, recall_at, ndcg_at])
def test_k_is_at_least_one(metric: object) -> None:
    with pytest.raises(SettingsError):
        metric(RANKS, 0)  # type: ignore[operator]

"""Ranks: by hand, compared with a plain sort, with ties and blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.encoders.base import unit
from retrieval.errors import QueryError
from retrieval.lab.evaluation import ranks as module
from retrieval.lab.evaluation.ranks import Relevance, rank_relevant

EYE = np.eye(4, dtype=np.float32)


def test_by_hand() -> None:
    queries = unit(np.array([[4, 3, 2, 1], [1, 2, 3, 4]], dtype=np.float32))
    found = rank_relevant(queries, EYE, Relevance.of([[1], [3, 0]]))
    assert found.ranks.tolist() == [2, 1, 4]
    assert found.starts.tolist() == [0, 1, 3]
    assert found.best.tolist() == [2, 1]
    assert found.candidates == 4


def test_right_answers_do_not_stand_before_each_other_twice() -> None:
    queries = unit(np.array([[4, 3, 2, 1]], dtype=np.float32))
    assert rank_relevant(queries, EYE, Relevance.of([[2, 0, 1, 0]])).ranks.tolist() == [1, 2, 3]


def test_ties_stand_against_the_encoder() -> None:
    same = np.repeat(EYE[:1], 5, axis=0)
    assert rank_relevant(same[:2], same, Relevance.of([[0], [1, 2]])).ranks.tolist() == [5, 4, 5]


def test_equal_vectors_tie_wherever_they_lie() -> None:
    generator = np.random.default_rng(0)
    picture = unit(generator.normal(size=(1, 333)))
    others = unit(generator.normal(size=(997, 333)))
    candidates = np.concatenate([picture, others, picture])
    queries = unit(picture + 0.1 * generator.normal(size=(300, 333)))
    found = rank_relevant(queries, candidates, Relevance.of([[0]] * 300))
    assert (found.ranks == 2).all(), "float32 products of equal rows differ in the last bit"


@given(
    st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5]), st.sampled_from([1, 4])
)
@settings(max_examples=60, deadline=None)
def test_equal_to_a_plain_count(queries: int, candidates: int, seed: int, q_block: int, c_block: int) -> None:
    generator = np.random.default_rng(seed)
    asked = unit(generator.integers(1, 4, size=(queries, 3)).astype(np.float32))  # few directions, so that many tie
    given_ = unit(generator.integers(1, 4, size=(candidates, 3)).astype(np.float32))
    right = [generator.permutation(candidates)[: generator.integers(1, candidates + 1)].tolist() for _ in asked]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_QUERIES", q_block)
        patch.setattr(module, "_CANDIDATES", c_block)
        found = rank_relevant(asked, given_, Relevance.of(right))
    for row, answers in enumerate(right):
        scores = (asked[row].astype(float) @ given_.T.astype(float)).astype(np.float32)
        wrong = np.delete(np.arange(candidates), answers)
        best_first = sorted(scores[answers], reverse=True)
        expected = [1 + at + int((scores[wrong] >= score).sum()) for at, score in enumerate(best_first)]
        assert found.ranks[found.starts[row] : found.starts[row + 1]].tolist() == expected


def test_order_of_the_candidates_does_not_matter() -> None:
    generator = np.random.default_rng(3)
    queries, candidates = unit(generator.normal(size=(20, 8))), unit(generator.normal(size=(30, 8)))
    candidates[7] = candidates[3]
    right = [generator.permutation(30)[:3].tolist() for _ in range(20)]
    order = generator.permutation(30)
    moved = np.argsort(order)
    before = rank_relevant(queries, candidates, Relevance.of(right))
    after = rank_relevant(queries, candidates[order], Relevance.of([[int(moved[i]) for i in each] for each in right]))
    assert before.ranks.tolist() == after.ranks.tolist()


@pytest.mark.parametrize(
    ("queries", "candidates", "right"),
    [
        (EYE[:, :3], EYE, [[0]] * 4),
        (EYE, EYE, [[0]] * 3),
        (EYE, EYE, [[4], [0], [0], [0]]),
        (EYE, EYE, [[-1], [0], [0], [0]]),
        (EYE, EYE, [[0], [], [0], [0]]),
        (EYE, EYE, []),
    ],
)
def test_what_does_not_fit_is_refused(queries: np.ndarray, candidates: np.ndarray, right: list[list[int]]) -> None:
    with pytest.raises(QueryError):
        rank_relevant(queries, candidates, Relevance.of(right))

"""Grouping: one person in one group, known persons grow, and what people said is never contradicted."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.catalog.faces import FaceVectors
from retrieval.faces.grouping import SIMILAR, Grouped, grouped
from retrieval.faces.models import DIM


def faces_of(persons: int, each: int, seed: int = 0) -> np.ndarray:
    """Unit vectors: ``each`` around every one of ``persons`` random directions, with cosines of about 0.97."""
    random = np.random.default_rng(seed)
    middles = np.repeat(random.standard_normal((persons, DIM)), each, axis=0)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    found = middles + 0.17 * random.standard_normal(middles.shape) / np.sqrt(DIM)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def of(vectors: np.ndarray, persons: list[int] | None = None, known: list[bool] | None = None) -> FaceVectors:
    count = len(vectors)
    return FaceVectors(
        np.arange(1, count + 1),
        np.array(persons or [0] * count, np.int64),
        np.array(known or [bool(p) for p in persons or [0] * count], np.bool_),
        vectors,
    )


def found(faces: FaceVectors, rejected: dict[int, frozenset[int]] | None = None) -> Grouped:
    result = grouped(faces, rejected or {})
    assert result is not None
    return result


def test_each_person_is_one_group_and_strangers_stay_alone() -> None:
    vectors = np.concatenate([faces_of(5, 6), faces_of(3, 1, seed=1)])
    result = found(of(vectors))
    assert sorted(sorted(group) for group in result.new) == [list(range(6 * n + 1, 6 * n + 7)) for n in range(5)]
    assert sorted(result.alone) == [31, 32, 33] and result.joined == []


def test_new_faces_join_known_persons_which_do_not_change() -> None:
    vectors = faces_of(2, 4)
    result = found(of(vectors, [7, 7, 7, 0, 9, 9, 0, 0], [True, True, True, False, True, True, False, False]))
    assert sorted(result.joined) == [(4, 7), (7, 9), (8, 9)] and result.new == []


def test_two_persons_who_are_alike_are_not_merged_by_a_face_between_them() -> None:
    vectors = faces_of(1, 5)
    result = found(of(vectors, [7, 7, 9, 9, 0], [True, True, True, True, False]))
    assert len(result.joined) == 1 and result.new == []


def test_a_face_alone_joins_when_another_one_comes() -> None:
    vectors = faces_of(1, 2)
    result = found(of(vectors, [0, 0], [True, False]))
    assert [sorted(group) for group in result.new] == [[1, 2]]


def test_a_rejected_person_gets_no_vote() -> None:
    vectors = faces_of(1, 4)
    result = found(of(vectors, [7, 7, 7, 0], [True, True, True, False]), {4: frozenset({7})})
    assert result == Grouped([], [], [4])


def test_faces_that_were_considered_are_not_considered_again() -> None:
    assert found(of(faces_of(1, 3), [0, 0, 0], [True, True, True])) == Grouped([], [], [])
    assert found(of(np.empty((0, DIM), np.float32))) == Grouped([], [], [])


def test_it_can_be_stopped() -> None:
    assert grouped(of(faces_of(2, 3)), {}, lambda: True) is None


@pytest.mark.parametrize("gap", [-0.02, 0.02])
def test_the_cosine_decides(gap: float) -> None:
    cosine = SIMILAR + gap
    vectors = np.zeros((2, DIM), np.float32)
    vectors[0, 0], vectors[1, 0], vectors[1, 1] = 1, cosine, np.sqrt(1 - cosine**2)
    assert bool(found(of(vectors)).new) == (gap > 0)

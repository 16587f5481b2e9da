"""Splits by picture, probes, few shots."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.errors import QueryError, SettingsError
from retrieval.lab.evaluation.probe import (
    FEW_SHOT_PENALTY,
    PENALTIES,
    choose_penalty,
    few_shot,
    parse_shots,
    probe,
    split_rows,
    student_interval,
)
from tests.lab.evaluation.spaces import labelled

LABELS = np.repeat(np.arange(4), [10, 5, 2, 1])


def test_a_share_of_each_class_is_put_aside() -> None:
    split = split_rows(LABELS, np.arange(18))
    assert np.bincount(LABELS[split.test], minlength=4).tolist() == [2, 1, 1, 0]
    assert sorted([*split.train, *split.test]) == list(range(18))


def test_the_seed_decides() -> None:
    splits = [split_rows(LABELS, np.arange(18), seed=seed).test.tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("seed", range(5))
def test_copies_of_a_picture_come_to_one_side(seed: int) -> None:
    groups = np.repeat(np.arange(6), 3)  # the third picture stands in two classes
    split = split_rows(LABELS, groups, seed=seed)
    assert set(groups[split.train]).isdisjoint(groups[split.test])


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_of_two_classes_does_not_take_the_last_one_to_learn_from(seed: int) -> None:
    labels = np.array([0, 0, 1, 1])
    split = split_rows(labels, np.array([0, 1, 0, 2]), seed=seed)
    assert set(labels[split.train]) == {0, 1}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_side_may_not_be_empty(share: float) -> None:
    with pytest.raises(SettingsError):
        split_rows(LABELS, np.arange(18), share=share)


def test_single_pictures_cannot_be_judged_by() -> None:
    with pytest.raises(QueryError):
        split_rows(np.arange(3), np.arange(3))


def test_probes_learn_what_is_there_to_learn() -> None:
    vectors, labels = labelled(40, 5, noise=0.5)
    found = probe(vectors[:150], labels[:150], vectors[150:], labels[150:], 5)
    assert (found.train, found.test) == (150, 50)
    assert found.penalty in PENALTIES
    assert found.knn["acc@1"].value > 0.6
    assert found.linear["acc@1"].value > 0.6
    shuffled = np.random.default_rng(0).permutation(labels[:150])
    by_chance = probe(vectors[:150], shuffled, vectors[150:], labels[150:], 5)
    assert by_chance.knn["acc@1"].value < 0.45
    assert by_chance.linear["acc@1"].value < 0.45


def test_noise_wants_a_penalty() -> None:
    vectors, labels = labelled(30, 2, noise=4.0)
    assert choose_penalty(vectors, labels, 2) > min(PENALTIES)
    assert choose_penalty(vectors[:2], np.arange(2), 2) == FEW_SHOT_PENALTY


def test_more_shots_teach_more() -> None:
    vectors, labels = labelled(60, 5, noise=0.8)
    found = few_shot(vectors[:150], labels[:150], vectors[150:], labels[150:], 5, shots=(16, 1, 4), draws=4)
    assert [each.shots for each in found] == [1, 4, 16]
    assert found[0].nearest_mean.value < found[2].nearest_mean.value
    assert found[0].linear.value < found[2].linear.value
    assert found[0].linear.low < found[0].linear.value < found[0].linear.high
    again = few_shot(vectors[:150], labels[:150], vectors[150:], labels[150:], 5, shots=(1,), draws=4)
    assert again == found[:1]


def test_shots_that_cannot_be_drawn_are_left_out() -> None:
    vectors, labels = labelled(6, 3)
    arguments = (vectors[:12], np.repeat(np.arange(3), 4), vectors[12:], labels[12:], 3)
    assert [each.shots for each in few_shot(*arguments, shots=(2, 8))] == [2]
    with pytest.raises(SettingsError):
        few_shot(*arguments, shots=(8,))
    with pytest.raises(SettingsError):
        few_shot(*arguments, shots=(1,), draws=1)


def test_students_interval() -> None:
    found = student_interval([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high == pytest.approx(2 + 4.303 / np.sqrt(3), abs=1e-6)
    many = student_interval([0.0, 1.0] * 50)
    assert many.high - 0.5 == pytest.approx(1.984 * np.std([0, 1] * 50, ddof=1) / 10, rel=1e-3)


def test_shots_as_people_write_them() -> None:
    assert parse_shots("1, 2,8") == (1, 2, 8)
    for wrong in ("", "0", "two", "1,,2"):
        with pytest.raises(SettingsError):
            parse_shots(wrong)

"""Accuracy, mean per-class recall, confusion: by hand, and compared with open_clip's and other k-NN code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retrieval.errors import QueryError, SettingsError
from retrieval.lab.evaluation.classification import accuracies, class_ranks, most_confused
from retrieval.lab.evaluation.neighbours import knn_scores
from tests.lab.evaluation.spaces import labelled

SCORES = np.array([[9, 5, 1], [5, 9, 1], [5, 9, 1], [2, 9, 3], [1, 5, 9]], dtype=float)
LABELS = np.array([0, 0, 0, 2, 2])


def test_ranks_by_hand() -> None:
    assert class_ranks(SCORES, LABELS).tolist() == [1, 2, 2, 2, 1]


def test_equal_scores_go_to_the_first_class() -> None:
    assert class_ranks(np.zeros((3, 3)), np.array([0, 1, 2])).tolist() == [1, 2, 3]


def test_accuracies_by_hand() -> None:
    found = accuracies(class_ranks(SCORES, LABELS), LABELS, ks=(1, 2))
    assert found["acc@1"].value == pytest.approx(2 / 5)
    assert found["acc@2"].value == 1
    assert found["mean per-class recall"].value == pytest.approx((1 / 3 + 1 / 2) / 2), "class 1 has no picture"
    low, high = found["mean per-class recall"][1:]
    assert low <= 5 / 12 <= high
    assert found["acc@2"] == (1, 1, 1)


def test_confusions_by_hand() -> None:
    found = most_confused(SCORES, LABELS)
    assert [tuple(each) for each in found] == [(0, 1, 2, 2 / 3), (2, 1, 1, 1 / 2)]
    assert most_confused(SCORES, LABELS, 1) == found[:1]
    assert most_confused(np.eye(3), np.arange(3)) == []


def test_labels_have_to_fit() -> None:
    with pytest.raises(QueryError):
        class_ranks(SCORES, LABELS[:-1])


def test_neighbours_vote_by_similarity() -> None:
    known = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8]], dtype=np.float32)
    votes = knn_scores(known[:1], known, np.array([1, 0, 0]), 3, k=2, temperature=0.5)
    np.testing.assert_allclose(votes, [[np.exp(-0.2 / 0.5), 1, 0]], rtol=1e-6)
    assert knn_scores(known[:1], known, np.array([1, 0, 0]), 2, k=20)[0, 0] > 0, "fewer than k are all asked"


def test_a_picture_does_not_vote_for_itself() -> None:
    known = np.eye(3, dtype=np.float32)
    votes = knn_scores(known, known, np.arange(3), 3, leave_out=np.arange(3))
    assert (np.diag(votes) == 0).all()
    assert (votes.sum(axis=1) > 0).all()


@pytest.mark.parametrize(("k", "temperature"), [(0, 0.07), (5, 0.0)])
def test_nobody_votes_is_refused(k: int, temperature: float) -> None:
    with pytest.raises(SettingsError):
        knn_scores(
            np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), np.arange(2), 2, k=k, temperature=temperature
        )


@pytest.mark.torch
def test_accuracy_is_open_clips() -> None:
    """``accuracy`` of open_clip_train and clip_benchmark, stated again (theirs stumbles over new numpy)."""
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    scores, labels = generator.normal(size=(70, 9)), generator.integers(9, size=70)
    predicted = torch.from_numpy(scores).topk(5, 1, True, True)[1].t()
    correct = predicted.eq(torch.from_numpy(labels).view(1, -1).expand_as(predicted))
    found = accuracies(class_ranks(scores, labels), labels)
    for k in (1, 5):
        assert found[f"acc@{k}"].value == pytest.approx(correct[:k].sum().item() / 70)
    # clip_benchmark takes scikit-learn's balanced accuracy: the mean of the classes' recalls.
    recalls = [(scores[labels == each].argmax(axis=1) == each).mean() for each in range(9)]
    assert found["mean per-class recall"].value == pytest.approx(np.mean(recalls))


@pytest.mark.torch
def test_votes_are_dinos() -> None:
    """The loop of ``eval_knn.py`` in facebookresearch/dino, stated again for one chunk."""
    torch = pytest.importorskip("torch")
    (train, train_labels), (test, test_labels) = labelled(12, 6), labelled(4, 6, seed=0)

    def theirs(k: int, temperature: float) -> Any:
        distances, indices = (torch.from_numpy(test) @ torch.from_numpy(train).t()).topk(k, largest=True, sorted=True)
        neighbours = torch.from_numpy(train_labels).view(1, -1).expand(len(test), -1).gather(1, indices)
        one_hot = torch.zeros(len(test) * k, 6).scatter_(1, neighbours.reshape(-1, 1), 1)
        weights = distances.clone().div_(temperature).exp_()
        return torch.sum(one_hot.view(len(test), k, 6) * weights.view(len(test), k, 1), 1)

    votes = theirs(20, 0.07)
    ours = knn_scores(test, train, train_labels, 6)
    np.testing.assert_allclose(ours * np.exp(1 / 0.07), votes.numpy(), rtol=2e-4)
    right = (votes.argmax(1).numpy() == test_labels).mean()
    assert (class_ranks(ours, test_labels) == 1).mean() == pytest.approx(right)

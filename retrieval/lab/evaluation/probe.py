"""Simple classifiers trained on top of fixed embeddings of labelled pictures: probes and few-shot learning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.encoders.base import unit
from retrieval.errors import QueryError, SettingsError
from retrieval.lab.evaluation.bootstrap import RESAMPLES, Estimate
from retrieval.lab.evaluation.classification import accuracies, class_ranks
from retrieval.lab.evaluation.logistic import fit_probe
from retrieval.lab.evaluation.neighbours import TEMPERATURE, K, knn_scores

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FEW_SHOT_PENALTY = 1e-2
"""The same for all numbers of shots: with one picture per class there are none left for choosing it."""

_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
          2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045)  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Rows for training and rows for testing."""

    train: Ids
    test: Ids


@dataclass(frozen=True)
class Probed:
    """The results of a probe.

    Attributes:
        train, test: numbers of pictures.
        knn, linear: metric -> estimate, from :func:`.classification.accuracies`.
        penalty: the one of :data:`PENALTIES` that was best on a fifth of the training pictures.
    """

    train: int
    test: int
    knn: dict[str, Estimate]
    linear: dict[str, Estimate]
    penalty: float


@dataclass(frozen=True)
class Shots:
    """Accuracy (acc@1) for a number of pictures per class.

    Attributes:
        shots: labelled pictures per class.
        nearest_mean, linear: mean over the draws with its 95 % Student interval.
    """

    shots: int
    nearest_mean: Estimate
    linear: Estimate


def split_rows(labels: Ids, groups: NDArray[np.int64], *, share: float = 0.2, seed: int = 0) -> Split:
    """Set about ``share`` of each class's pictures aside for testing, by picture.

    Args:
        labels: (n,) classes.
        groups: (n,) rows with the same number are the same picture (equal bytes) and are on the same side.
        share: of each class's groups, rounded, and at least one if a class has two; a class with a single
            picture is only used for training.

    Raises:
        SettingsError: a share that leaves one side empty.
        QueryError: no class has two pictures.
    """
    if not 0 < share < 1:
        raise SettingsError(f"a share of {share} leaves nothing to learn from or to judge by", "give one such as 0.2")
    generator = np.random.default_rng(seed)
    # A picture in two classes is assigned to a side by the first of them only.
    pictures, first = np.unique(groups, return_index=True)
    aside: list[int] = []
    for label in np.unique(labels):
        own = pictures[labels[first] == label]
        most = min(len(own) - 1, max(1, round(share * len(own))))
        aside += generator.permutation(own)[: max(0, most)].tolist()
    is_test = np.isin(groups, aside)
    if not is_test.any():
        raise QueryError("no class has two pictures", "give folders with several pictures each")
    return Split(np.flatnonzero(~is_test), np.flatnonzero(is_test))


def probe(
    train: Vectors,
    train_labels: Ids,
    test: Vectors,
    test_labels: Ids,
    classes: int,
    *,
    k: int = K,
    temperature: float = TEMPERATURE,
    ks: Sequence[int] = (1, 5),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Probed:
    """k-NN and logistic regression trained on one side and tested on the other.

    Args:
        train, test: (n, dim) and (m, dim) unit vectors.
        train_labels, test_labels: classes below ``classes``.
    """
    penalty = choose_penalty(train, train_labels, classes, seed=seed)
    linear = fit_probe(train, train_labels, classes, penalty=penalty).scores(test)
    votes = knn_scores(test, train, train_labels, classes, k=k, temperature=temperature)
    judged = [
        accuracies(class_ranks(scores, test_labels), test_labels, ks=ks, resamples=resamples, seed=seed)
        for scores in (votes, linear)
    ]
    return Probed(len(train), len(test), judged[0], judged[1], penalty)


def choose_penalty(vectors: Vectors, labels: Ids, classes: int, *, seed: int = 0) -> float:
    """The penalty that is best on a fifth of the training pictures; the largest if there are equals."""
    try:
        split = split_rows(labels, np.arange(len(labels)), seed=seed)
    except QueryError:
        return FEW_SHOT_PENALTY
    right = []
    for penalty in PENALTIES:
        fitted = fit_probe(vectors[split.train], labels[split.train], classes, penalty=penalty)
        right.append(int((class_ranks(fitted.scores(vectors[split.test]), labels[split.test]) == 1).sum()))
    return max(zip(right, PENALTIES, strict=True))[1]


def few_shot(
    train: Vectors,
    train_labels: Ids,
    test: Vectors,
    test_labels: Ids,
    classes: int,
    *,
    shots: Sequence[int],
    draws: int = 5,
    seed: int = 0,
) -> list[Shots]:
    """acc@1 after 1, 2, 4, ... pictures per class, drawn ``draws`` times from the training side.

    A draw of 4 contains its draw of 2. Numbers of shots that exceed the smallest class are left out.

    Raises:
        SettingsError: no number of shots can be drawn, or fewer than two draws, which have no spread.
    """
    smallest = int(np.bincount(train_labels, minlength=classes)[np.unique(test_labels)].min())
    possible = sorted({each for each in shots if 1 <= each <= smallest})
    if not possible or draws < 2:
        raise SettingsError(
            f"{shots} shots cannot be drawn {draws} times: to learn from, the smallest class has: {smallest}",
            "give numbers of shots up to that, and two draws at least",
        )
    means: dict[int, list[float]] = {n: [] for n in possible}
    linear: dict[int, list[float]] = {n: [] for n in possible}
    for draw in range(draws):
        generator = np.random.default_rng((seed, draw))
        own = [generator.permutation(np.flatnonzero(train_labels == each)) for each in range(classes)]
        for n in possible:
            rows = np.concatenate([each[:n] for each in own])
            means[n].append(_acc1(_nearest_mean(train[rows], train_labels[rows], classes, test), test_labels))
            fitted = fit_probe(train[rows], train_labels[rows], classes, penalty=FEW_SHOT_PENALTY)
            linear[n].append(_acc1(fitted.scores(test), test_labels))
    return [Shots(n, student_interval(means[n]), student_interval(linear[n])) for n in possible]


def parse_shots(text: str) -> tuple[int, ...]:
    """Parse ``1,2,4``; raises SettingsError for anything but integers from 1."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise SettingsError(f"{text!r} are no numbers of pictures", "e.g. --shots 1,2,4,8")
    return numbers


def student_interval(values: Sequence[float]) -> Estimate:
    """Mean and 95 % interval of a few independent values: mean ± t(n - 1) * s / sqrt(n)."""
    freedom = len(values) - 1
    t = _T_975[freedom - 1] if freedom <= len(_T_975) else 1.96 + 2.4 / freedom  # within 0.002 of the exact value
    mean = float(np.mean(values))
    half = t * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def _nearest_mean(vectors: Vectors, labels: Ids, classes: int, test: Vectors) -> NDArray[np.float64]:
    """Cosine with each class's mean vector (a prototype); -1 for a class without a picture."""
    scores = np.full((len(test), classes), -1.0)
    present = np.unique(labels)
    means = unit(np.stack([vectors[labels == each].mean(axis=0) for each in present]))
    scores[:, present] = test @ means.T
    return scores


def _acc1(scores: NDArray[np.float64], labels: Ids) -> float:
    return float((class_ranks(scores, labels) == 1).mean())

"""Accuracy of a classifier from its scores: top-1, top-5, mean per-class recall, and the confused classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.errors import QueryError
from retrieval.lab.evaluation.bootstrap import RESAMPLES, Estimate, bootstrap

Scores = NDArray[np.floating]
"""(n, classes): higher means more likely."""


class Confusion(NamedTuple):
    """How often pictures of one class are classified as another.

    Attributes:
        true, predicted: classes.
        pictures: pictures of ``true`` whose best class is ``predicted``.
        share: the fraction of all pictures of ``true``.
    """

    true: int
    predicted: int
    pictures: int
    share: float


def class_ranks(scores: Scores, labels: Ids) -> Ids:
    """(n,) the rank of the right class for each picture, from 1; of equal scores the class with the lower number first.

    Here, unlike elsewhere, ties do not count against the encoder: two of ImageNet's class names occur twice, and no
    classifier by names could ever be right for them.
    """
    if scores.ndim != 2 or len(scores) != len(labels) or not len(labels):
        raise QueryError(f"{len(labels)} labels do not fit scores of shape {scores.shape}", "give a label a picture")
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = (scores > own).sum(axis=1)
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    ranks: Ids = 1 + before + ((scores == own) & earlier).sum(axis=1)
    return ranks


def accuracies(
    ranks: Ids, labels: Ids, *, ks: Sequence[int] = (1, 5), resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """``acc@k`` for each k, and ``mean per-class recall``: the mean over classes of each class's acc@1.

    The former weights all pictures equally, the latter all classes, however many pictures they have.
    Its interval comes from resampling each class's own pictures.

    Args:
        ranks: (n,) from :func:`class_ranks`.
        labels: (n,) the right classes; classes without a picture do not count.
    """
    found = {f"acc@{k}": bootstrap((ranks <= k).astype(np.float64), resamples=resamples, seed=seed) for k in ks}
    classes, member = np.unique(labels, return_inverse=True)
    sizes = np.bincount(member)
    recalls = np.bincount(member, ranks == 1) / sizes
    # The number of right ones among n drawn pictures is binomial, so they need not be drawn one by one.
    drawn = np.random.default_rng(seed).binomial(sizes, recalls, size=(resamples, len(classes))) / sizes
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    found["mean per-class recall"] = Estimate(float(recalls.mean()), float(low), float(high))
    return found


def most_confused(scores: Scores, labels: Ids, count: int = 10) -> list[Confusion]:
    """The pairs of classes that are confused most often, ordered by number of pictures, then by class."""
    predicted = np.argmax(scores, axis=1)
    wrong = predicted != labels
    pairs, counts = np.unique(np.stack([labels[wrong], predicted[wrong]]), axis=1, return_counts=True)
    sizes = np.bincount(labels, minlength=scores.shape[1])
    order = np.argsort(-counts, kind="stable")[:count]
    return [
        Confusion(int(true), int(taken), int(n), float(n / sizes[true]))
        for (true, taken), n in zip(pairs.T[order], counts[order], strict=True)
    ]

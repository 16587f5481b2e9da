"""Names of groups: the words of a vocabulary that distinguish them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors


def name_groups(
    means: NDArray[np.float64], whole: NDArray[np.float64], classes: Vectors, labels: Sequence[str], count: int = 3
) -> list[tuple[str, ...]]:
    """Labels of each group, best first.

    A label's value for a group is the mean cosine of the group's pictures with the label, less the mean cosine of all
    pictures with it. Without the second part, words that are near every picture ("photo") would name every group. The
    first label of each group is no other group's first, as long as there are labels.

    Args:
        means: (groups, dim) mean embedding of each group, not of length 1.
        whole: (dim,) the mean of all pictures.
        classes: (labels, dim) as ``zeroshot.class_vectors`` makes them.
    """
    values = (means - whole) @ classes.astype(np.float64).T
    firsts = _firsts(values)
    names = []
    for group, row in enumerate(values):
        order = np.argsort(-row, kind="stable").tolist()
        first = firsts.get(group, order[0])
        others = [label for label in order if label != first and label not in firsts.values() and row[label] > 0]
        names.append(tuple(labels[label] for label in [first, *others[: count - 1]]))
    return names


def _firsts(values: NDArray[np.float64]) -> dict[int, int]:
    """Group -> its first label, the best pairs of all first, each label once."""
    firsts: dict[int, int] = {}
    taken: set[int] = set()
    for place in np.argsort(-values, axis=None, kind="stable").tolist():
        group, label = divmod(place, values.shape[1])
        if group not in firsts and label not in taken:
            firsts[group] = label
            taken.add(label)
            if len(firsts) == len(values):
                break
    return firsts

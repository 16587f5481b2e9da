"""Uncertainty of a mean or a median over queries: percentile bootstrap over pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import QueryError

RESAMPLES = 1000
_AT_ONCE = 1 << 22  # draws in memory at a time: 32 MiB

Statistic = Literal["mean", "median"]


class Estimate(NamedTuple):
    """A number and its 95 % interval.

    Attributes:
        value: over the original data.
        low, high: 2.5th and 97.5th percentile over resampled data.
    """

    value: float
    low: float
    high: float


def bootstrap(
    values: NDArray[np.float64],
    groups: NDArray[np.int64] | None = None,
    *,
    statistic: Statistic = "mean",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The statistic over all values, with an interval from drawing groups with replacement.

    The five captions of one picture are not independent. Drawing captions would count them as five observations and
    give an interval that is too narrow, so whole groups are drawn (Field and Welsh 2007, "cluster bootstrap"). The
    candidates among which queries were ranked are not drawn again: the interval is about the queries.

    Args:
        values: (q,) one per query.
        groups: (q,) the picture of each query, any integers; None: each query is a group of its own.
        seed: of the draws; the same data and seed give the same interval.

    Raises:
        QueryError: there are no values.
    """
    if not len(values):
        raise QueryError("there is nothing to take a mean of", "give at least one query")
    names = np.arange(len(values)) if groups is None else np.asarray(groups)
    _, member = np.unique(names, return_inverse=True)
    drawn = (
        _means(values, member, resamples, seed) if statistic == "mean" else _medians(values, member, resamples, seed)
    )
    value = float(np.mean(values)) if statistic == "mean" else float(np.median(values))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _draws(groups: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Blocks of (r, groups): the groups in each resample."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // groups)
    for start in range(0, resamples, at_once):
        yield generator.integers(groups, size=(min(at_once, resamples - start), groups))


def _means(values: NDArray[np.float64], member: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Only the sums of values are needed for a mean, so a group is drawn as its sum and its size."""
    sums, sizes = np.bincount(member, values), np.bincount(member)
    means = [sums[rows].sum(axis=1) / sizes[rows].sum(axis=1) for rows in _draws(len(sums), resamples, seed)]
    return np.concatenate(means)


def _medians(values: NDArray[np.float64], member: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(member.max() + 2))
    sizes, sorted_values = np.diff(starts), values[order]
    medians = []
    for rows in _draws(len(sizes), resamples, seed):
        for row in rows:
            counts = sizes[row]
            before = np.cumsum(counts) - counts
            at = np.arange(counts.sum()) + np.repeat(starts[row] - before, counts)
            medians.append(float(np.median(sorted_values[at])))
    return np.array(medians)

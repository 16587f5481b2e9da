"""Find the lowest search effort that reaches a target recall, by comparison with exact search.

An index that was tuned on one kind of query may fail on another (embeddings of texts are far from those of pictures),
so every kind is tried, and the worst one decides.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import DEFAULT_EFFORT, Effort, Ids, Neighbours, VectorIndex, Vectors
from indexes.errors import VectorIndexError
from indexes.ranking import Block, check_k, scan
from indexes.spec import IndexSpec

# Equal pictures score the same, and float16 changes a score at dimension 512 by about 1e-5: too little to be noticed.
TOLERANCE = 1e-4
_SPARE = 32  # true neighbours found beyond k, so that ties with the k-th are recognised
_MOST_EF = 4096
_MOST_K_FACTOR = 256
_GENEROUS = 8  # times the default k_factor while cells or candidates are tuned, so that k_factor does not limit recall


@dataclass(frozen=True)
class Probe:
    """Queries of one kind, and the results of exact search.

    Args:
        queries: (q, dim).
        own: (q,) the id of each query's own vector in the index, which does not count as a hit; -1 if it has none.
        truth: The true neighbours without ``own``, at least ``k`` of them if there are that many.
    """

    queries: Vectors
    own: Ids
    truth: Neighbours


@dataclass(frozen=True)
class Trial:
    """The measurements of one setting.

    Attributes:
        effort: The setting.
        recall: Kind of query -> agreement with exact search, see :func:`ann_recall_at_k`.
        p50_ms, p99_ms: Milliseconds per query, median and 99th percentile over all kinds.
    """

    effort: Effort
    recall: dict[str, float]
    p50_ms: float
    p99_ms: float

    @property
    def worst_recall(self) -> float:
        return min(self.recall.values(), default=1.0)


@dataclass(frozen=True)
class TuningReport:
    """The settings that were tried, and the outcome.

    Attributes:
        trials: In the order in which they were tried.
        chosen: The setting with the lowest effort that reaches ``target`` for every kind of query; None if none does.
    """

    spec: IndexSpec
    k: int
    target: float
    trials: tuple[Trial, ...]
    chosen: Trial | None


def ann_recall_at_k(found: NDArray[np.int64], truth: Neighbours, k: int, *, tolerance: float = TOLERANCE) -> float:
    """The share of the ``k`` true neighbours that an approximate search found, averaged over the queries.

    A hit counts if its true score is at most ``tolerance`` below that of the true ``k``-th, so ``truth`` should contain
    a few more than ``k``: of two copies of a picture it does not matter which one is found.

    Args:
        found: (q, >= k) ids, -1 for none.
        truth: The result of exact search.

    Returns:
        0 to 1; queries without true neighbours are ignored; 1 if no query has any.
    """
    shares = []
    for ids, true_ids, true_scores in zip(found[:, :k], truth.ids, truth.scores, strict=True):
        wanted = min(k, int((true_ids >= 0).sum()))
        if wanted:
            good = true_ids[(true_ids >= 0) & (true_scores >= true_scores[wanted - 1] - tolerance)]
            shares.append(min(wanted, len(np.intersect1d(ids, good))) / wanted)
    return float(np.mean(shares)) if shares else 1.0


def make_probes(kinds: Mapping[str, tuple[Vectors, Ids | None]], blocks: Iterable[Block], k: int) -> dict[str, Probe]:
    """Find the true neighbours of all queries in one pass over ``blocks``, which together contain the whole gallery.

    Args:
        kinds: From kind of query to queries (q, dim) and their own ids (q,), None if they have none.
    """
    check_k(k)
    owns = {kind: np.full(len(q), -1, np.int64) if own is None else own for kind, (q, own) in kinds.items()}
    everything = scan(np.concatenate([queries for queries, _ in kinds.values()]), blocks, k + 1 + _SPARE)
    probes, start = {}, 0
    for kind, (queries, _) in kinds.items():
        part = slice(start, start + len(queries))
        truth = _without(owns[kind], Neighbours(everything.ids[part], everything.scores[part]))
        probes[kind] = Probe(queries, owns[kind], truth)
        start += len(queries)
    return probes


def tune(
    index: VectorIndex, probes: Mapping[str, Probe], *, k: int = 10, target: float = 0.99, rounds: int = 3
) -> TuningReport:
    """Try the settings of an index in order of effort, until every kind of query reaches ``target``.

    Args:
        rounds: How often each query is timed, one at a time, after one round of warm-up.

    Raises:
        VectorIndexError: ``target`` is not above 0 and at most 1, or there are no queries.
    """
    check_k(k)
    if not 0 < target <= 1:
        raise VectorIndexError(f"a recall of {target} cannot be reached", "ask for more than 0 and at most 1")
    if not any(len(probe.queries) for probe in probes.values()):
        raise VectorIndexError("there are no queries to try", "give some of any kind")
    trials: list[Trial] = []
    chosen: Trial | None = None
    fixed = Effort()
    for sweep in _sweeps(index.spec):
        reached = None
        for effort in sweep(fixed):
            trials.append(_tried(index, probes, effort, k, rounds))
            if trials[-1].worst_recall >= target:
                reached = trials[-1]
                break
        if reached is None:
            break
        chosen, fixed = reached, reached.effort
    return TuningReport(index.spec, k, target, tuple(trials), chosen)


class _Sweep:
    """The values of one setting in ascending order; the others have the values chosen by earlier sweeps."""

    def __init__(self, knob: str, values: Iterable[int], *, k_factor: int | None = None) -> None:
        self._knob, self._values, self._k_factor = knob, sorted(set(values)), k_factor

    def __call__(self, fixed: Effort) -> Iterator[Effort]:
        for value in self._values:
            knobs = {"nprobe": fixed.nprobe, "ef_search": fixed.ef_search, "k_factor": self._k_factor}
            yield Effort(**{**knobs, self._knob: value})


def _sweeps(spec: IndexSpec) -> list[_Sweep | _Default]:
    knobs = spec.knobs
    generous = _GENEROUS * spec.default_k_factor if "k_factor" in knobs else None
    sweeps: list[_Sweep | _Default] = []
    if "nprobe" in knobs:
        sweeps.append(_Sweep("nprobe", [*_doubled(1, spec.cells), spec.default_nprobe], k_factor=generous))
    if "ef_search" in knobs:
        sweeps.append(_Sweep("ef_search", [*_doubled(16, _MOST_EF), spec.default_ef_search], k_factor=generous))
    if "k_factor" in knobs:
        sweeps.append(_Sweep("k_factor", [*_doubled(1, _MOST_K_FACTOR), spec.default_k_factor]))
    return sweeps or [_Default()]


class _Default:
    """For kinds without settings: there is only one thing to try."""

    def __call__(self, fixed: Effort) -> Iterator[Effort]:
        yield DEFAULT_EFFORT


def _doubled(least: int, most: int) -> list[int]:
    values = [least]
    while values[-1] * 2 < most:
        values.append(values[-1] * 2)
    return [*values, most]


def _tried(index: VectorIndex, probes: Mapping[str, Probe], effort: Effort, k: int, rounds: int) -> Trial:
    recall = {}
    spent: list[float] = []
    for kind, probe in probes.items():
        found = np.concatenate([_timed(index, query, k + 1, effort)[0] for query in probe.queries])
        own = _without(probe.own, Neighbours(found, np.zeros(found.shape, np.float32)))
        recall[kind] = ann_recall_at_k(own.ids, probe.truth, k)
        spent += [_timed(index, query, k, effort)[1] for _ in range(rounds) for query in probe.queries]
    p50, p99 = np.percentile(spent, [50, 99]) if spent else (0.0, 0.0)
    return Trial(effort, recall, float(p50) * 1e3, float(p99) * 1e3)


def _timed(index: VectorIndex, query: NDArray[np.float32], k: int, effort: Effort) -> tuple[Ids, float]:
    started = time.perf_counter()
    ids = index.search(query[None], k, effort=effort).ids
    return ids, time.perf_counter() - started


def _without(own: Ids, found: Neighbours) -> Neighbours:
    """``found`` (q, m) as (q, m - 1): each query's own id is removed, or the last one if it is absent."""
    keep = found.ids != own[:, None]
    keep |= own[:, None] < 0
    keep[keep.all(axis=1), -1] = False
    shape = (len(own), found.ids.shape[1] - 1)
    return Neighbours(found.ids[keep].reshape(shape), found.scores[keep].reshape(shape))

"""Tuning: the definition of agreement, and that the lowest sufficient effort is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import Effort, Neighbours, VectorIndexError
from indexes.base import Ids, Vectors
from indexes.ranking import Block
from indexes.tuning import Probe, TuningReport, ann_recall_at_k, make_probes, tune
from tests.indexes.vectors import DIM, built, clustered, unit

N = 3000
VECTORS = clustered(N)
IDS = np.arange(N, dtype=np.int64)


def blocks(ids: Ids = IDS, vectors: Vectors = VECTORS, size: int = 700) -> list[Block]:
    return [Block(ids[at : at + size], vectors[at : at + size]) for at in range(0, len(ids), size)]


def probes(k: int = 10) -> dict[str, Probe]:
    """Pictures out of the index itself, and queries that are shifted off all of it, as texts are."""
    own = IDS[::60]
    shifted = unit(VECTORS[5::60] + 2.0 * clustered(1, seed=7))
    return make_probes({"pictures": (VECTORS[own], own), "texts": (shifted, None)}, blocks(), k)


def truth(ids: list[list[int]], scores: list[list[float]]) -> Neighbours:
    return Neighbours(np.array(ids), np.array(scores, np.float32))


def test_recall_counts_what_was_found_among_the_best() -> None:
    best = truth([[4, 5, 6, 7]], [[0.9, 0.8, 0.7, 0.6]])
    assert ann_recall_at_k(np.array([[5, 4]]), best, 2) == 1.0  # order is ranking's business, not recall's
    assert ann_recall_at_k(np.array([[4, 6]]), best, 2) == 0.5
    assert ann_recall_at_k(np.array([[-1, -1]]), best, 2) == 0.0
    assert ann_recall_at_k(np.array([[4, 9, 5]]), best, 2) == 0.5  # what lies beyond k does not count


def test_recall_takes_an_equal_score_for_equal() -> None:
    best = truth([[4, 5, 6, 7]], [[0.9, 0.80004, 0.8, 0.79]])
    assert ann_recall_at_k(np.array([[4, 6]]), best, 2) == 1.0
    assert ann_recall_at_k(np.array([[4, 7]]), best, 2) == 0.5
    assert ann_recall_at_k(np.array([[4, 7]]), best, 2, tolerance=0.02) == 1.0
    assert ann_recall_at_k(np.array([[4, 6]]), best, 2, tolerance=0.0) == 0.5
    assert ann_recall_at_k(np.array([[6, 5]]), truth([[4, 5, 6]], [[0.9, 0.9, 0.9]]), 1) == 1.0


def test_recall_of_few_and_of_none() -> None:
    few = truth([[4, -1, -1], [-1, -1, -1]], [[0.9, -np.inf, -np.inf], [-np.inf] * 3])
    assert ann_recall_at_k(np.array([[4, -1], [-1, -1]]), few, 2) == 1.0  # nothing to find is no failure
    assert ann_recall_at_k(np.empty((0, 2), np.int64), truth([], []), 2) == 1.0


def test_probes_hold_the_true_neighbours_without_the_query_itself() -> None:
    found = probes()
    for kind, probe in found.items():
        scores = probe.queries.astype(np.float64) @ VECTORS.T.astype(np.float64)
        if kind == "pictures":
            scores[np.arange(len(scores)), probe.own] = -2
        np.testing.assert_array_equal(probe.truth.ids[:, :10], np.argsort(-scores, axis=1)[:, :10])
    assert (found["texts"].own == -1).all()
    assert (found["pictures"].truth.ids != found["pictures"].own[:, None]).all()


def test_more_neighbours_than_vectors() -> None:
    few = make_probes({"pictures": (VECTORS[:3], IDS[:3])}, blocks(IDS[:4], VECTORS[:4]), 10)
    assert (few["pictures"].truth.ids >= 0).sum(axis=1).tolist() == [3, 3, 3]
    index = built("Exact", IDS[:4], VECTORS[:4])
    assert tune(index, few, rounds=1).trials[0].recall == {"pictures": 1.0}


@pytest.mark.parametrize(
    ("kind", "knob"),
    [("PQ4x4fs,Refine(SQfp16)", "k_factor"), ("IVF64,Flat", "nprobe"), ("HNSW4", "ef_search")],
)
def test_the_least_effort_that_reaches_the_target_is_chosen(kind: str, knob: str) -> None:
    pytest.importorskip("faiss")
    index = built(kind, IDS, VECTORS)
    report = tune(index, probes(), target=0.95, rounds=1)
    values = [getattr(trial.effort, knob) for trial in report.trials]
    assert values == sorted(values) and len(values) > 1
    assert report.chosen is report.trials[-1] and report.chosen.worst_recall >= 0.95
    assert all(trial.worst_recall < 0.95 for trial in report.trials[:-1])
    assert set(report.chosen.recall) == {"pictures", "texts"}
    assert 0 < report.chosen.p50_ms <= report.chosen.p99_ms
    assert report.chosen.recall == recall_by_hand(index, report)


def recall_by_hand(index: object, report: TuningReport) -> dict[str, float]:
    """Agreement with a full product, counted once more without the code under test."""
    assert report.chosen is not None
    shares = {}
    for kind, probe in probes().items():
        hits = 0
        for query, own in zip(probe.queries, probe.own, strict=True):
            scores = VECTORS @ query
            if own >= 0:
                scores[own] = -2
            found = index.search(query[None], 11, effort=report.chosen.effort).ids[0]  # type: ignore[attr-defined]
            best = set(np.argsort(-scores)[:10].tolist())
            hits += len(best & set([i for i in found.tolist() if i != own][:10]))
        shares[kind] = hits / (10 * len(probe.queries))
    return {kind: pytest.approx(share, abs=0.002) for kind, share in shares.items()}


def test_two_knobs_are_tuned_one_after_the_other() -> None:
    pytest.importorskip("faiss")
    report = tune(built("IVF64,PQ4x4fs,Refine(SQfp16)", IDS, VECTORS), probes(), target=0.9, rounds=1)
    assert report.chosen is not None and report.chosen is report.trials[-1]
    nprobe, k_factor = report.chosen.effort.nprobe, report.chosen.effort.k_factor
    assert nprobe is not None and k_factor is not None
    assert report.chosen.worst_recall >= 0.9
    second = [trial for trial in report.trials if trial.effort.k_factor != 160]
    assert {trial.effort.nprobe for trial in second} == {nprobe}
    assert k_factor < 160


def test_a_target_out_of_reach_chooses_nothing() -> None:
    pytest.importorskip("faiss")
    report = tune(built("PQ4x4fs", IDS, VECTORS), probes(), rounds=1)
    assert report.chosen is None
    assert len(report.trials) == 1 and report.trials[0].effort == Effort()
    assert report.trials[0].worst_recall < 0.9


def test_the_worst_kind_of_query_decides() -> None:
    pytest.importorskip("faiss")
    index = built("IVF64,Flat", IDS, VECTORS)
    between = unit(np.random.default_rng(8).normal(size=(40, DIM)))  # near no cluster: their best lie in many cells
    both = {**probes(), **make_probes({"between": (between, None)}, blocks(), 10)}
    easy = tune(index, {"pictures": both["pictures"]}, target=0.97, rounds=1).chosen
    hard = tune(index, both, target=0.97, rounds=1).chosen
    assert easy is not None and hard is not None
    assert easy.effort.nprobe < hard.effort.nprobe  # type: ignore[operator]


@pytest.mark.parametrize("target", [0.0, -1.0, 1.01, float("nan")])
def test_a_target_that_makes_no_sense(target: float) -> None:
    with pytest.raises(VectorIndexError, match="cannot be reached"):
        tune(built("Exact", IDS, VECTORS), probes(), target=target)


def test_no_queries_at_all() -> None:
    nothing = make_probes({"pictures": (VECTORS[:0], IDS[:0])}, blocks(), 10)
    with pytest.raises(VectorIndexError, match="no queries"):
        tune(built("Exact", IDS, VECTORS), nothing)

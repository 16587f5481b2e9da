"""What FaissIndex does about faiss's own ways; each test pins one of them."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import Effort, IndexSpec, create_index
from tests.indexes.vectors import DIM, built, clustered

faiss = pytest.importorskip("faiss")

from indexes.faiss_index import FaissIndex  # noqa: E402
from indexes.widening import Pool  # noqa: E402

N = 3000
VECTORS = clustered(N)
QUERIES = clustered(20, seed=2)


def make(kind: str) -> FaissIndex:
    index = built(kind, np.arange(N), VECTORS)
    assert isinstance(index, FaissIndex)
    return index


def recall(index: FaissIndex, effort: Effort) -> float:
    exact = built("Exact", np.arange(N), VECTORS).search(QUERIES, 10)
    found = index.search(QUERIES, 10, effort=effort)
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.ids, found.ids, strict=True)]))


def test_every_kind_ranks_by_inner_product() -> None:
    for kind in ("Flat", "SQ8", "PQ16x4fs,Refine(SQfp16)", "HNSW16", "IVF16,Flat"):
        index = create_index(IndexSpec.parse(kind), DIM)
        assert isinstance(index, FaissIndex)
        assert index._base.metric_type == index._index.metric_type == faiss.METRIC_INNER_PRODUCT


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("IVF64,Flat", Effort(nprobe=1), Effort(nprobe=64)),
        ("HNSW4", Effort(ef_search=1), Effort(ef_search=1000)),
        ("PQ4x4fs,Refine(SQfp16)", Effort(k_factor=1), Effort(k_factor=100)),
    ],
)
def test_effort_is_felt_and_leaves_no_trace(kind: str, least: Effort, most: Effort) -> None:
    index = make(kind)
    before = index.search(QUERIES, 10)
    assert recall(index, least) < 0.9
    assert recall(index, most) >= 0.99
    after = index.search(QUERIES, 10)
    assert (before.ids == after.ids).all()
    with pytest.raises(Exception, match="cannot be 0"):
        index.search(QUERIES, 10, effort=Effort(nprobe=0))


def test_cells_that_hold_too_little_are_made_up_for() -> None:
    """One of 64 cells holds some 47 vectors; 200 hits must come back all the same."""
    found = make("IVF64,Flat").search(QUERIES, 200, effort=Effort(nprobe=1))
    assert (found.ids >= 0).all()


@pytest.mark.parametrize("kind", ["PQ16x4fs", "PQ16"])
def test_why_flat_product_codes_get_no_selector(kind: str) -> None:
    """The day faiss accepts one here, the larger fetch can go."""
    base = make(kind)._base
    selector = faiss.SearchParameters(sel=faiss.IDSelectorRange(0, 10))
    with pytest.raises(RuntimeError):
        base.search(QUERIES, 5, params=selector)


@pytest.mark.parametrize("kind", ["HNSW16", "PQ16x4fs,Refine(SQfp16)", "IVF64,SQfp16", "SQfp16"])
def test_nearest_neighbours_removed_are_replaced_by_the_next(kind: str) -> None:
    index = make(kind)
    nearest = built("Exact", np.arange(N), VECTORS).search(QUERIES[:1], 400).ids[0]
    assert index.remove(nearest[:390]) == 390
    found = set(index.search(QUERIES[:1], 10, effort=Effort(k_factor=1, ef_search=1, nprobe=1)).ids[0].tolist())
    assert len(found) == 10
    assert found.isdisjoint(nearest[:390].tolist())
    patient = index.search(QUERIES[:1], 10, effort=Effort(nprobe=64, ef_search=2000, k_factor=60)).ids[0]
    assert len(set(patient.tolist()) & set(nearest[390:].tolist())) >= 9


def test_a_filter_widens_the_search_in_proportion() -> None:
    """With every tenth row allowed the nearest of them lie in ten times as many cells and candidates."""
    mask = np.arange(N) % 10 == 0
    pool = Pool(mask, int(mask.sum()), N)
    assert make("IVF64,Flat")._base_params(pool, Effort(nprobe=2)).nprobe == 20
    assert make("HNSW16")._base_params(pool, Effort(ef_search=30)).efSearch == 300
    rows = make("PQ16x4fs")._fetch(QUERIES, 30, False, pool=pool, effort=Effort())
    assert mask[rows].sum(axis=1).mean() >= 20


def test_training_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in ("IVF64,PQ16", "PQ16x4fs", "SQ8"):
        index = create_index(IndexSpec.parse(kind), DIM)
        index.train(VECTORS[:300])
    assert capfd.readouterr() == ("", "")


def test_removing_clears_flat_codes_in_place() -> None:
    index = make("SQfp16")
    index.remove(np.arange(0, N, 3))
    assert index._base.ntotal == len(index) == N - N // 3
    assert index.search(VECTORS[:4], 1).ids[1:3, 0].tolist() == [1, 2]
    index.add(np.array([0]), VECTORS[:1])
    assert index.search(VECTORS[:1], 1).ids.tolist() == [[0]]

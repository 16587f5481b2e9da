"""How FaissIndex handles the peculiarities of faiss; each test covers one of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from indexes import Effort, IndexSpec, create_index, load_snapshot, save_snapshot
from tests.indexes.vectors import DIM, built, clustered

faiss = pytest.importorskip("faiss")

from indexes.faiss_index import FaissIndex  # noqa: E402
from indexes.faiss_parts import PLAIN_LOOP, SHARED_LOOP, FasterLoop  # noqa: E402
from indexes.widening import Pool, nearest_in_pool  # noqa: E402

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


@pytest.mark.parametrize("k_factor", [1, 4])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_filter_loses_no_recall_on_codes_that_take_no_selector(share: float, k_factor: int) -> None:
    """The recall of a filtered search is that of an unfiltered one with the same effort."""
    index, exact = make("PQ8x4fs,Refine(SQfp16)"), built("Exact", np.arange(N), VECTORS)
    allowed = np.flatnonzero(np.random.default_rng(3).random(N) < share)
    effort = Effort(k_factor=k_factor)

    def agreed(allowed: np.ndarray | None) -> float:
        found = index.search(QUERIES, 5, allowed=allowed, effort=effort).ids
        wanted = exact.search(QUERIES, 5, allowed=allowed).ids
        assert allowed is None or np.isin(found, allowed).all()
        return float(np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, wanted, strict=True)]))

    assert 0.3 < agreed(None) < 1  # or else there is nothing to compare
    assert agreed(allowed) >= agreed(None) - 0.08


def test_a_filter_away_from_the_query_is_answered_by_comparing_all_it_keeps() -> None:
    """Half of the index is allowed, and none of it is near: a larger fetch alone would bring next to nothing."""
    index, exact = make("PQ8x4fs,Refine(SQfp16)"), built("Exact", np.arange(N), VECTORS)
    query = QUERIES[:1]
    far = np.sort(exact.search(query, N).ids[0, N // 2 :])
    found = index.search(query, 10, allowed=far, effort=Effort(k_factor=1))
    assert set(found.ids[0]) == set(exact.search(query, 10, allowed=far).ids[0])


def test_a_filter_that_leaves_few_candidates_does_not_settle_for_them() -> None:
    """Three near rows are allowed and the far half: some candidates come back, but too few to be sure of the best."""
    index, exact = make("PQ8x4fs,Refine(SQfp16)"), built("Exact", np.arange(N), VECTORS)
    for query in QUERIES:
        order = exact.search(query[None], N).ids[0]
        allowed = np.sort(np.concatenate([order[8:11], order[N // 2 :]]))
        assert index.search(query[None], 1, allowed=allowed, effort=Effort(k_factor=1)).ids[0, 0] == order[8]


def test_a_wide_filter_is_not_answered_by_comparing_all_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    index = make("PQ16x4fs,Refine(SQfp16)")
    compared: list[int] = []
    monkeypatch.setattr(FaissIndex, "_whole_params", lambda _, pool: compared.append(pool.size))
    found = index.search(QUERIES, 10, allowed=np.arange(0, N, 2), effort=Effort(k_factor=4))
    assert (found.ids % 2 == 0).all()
    assert compared == []


def test_a_few_queries_and_many_find_the_same() -> None:
    """They run through different loops of faiss."""
    index = make("PQ16x4fs,Refine(SQfp16)")
    together = index.search(QUERIES, 10)
    assert index._base.implem == SHARED_LOOP
    used = set()
    for number, query in enumerate(QUERIES):
        alone = index.search(query[None], 10)
        used.add(index._base.implem)
        np.testing.assert_array_equal(alone.ids[0], together.ids[number])
        np.testing.assert_array_equal(alone.scores[0], together.scores[number])
    assert used == {SHARED_LOOP, PLAIN_LOOP}


def test_the_nearest_of_a_pool() -> None:
    mask = np.arange(N) % 2 == 0
    rows = np.array([[4, 7, 9, 2, -1], [1, 3, 5, -1, -1]])
    best, found = nearest_in_pool(VECTORS[[4, 0]], rows, Pool(mask, N // 2, N), 1, lambda rows: VECTORS[rows])
    assert (best.tolist(), found.tolist()) == ([[4], [-1]], [2, 0])
    best, found = nearest_in_pool(VECTORS[[4, 0]], rows, Pool(None, N, N), 4, lambda rows: VECTORS[rows])
    assert sorted(best[0].tolist()) == [2, 4, 7, 9]
    assert (sorted(best[1].tolist()), found.tolist()) == ([-1, 1, 3, 5], [4, 3])


WITH_TAIL = (
    "SQfp16",
    "Flat",
    "PQ16x4fs,Refine(SQfp16)",
    "PQ16x4fs,Refine(Flat)",
    "IVF16,SQ8,Refine(SQfp16)",
    "HNSW16,SQ8,Refine(Flat)",
)


def lengthened(kind: str, folder: Path, saved: int = N - 500) -> FaissIndex:
    """An index of all vectors, mapped from a snapshot of the first ones and added to twice."""
    save_snapshot(built(kind, np.arange(saved), VECTORS[:saved]), folder, fingerprint="tower", change=1)
    index, _ = load_snapshot(folder, fingerprint="tower", dim=DIM) or pytest.fail("nothing saved")
    assert isinstance(index, FaissIndex)
    for ids in (np.arange(saved, saved + 200), np.arange(saved + 200, N)):
        index.add(ids, VECTORS[ids])
    return index


@pytest.mark.parametrize("kind", WITH_TAIL)
def test_what_is_added_to_a_mapped_index_copies_nothing_and_is_found(kind: str, tmp_path: Path) -> None:
    index, whole = lengthened(kind, tmp_path), make(kind)
    hard = Effort(nprobe=16, ef_search=N, k_factor=100)
    some = np.arange(0, N, 3)
    few = np.arange(N - 600, N, 2)
    for step in ("added", "some removed"):
        for options in ({}, {"allowed": some}, {"allowed": few}, {"allowed": np.arange(N - 400, N)}):
            for k in (1, 10, 300, N):
                found, wanted = (each.search(QUERIES, k, effort=hard, **options) for each in (index, whole))
                np.testing.assert_array_equal(found.ids, wanted.ids, f"{step} {options} {k}")
                np.testing.assert_array_equal(found.scores, wanted.scores)
        gone = np.arange(5, N, 7)
        assert index.remove(gone) == whole.remove(gone) or step != "added"
    assert index._mapped


@pytest.mark.parametrize("kind", WITH_TAIL)
def test_a_lengthened_index_is_saved_whole(kind: str, tmp_path: Path) -> None:
    index = lengthened(kind, tmp_path)
    index.remove(np.array([3, N - 3]))
    before = index.search(QUERIES, 10)
    save_snapshot(index, tmp_path, fingerprint="tower", change=2)
    again, change = load_snapshot(tmp_path, fingerprint="tower", dim=DIM) or pytest.fail("nothing saved")
    assert (change, len(again)) == (2, N - 2)
    for opened in (index, again):
        after = opened.search(QUERIES, 10)
        assert np.mean(after.ids == before.ids) > 0.9  # links and codes may change what is approximate, and no more
        assert opened.search(VECTORS[-1:], 1).ids.tolist() == [[N - 1]]


def test_equal_vectors_on_both_sides_of_the_seam_rank_by_id(tmp_path: Path) -> None:
    save_snapshot(built("SQfp16", np.arange(100, 2100), VECTORS[:2000]), tmp_path, fingerprint="tower", change=1)
    index, _ = load_snapshot(tmp_path, fingerprint="tower", dim=DIM) or pytest.fail("nothing saved")
    index.add(np.arange(50), np.repeat(VECTORS[7:8], 50, axis=0))
    found = index.search(VECTORS[7:8], 5)
    assert found.ids.tolist() == [[0, 1, 2, 3, 4]]
    assert np.ptp(found.scores) == 0
    assert index.search(VECTORS[7:8], 51).ids[0, -1] == 107


def test_ties_in_the_mapped_part_are_seen_past_a_tail_that_scores_lower(tmp_path: Path) -> None:
    vectors = np.concatenate([np.repeat(VECTORS[7:8], 60, axis=0), VECTORS[100:2040]])
    ids = np.arange(len(vectors))[::-1].copy()  # the smallest ids come last
    save_snapshot(built("SQfp16", ids + 1000, vectors), tmp_path, fingerprint="tower", change=1)
    index, _ = load_snapshot(tmp_path, fingerprint="tower", dim=DIM) or pytest.fail("nothing saved")
    index.add(np.arange(500), VECTORS[2100:2600])
    smallest = ids[59] + 1000
    assert index.search(VECTORS[7:8], 5).ids.tolist() == [list(range(smallest, smallest + 5))]


def test_kinds_that_need_learning_are_copied_first(tmp_path: Path) -> None:
    index = lengthened("SQ8", tmp_path)
    assert not index._mapped
    np.testing.assert_array_equal(index.search(QUERIES, 10).ids, make("SQ8").search(QUERIES, 10).ids)


def test_codes_of_four_numbers_are_rescored_more() -> None:
    fine, coarse = IndexSpec.parse("PQ16x4fs,Refine(SQfp16)"), IndexSpec.parse("PQ8x4fs,Refine(SQfp16)")
    assert [fine.rescored(count, 32, 200_000) for count in (1, 18, 508)] == [20, 360, 10_160]
    assert [coarse.rescored(count, 32, 200_000) for count in (1, 18, 508)] == [1535, 2130, 19_280]
    assert [coarse.rescored(18, 32, total) for total in (10_000, 1_000_000, 10_000_000)] == [2130, 4570, 16315]


def test_the_faster_loop_is_used_after_both_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("indexes.faiss_parts.time.perf_counter", lambda: now[0])
    base, loop, used = SimpleNamespace(implem=None), FasterLoop(), []

    def search() -> int:
        used.append(base.implem)
        now[0] += {SHARED_LOOP: 2.0, PLAIN_LOOP: 1.0}[base.implem]
        return len(used)

    assert [loop.timed(base, search) for _ in range(10)] == list(range(1, 11))
    assert set(used[:6]) == {SHARED_LOOP, PLAIN_LOOP} and set(used[6:]) == {PLAIN_LOOP}


def test_only_scans_of_codes_tell_which_loop_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing with whole vectors is not: its time would be taken for that of a loop."""
    index, timed = make("PQ8x4fs,Refine(SQfp16)"), []
    monkeypatch.setattr(index._loop, "timed", lambda base, search: (timed.append(search.args[0]), search())[1])
    index.search(QUERIES[:1], 10)
    index.search(QUERIES[:1], 10, allowed=np.arange(0, N, 2), effort=Effort(k_factor=4))
    index.search(QUERIES[:1], 10, allowed=np.arange(0, N, 5), effort=Effort(k_factor=60))
    assert timed and all(each in (index._base, index._index) for each in timed)

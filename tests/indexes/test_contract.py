"""One suite that every kind of index must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from indexes import (
    DimensionMismatch,
    DuplicateId,
    Effort,
    IndexSpec,
    NotTrained,
    SnapshotCorrupt,
    VectorIndexError,
    create_index,
    load_snapshot,
    save_snapshot,
)
from indexes.factory import StoredIndex
from tests.indexes.servers import created, dropped
from tests.indexes.stand_in import cpu_for_gpu
from tests.indexes.vectors import (
    ALL_KINDS,
    APPROXIMATE_KINDS,
    COARSE_KINDS,
    DIM,
    EXACT_KINDS,
    SERVER_KINDS,
    brute_force,
    built,
    clustered,
    unit,
)

pytest.importorskip("faiss")

N = 900
VECTORS = clustered(N)
IDS = np.random.default_rng(1).permutation(np.arange(0, 3 * N, 3)).astype(np.int64)
QUERIES = clustered(8, seed=2)

each_kind = pytest.mark.parametrize("kind", ALL_KINDS + SERVER_KINDS)


@pytest.fixture(scope="module", autouse=True)
def gpu() -> Iterator[None]:
    """The kinds for a GPU do without one."""
    with cpu_for_gpu():
        yield


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """What a test made in a server is dropped."""
    with dropped():
        yield


@pytest.fixture
def make() -> Callable[[str], StoredIndex]:
    return lambda kind: built(kind, IDS, VECTORS)


@pytest.fixture(params=["decoded here", "compared by faiss", "searched as usual"])
def few_or_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send searches with ``allowed`` down each of faiss's ways, which sizes would choose between."""
    scan_rows, share = {
        "decoded here": (10**9, 10),
        "compared by faiss": (0, 1),
        "searched as usual": (0, 10**9),
    }[request.param]
    monkeypatch.setattr("indexes.faiss_index._SCAN_ROWS", scan_rows)
    monkeypatch.setattr("indexes.faiss_index._THOROUGH_SHARE", share)
    monkeypatch.setattr("indexes.faiss_index._THOROUGH_SHARE_LEFT_OUT", share)
    # Of a server: read and compared here, a filter there, or more fetched and the others dropped.
    monkeypatch.setattr("indexes.server._FEW", scan_rows if share == 10 else 0)
    if share > 10:
        for server in ("milvus.MilvusServer", "pgvector.PgvectorServer"):
            monkeypatch.setattr(f"indexes.{server}.listed", 90)


def same(left: tuple[NDArray, NDArray], right: tuple[NDArray, NDArray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@each_kind
def test_answers_have_the_promised_form_and_order(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    ids, scores = index.search(QUERIES, 12)
    assert ids.shape == scores.shape == (8, 12)
    assert ids.dtype == np.int64
    assert scores.dtype == np.float32
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (np.abs(scores) <= 1).all()
    assert set(ids.ravel().tolist()) <= set(IDS.tolist())
    assert all(len(set(row)) == 12 for row in ids.tolist())
    assert len(index) == N
    assert int(IDS[5]) in index
    assert 1 not in index


@each_kind
def test_a_stored_vector_finds_itself_first(kind: str, make: Callable[[str], StoredIndex]) -> None:
    lossy = kind in COARSE_KINDS
    found = make(kind).search(VECTORS[:50], 5).ids
    hits = (found == IDS[:50, None]).any(axis=1) if lossy else found[:, 0] == IDS[:50]
    assert hits.mean() >= (0.9 if lossy else 1.0)


@each_kind
def test_what_does_not_exist_is_padded(kind: str) -> None:
    index = built(kind, [7, 3], VECTORS[:2])
    ids, scores = index.search(QUERIES, 5)
    assert (np.sort(ids[:, :2], axis=1) == [3, 7]).all()
    assert (ids[:, 2:] == -1).all()
    assert np.isneginf(scores[:, 2:]).all()
    assert np.isfinite(scores[:, :2]).all()


@each_kind
def test_an_empty_index_answers_with_padding(kind: str) -> None:
    index = created(kind, DIM)
    for allowed in (None, np.array([1, 2])):
        ids, scores = index.search(QUERIES, 3, allowed=allowed)
        assert (ids == -1).all()
        assert np.isneginf(scores).all()
    assert index.remove(np.array([4])) == 0
    assert len(index) == 0
    assert 4 not in index


@each_kind
def test_no_queries_give_no_answers(kind: str, make: Callable[[str], StoredIndex]) -> None:
    assert make(kind).search(QUERIES[:0], 3).ids.shape == (0, 3)


@each_kind
def test_equal_scores_come_by_smaller_id(kind: str) -> None:
    """300 copies of one picture: any 10 of them are the nearest, but only the 10 smallest ids are right."""
    rng = np.random.default_rng(3)
    ids = rng.permutation(1000).astype(np.int64)
    vectors = clustered(1000, seed=4)
    vectors[200:500] = vectors[200]
    index = built(kind, ids, vectors)
    expected = np.sort(ids[200:500])[:10]
    found = index.search(vectors[200:201], 10)
    assert (found.scores[0] == found.scores[0, 0]).all()
    # Lossy codes may give a neighbour the very code of the copies, and its id then counts like theirs; a graph
    # links a copy to some of the others only, so it finds equal ones but not all.
    if "HNSW" not in kind and kind not in COARSE_KINDS:
        assert found.ids[0].tolist() == expected.tolist()
    assert (np.diff(found.ids[0]) > 0).all()


@each_kind
def test_one_query_and_many_agree(kind: str, make: Callable[[str], StoredIndex]) -> None:
    """Batches take other paths through BLAS and faiss; scores must not depend on company."""
    index = make(kind)
    queries = clustered(40, seed=5)
    together = index.search(queries, 10)
    alone = [index.search(query[None], 10) for query in queries]
    agree = np.mean([same((together.ids[i][None], together.scores[i][None]), alone[i]) for i in range(40)])
    assert agree >= (0.9 if kind == "PQ16x4fs" else 1.0)


@each_kind
def test_a_refused_addition_adds_nothing(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    before = index.search(QUERIES, 10)
    fresh = clustered(3, seed=6)
    nan = fresh.copy()
    nan[1, 4] = np.nan
    refused: list[tuple[type[Exception], list[int], NDArray]] = [
        (DuplicateId, [5001, int(IDS[3]), 5002], fresh),
        (DuplicateId, [5001, 5001, 5002], fresh),
        (DimensionMismatch, [5001, 5002, 5003], fresh[:, :-1]),
        (VectorIndexError, [5001, 5002], fresh),
        (VectorIndexError, [5001, -1, 5002], fresh),
        (VectorIndexError, [5001, 5002, 5003], 2 * fresh),
        (VectorIndexError, [5001, 5002, 5003], nan),
    ]
    for error, ids, vectors in refused:
        with pytest.raises(error):
            index.add(np.array(ids), vectors)
    assert len(index) == N
    assert 5001 not in index
    assert same(before, index.search(QUERIES, 10))
    index.add(np.array([5001]), fresh[:1])
    assert 5001 in index


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if IndexSpec.parse(kind).needs_training])
def test_learning_kinds_say_so(kind: str) -> None:
    index = create_index(IndexSpec.parse(kind), DIM)
    assert not index.is_trained
    with pytest.raises(NotTrained):
        index.add(np.array([1]), VECTORS[:1])
    if index.spec.minimum_training > 1:
        with pytest.raises(VectorIndexError, match="learns from at least"):
            index.train(VECTORS[: index.spec.minimum_training - 1])
    index.train(VECTORS)
    assert index.is_trained
    index.add(np.array([1]), VECTORS[:1])
    with pytest.raises(VectorIndexError, match="holds vectors"):
        index.train(VECTORS)


@each_kind
def test_removed_ids_never_return(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    gone, kept = IDS[:400], IDS[400:]
    assert index.remove(np.concatenate([gone, [1, 100_000], gone[:5]])) == 400
    assert index.remove(gone) == 0
    assert len(index) == N - 400
    assert int(gone[0]) not in index
    ids, scores = index.search(QUERIES, 60)
    assert set(ids.ravel().tolist()) <= set(kept.tolist())  # no padding either: 500 are left
    assert np.isfinite(scores).all()
    everything = index.search(QUERIES, N)
    assert (np.sort(everything.ids[:, :500], axis=1) == np.sort(kept)).all()
    assert (everything.ids[:, 500:] == -1).all()


@each_kind
def test_a_replaced_vector_is_found_by_the_new_one(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    old, new = VECTORS[:1], unit(-VECTORS[:1] + 0.01)
    index.remove(IDS[:1])
    index.add(IDS[:1], new)
    assert len(index) == N
    best = index.search(new, 5)
    assert int(IDS[0]) in best.ids[0].tolist()
    assert best.scores[0, 0] > 0.7
    assert int(IDS[0]) not in index.search(old, 300).ids[0].tolist()


@each_kind
def test_an_emptied_index_is_as_good_as_new(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    assert index.remove(IDS) == N
    assert len(index) == 0
    assert not index.needs_rebuild
    assert (index.search(QUERIES, 2).ids == -1).all()
    index.add(IDS, VECTORS)
    assert same(index.search(QUERIES, 10), make(kind).search(QUERIES, 10))


@each_kind
def test_tombstones_are_reported_or_cleared(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    index.remove(IDS[: N // 10])
    assert not index.needs_rebuild
    index.remove(IDS[: N // 4])
    clears = kind in ("Exact", "Flat", "SQfp16", "SQ8", "GPU,Flat", "GPU,SQfp16", "CAGRA32", *SERVER_KINDS)
    assert index.needs_rebuild is not clears


@each_kind
@pytest.mark.usefixtures("few_or_many")
def test_only_allowed_ids_are_found(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    rng = np.random.default_rng(7)
    for removed in (0, 100):
        index.remove(IDS[:removed])
        for share in (0.01, 0.3, 0.9):
            allowed = rng.choice(IDS, int(share * N), replace=False)
            findable = np.setdiff1d(allowed, IDS[:removed])
            noisy = np.concatenate([allowed, [1, 70_000, -5], allowed[:3]])
            ids, scores = index.search(QUERIES, 20, allowed=noisy)
            expected = min(20, len(findable))
            assert np.isin(ids[:, :expected], findable).all()
            assert (ids[:, expected:] == -1).all()
            assert (np.diff(scores[:, :expected], axis=1) <= 0).all()
            everything = index.search(QUERIES, N, allowed=allowed)
            assert (np.sort(everything.ids[:, : len(findable)], axis=1) == np.sort(findable)).all()
            assert (everything.ids[:, len(findable) :] == -1).all()


@each_kind
def test_nothing_or_only_strangers_allowed_finds_nothing(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    for allowed in ([], [1, 2], [-1]):
        ids, scores = index.search(QUERIES, 4, allowed=np.array(allowed, dtype=np.int64))
        assert (ids == -1).all()
        assert np.isneginf(scores).all()


@pytest.mark.parametrize("kind", EXACT_KINDS + APPROXIMATE_KINDS + SERVER_KINDS)
@pytest.mark.usefixtures("few_or_many")
def test_allowed_finds_the_nearest_of_them(kind: str, make: Callable[[str], StoredIndex]) -> None:
    """The hundred nearest of all are not allowed, so a filter applied after a search would find nothing."""
    nearest = [image_id for image_id, _ in brute_force(IDS, VECTORS, QUERIES[0], 110)]
    allowed = np.setdiff1d(IDS, nearest[:100])
    found = make(kind).search(QUERIES[:1], 10, allowed=allowed).ids[0].tolist()
    assert len(set(found) & set(nearest[100:])) >= (10 if kind in EXACT_KINDS else 8)


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("mmap", [True, False])
def test_reopened_is_the_same_and_can_go_on(
    kind: str, mmap: bool, tmp_path: Path, make: Callable[[str], StoredIndex]
) -> None:
    index = make(kind)
    index.remove(IDS[:60])
    save_snapshot(index, tmp_path, fingerprint="tower", change=17)
    opened = load_snapshot(tmp_path, fingerprint="tower", dim=DIM, spec=index.spec, mmap=mmap, verify=True)
    assert opened is not None
    again, change = opened
    assert change == 17
    assert again.spec == index.spec
    assert len(again) == len(index)
    assert same(again.search(QUERIES, 30), index.search(QUERIES, 30))
    for one in (index, again):
        one.add(IDS[:30], clustered(30, seed=8))
        assert one.remove(IDS[100:200]) == 100
    assert len(again) == len(index)
    assert same(again.search(QUERIES, 30), index.search(QUERIES, 30))
    save_snapshot(again, tmp_path, fingerprint="tower", change=18)
    for path in [path for path in tmp_path.iterdir() if path.name != "manifest.json"]:
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
            with pytest.raises(SnapshotCorrupt):
                load_snapshot(tmp_path, fingerprint="tower", dim=DIM, mmap=mmap)
        path.write_bytes(whole)
    third, change = load_snapshot(tmp_path, fingerprint="tower", dim=DIM) or pytest.fail("nothing saved")
    assert change == 18
    assert same(third.search(QUERIES, 30), index.search(QUERIES, 30))


@each_kind
def test_threads_may_search_at_once_each_with_its_own_knobs(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    index.remove(IDS[:50])
    asked = [
        (QUERIES, 10, None, Effort()),
        (QUERIES, 10, IDS[100:600], Effort()),
        (QUERIES[:1], 3, None, Effort(nprobe=1, ef_search=4, k_factor=1)),
        (QUERIES[:2], 40, IDS[:200], Effort(nprobe=16, ef_search=200, k_factor=30)),
    ]

    def ask(number: int) -> tuple[NDArray, NDArray]:
        queries, k, allowed, effort = asked[number]
        return index.search(queries, k, allowed=allowed, effort=effort)

    expected = [ask(number) for number in range(len(asked))]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [n % len(asked) for n in range(64)]))
    assert all(same(answer, expected[n % len(asked)]) for n, answer in enumerate(answers))


@each_kind
def test_impossible_questions_are_refused(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    with pytest.raises(DimensionMismatch):
        index.search(QUERIES[:, :-1], 3)
    with pytest.raises(VectorIndexError, match="length 1"):
        index.search(3 * QUERIES, 3)
    with pytest.raises(VectorIndexError, match="0 hits"):
        index.search(QUERIES, 0)
    with pytest.raises(VectorIndexError, match="whole numbers"):
        index.search(QUERIES, 3, allowed=np.array([1.5]))


@each_kind
def test_a_closed_index_says_so(kind: str, make: Callable[[str], StoredIndex]) -> None:
    index = make(kind)
    index.close()
    for use in (lambda: index.search(QUERIES, 3), lambda: index.add(IDS[:1], VECTORS[:1])):
        with pytest.raises(VectorIndexError, match="closed"):
            use()


@pytest.mark.parametrize("kind", EXACT_KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_exact_kinds_equal_brute_force_after_any_history(kind: str, data: st.DataObject) -> None:
    """Vectors from a small grid tie all the time; ids come and go in any order."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    grid = unit(np.random.default_rng(seed).integers(-2, 3, size=(12, 4)) + np.array([0.5, 0, 0, 0]))
    index = create_index(IndexSpec.parse(kind), 4)
    held: dict[int, int] = {}
    batches = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 11)), max_size=12, unique_by=lambda p: p[0])
    for _ in range(data.draw(st.integers(0, 5))):
        batch = data.draw(batches)
        ids = np.array([image_id for image_id, _ in batch], dtype=np.int64)
        assert index.remove(ids) == len(held.keys() & set(ids.tolist()))
        index.add(ids, grid[[place for _, place in batch]].reshape(-1, 4))
        held.update(batch)
        gone = data.draw(st.lists(st.integers(0, 30), max_size=10))
        assert index.remove(np.array(gone, dtype=np.int64)) == len(held.keys() & set(gone))
        held = {image_id: place for image_id, place in held.items() if image_id not in gone}
    k = data.draw(st.integers(1, 40))
    allowed = data.draw(st.none() | st.lists(st.integers(-2, 35), max_size=20))
    query = grid[data.draw(st.integers(0, 11))]

    wanted = np.array([i for i in held if allowed is None or i in allowed], dtype=np.int64)
    rows = grid[[held[i] for i in wanted.tolist()]].reshape(-1, 4)
    expected = brute_force(wanted, rows, query, k)
    found = index.search(query[None], k, allowed=None if allowed is None else np.array(allowed, dtype=np.int64))
    assert len(index) == len(held)
    assert found.ids[0].tolist() == [i for i, _ in expected] + [-1] * (k - len(expected))
    assert found.scores[0, : len(expected)].tolist() == pytest.approx([s for _, s in expected], abs=1e-7)


@pytest.mark.parametrize("kind", APPROXIMATE_KINDS + SERVER_KINDS)
def test_approximate_kinds_find_95_of_100_neighbours(kind: str) -> None:
    vectors = clustered(4000, seed=11)
    queries = clustered(100, seed=12)
    ids = np.arange(4000)
    exact = built("Exact", ids, vectors).search(queries, 10)
    found = built(kind, ids, vectors).search(queries, 10)
    # A stored vector may be rounded, so a neighbour counts if its true score reaches the tenth best.
    true_scores = np.einsum("qkd,qd->qk", vectors[found.ids], queries)
    recall = (true_scores >= exact.scores[:, -1:] - 1e-6).mean()
    assert recall >= 0.95

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexes import IndexSpec, create_index, load_snapshot, save_snapshot
from indexes.exact import ExactIndex
from tests.indexes.vectors import DIM, brute_force, built, clustered, unit


def opened(folder: Path) -> ExactIndex:
    index, _ = load_snapshot(folder, fingerprint="tower", dim=DIM) or pytest.fail("nothing saved")
    assert isinstance(index, ExactIndex)
    return index


@pytest.mark.parametrize("block_rows", [1, 7, 64])
def test_blocks_and_chunks_do_not_show(block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = clustered(200), clustered(70, seed=1)
    ids = np.random.default_rng(2).permutation(200)
    whole = built("Exact", ids, vectors).search(queries, 15)
    monkeypatch.setattr("indexes.exact.BLOCK_ROWS", block_rows)
    monkeypatch.setattr("indexes.ranking._QUERY_CHUNK", 3)
    monkeypatch.setattr("indexes.ranking._EXACT_ROWS", 2)
    monkeypatch.setattr("indexes.exact._GATHER_ROWS", 5)
    index = built("Exact", ids, vectors)
    assert index.search(queries, 15).ids.tolist() == whole.ids.tolist()
    few = index.search(queries, 15, allowed=ids[:40])
    for query, found in zip(queries, few.ids, strict=True):
        expected = brute_force(ids[:40], vectors[:40], query, 15)
        assert found.tolist() == [image_id for image_id, _ in expected]


def test_scores_are_right_to_the_last_bit() -> None:
    vectors, query = clustered(300), clustered(1, seed=3)[0]
    found = built("Exact", np.arange(300), vectors).search(query[None], 300)
    expected = brute_force(np.arange(300), vectors, query, 300)
    assert np.abs(found.scores[0] - np.array([score for _, score in expected])).max() <= 6e-8


def test_scores_never_leave_the_range_of_a_cosine() -> None:
    slightly_long = unit(clustered(50)) * np.float32(1.0004)
    found = built("Exact", np.arange(50), slightly_long).search(slightly_long, 1)
    assert (found.scores == 1).all()


def test_adding_and_removing_many_times_keeps_storage_small() -> None:
    index = create_index(IndexSpec.parse("Exact"), DIM)
    assert isinstance(index, ExactIndex)
    for turn in range(40):
        ids = np.arange(100)
        index.remove(ids)
        index.add(ids, clustered(100, seed=turn))
    assert len(index) == 100
    assert index._stored <= 200 and len(index._parts) == 1
    assert not index.needs_rebuild
    assert index.search(clustered(100, seed=39), 1).ids[:, 0].tolist() == list(range(100))


def test_a_snapshot_is_mapped_and_sorted_and_not_copied_by_a_search(tmp_path: Path) -> None:
    ids = np.random.default_rng(4).permutation(500)
    vectors = clustered(500)
    save_snapshot(built("Exact", ids, vectors), tmp_path, fingerprint="tower", change=1)
    index = opened(tmp_path)
    (matrix,) = index._parts
    assert not matrix.flags.writeable
    assert not matrix.flags.owndata
    assert (np.diff(index._rows.ids) > 0).all()
    assert index.search(vectors[:20], 1).ids[:, 0].tolist() == ids[:20].tolist()
    assert index._parts[0] is matrix
    assert index.remove(np.array([100_000])) == 0
    index.add(np.empty(0, dtype=np.int64), np.empty((0, DIM), dtype=np.float32))
    assert index._parts[0] is matrix  # only unknown ids: nothing changed, nothing copied
    index.remove(ids[:20])
    index.add(ids[:20], vectors[:20])
    assert index._parts[0] is matrix and len(index._parts[1]) >= 20  # what is new is beside it


@pytest.mark.parametrize("part_rows", [1, 7, 64])
def test_parts_do_not_show(part_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapped snapshot with parts beside it, in a random history, against one matrix."""
    monkeypatch.setattr("indexes.exact.PART_BYTES", part_rows * 4 * DIM)
    random = np.random.default_rng(part_rows)
    known = dict(enumerate(clustered(100)))
    save_snapshot(built("Exact", np.arange(100), clustered(100)), tmp_path, fingerprint="tower", change=1)
    index = opened(tmp_path)
    for turn in range(12):
        gone = random.choice(sorted(known), random.integers(1, 30), replace=False)
        assert index.remove(gone) == len(gone)
        for id_ in gone.tolist():
            del known[id_]
        new = np.setdiff1d(random.integers(0, 1000, 25), list(known))
        vectors = clustered(len(new), seed=turn)
        index.add(new, vectors)
        known |= dict(zip(new.tolist(), vectors, strict=True))
        ids, matrix = np.array(sorted(known)), np.stack([known[id_] for id_ in sorted(known)])
        whole = built("Exact", ids, matrix)
        queries = clustered(5, seed=100 + turn)
        for allowed in (None, ids[::2], ids[::9]):
            found, expected = (each.search(queries, 10, allowed=allowed) for each in (index, whole))
            assert found.ids.tolist() == expected.ids.tolist() and (found.scores == expected.scores).all()
        assert index._stored == index._rows.total
    assert all(len(part) <= max(part_rows, 100) for part in index._parts)
    save_snapshot(index, tmp_path / "again", fingerprint="tower", change=2)
    assert opened(tmp_path / "again").search(queries, 10).ids.tolist() == expected_ids(known, queries)


def expected_ids(known: dict[int, np.ndarray], queries: np.ndarray) -> list[list[int]]:
    ids = np.array(sorted(known))
    matrix = np.stack([known[id_] for id_ in sorted(known)])
    return [[id_ for id_, _ in brute_force(ids, matrix, query, 10)] for query in queries]


def test_changing_a_mapped_index_leaves_its_file_alone(tmp_path: Path) -> None:
    vectors = clustered(100)
    save_snapshot(built("Exact", np.arange(100), vectors), tmp_path, fingerprint="tower", change=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    index = opened(tmp_path)
    index.remove(np.arange(50))
    index.add(np.arange(200, 210), clustered(10, seed=9))
    index.remove(np.arange(60, 90))
    assert len(index) == 30
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert opened(tmp_path).search(vectors[:1], 1).ids.tolist() == [[0]]


@pytest.mark.parametrize("k", [1, 5, 40])
def test_damaged_rows_are_never_found_and_hide_nothing(k: int) -> None:
    """A flipped bit in a mapped file can turn any number into NaN, infinity or 1e38."""
    vectors = clustered(60)
    index = built("Exact", np.arange(60), vectors)
    assert isinstance(index, ExactIndex)
    (matrix,) = index._parts
    matrix[10, 3] = np.nan
    matrix[20, 3] = np.inf
    matrix[30, 3] = -np.inf
    sound = np.setdiff1d(np.arange(60), [10, 20, 30])
    found = index.search(vectors[:1], k)
    expected = brute_force(sound, vectors[sound], vectors[0], k)
    assert found.ids[0].tolist() == [image_id for image_id, _ in expected]


def test_an_empty_index_can_be_saved_and_opened(tmp_path: Path) -> None:
    save_snapshot(create_index(IndexSpec.parse("Exact"), DIM), tmp_path, fingerprint="tower", change=0)
    index = opened(tmp_path)
    assert len(index) == 0
    index.add(np.array([3]), clustered(1))
    assert 3 in index

"""An index that is kept in a server: what is saved is found again, whatever happened, and belongs to one catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from indexes import IndexUnreachable, SnapshotCorrupt, SnapshotStale
from indexes.factory import connected
from indexes.overlay import Overlay
from indexes.server import ServerIndex
from indexes.server_store import ServerStore
from indexes.store import IndexStore, Owner
from tests.indexes.servers import dropped, milvus, postgres, spec_of
from tests.indexes.vectors import DIM, SERVER_KINDS, clustered, unit

N = 300
IDS = np.arange(0, 2 * N, 2, dtype=np.int64)
VECTORS = clustered(N, seed=3)
QUERIES = clustered(4, seed=4)
REVISIONS = {change: f"revision {change}" for change in (0, 3, 7, 9)}
TOWER = "1" * 64

each_kind = pytest.mark.parametrize("kind", SERVER_KINDS)


def store_in(kind: str, *, fingerprint: str = TOWER, dim: int = DIM, identity: str = "ab" * 16) -> ServerStore:
    spec: Any = spec_of(kind)
    return ServerStore(spec, Owner(fingerprint, dim, REVISIONS.get), identity)


@pytest.fixture
def store(kind: str) -> Iterator[ServerStore]:
    made = store_in(kind)
    with dropped():
        yield made
    made.drop()
    assert made.describe() is None


def filled(store: IndexStore, spec: Any, change: int = 3) -> None:
    index = store.create(spec)
    index.add(IDS, VECTORS)
    store.save(index, change, REVISIONS[change])
    index.close()


def found(index: Any, queries: Any = QUERIES, k: int = 10) -> list[list[int]]:
    ids: list[list[int]] = index.search(queries, k).ids.tolist()
    return ids


def names(store: ServerStore) -> list[str]:
    server = connected(store.spec)
    try:
        return server.names(store._stem + "_")
    finally:
        server.close()


@each_kind
def test_a_store_gives_back_what_was_saved_to_readers_and_writers(kind: str, store: ServerStore) -> None:
    assert store.open() is None
    filled(store, store.spec)
    note = store.describe()
    assert note is not None
    assert (note.count, note.change, str(note.spec)) == (N, 3, str(store.spec))
    scores = VECTORS @ QUERIES.T
    truth = [IDS[np.lexsort((IDS, -np.round(column.astype(float), 3)))[:1]].tolist() for column in scores.T]
    for for_writing in (False, True):
        index, change = store.open(for_writing=for_writing, verify=True) or pytest.fail("nothing saved")
        assert change == 3
        assert len(index) == N
        assert isinstance(index, ServerIndex if for_writing else Overlay)
        assert [row[:1] for row in found(index)] == truth
        index.close()


@each_kind
def test_what_a_reader_of_a_store_replays_stays_in_its_memory(kind: str, store: ServerStore) -> None:
    filled(store, store.spec)
    reader, _ = store.open() or pytest.fail("nothing saved")
    new = unit(-VECTORS[:2] + 0.01)
    assert reader.remove(np.array([0, 2, 5001])) == 2
    reader.add(np.array([0, 5001]), new)
    assert len(reader) == N
    assert found(reader, new, 1) == [[0], [5001]]
    assert 2 not in {i for row in found(reader, VECTORS[:2], N) for i in row}
    assert 2 not in reader
    assert reader.present(np.array([0, 2, 4, 5001, 5003])).tolist() == [0, 4, 5001]  # type: ignore[attr-defined]
    only = reader.search(new, 3, allowed=np.array([2, 4, 5001]))
    assert np.sort(only.ids, axis=1).tolist() == [[-1, 4, 5001]] * 2
    reader.close()
    again, _ = store.open() or pytest.fail("nothing saved")
    assert len(again) == N
    assert 2 in again
    assert 5001 not in again
    again.close()


@each_kind
def test_a_store_is_ahead_of_its_note_after_a_crash_of_the_writer(kind: str, store: ServerStore) -> None:
    """A writer that is killed leaves changes that no note tells of; replaying them makes the index right."""
    filled(store, store.spec)
    writer, _ = store.open(for_writing=True) or pytest.fail("nothing saved")
    late = clustered(3, seed=9)
    writer.remove(IDS[:2])
    writer.add(np.array([1, 3, 5]), late)
    index, change = store.open(for_writing=True) or pytest.fail("nothing saved")
    assert change == 3
    index.remove(np.array([0, 1, 2, 3, 5]))
    index.add(np.array([0, 1, 3, 5]), np.vstack([VECTORS[:1], late]))
    assert len(index) == N + 2
    store.save(index, 7, REVISIONS[7])
    writer.close()
    index.close()
    reader, change = store.open(verify=True) or pytest.fail("nothing saved")
    assert (len(reader), change) == (N + 2, 7)
    assert found(reader, late, 1) == [[1], [3], [5]]
    reader.close()


@each_kind
def test_a_new_generation_replaces_the_old_one_in_a_store(kind: str, store: ServerStore) -> None:
    filled(store, store.spec)
    before = names(store)
    unsaved = store.create(store.spec)
    unsaved.add(IDS[:5], VECTORS[:5])
    assert len(names(store)) == 2
    unsaved.close()
    assert names(store) == before
    filled(store, store.spec, change=9)
    after = names(store)
    assert len(after) == 1
    assert after != before


@each_kind
def test_a_store_refuses_what_belongs_to_others(kind: str, store: ServerStore) -> None:
    filled(store, store.spec)
    spec: Any = store.spec
    restored = ServerStore(spec, Owner(TOWER, DIM, lambda change: "of another catalog"), "ab" * 16)
    with pytest.raises(SnapshotStale, match="another catalog"):
        restored.open()
    assert restored.describe() is None
    wider = ServerStore(spec, Owner(TOWER, DIM + 1, REVISIONS.get), "ab" * 16)
    with pytest.raises(SnapshotStale, match="another encoder"):
        wider.open()
    assert store_in(kind, identity="cd" * 16).open() is None
    assert store_in(kind, fingerprint="2" * 64).open() is None
    server = connected(store.spec)
    note = store.describe()
    assert note is not None
    server.drop(note.place)
    with pytest.raises(SnapshotCorrupt, match="lacks its collection"):
        store.open()
    server.create(note.place, DIM // 2)
    with pytest.raises(SnapshotCorrupt, match=f"vectors of {DIM // 2} numbers"):
        store.open()
    server.write_note(store._stem, b"{}", note.place)
    with pytest.raises(SnapshotCorrupt, match="is damaged"):
        store.open()
    server.close()


@pytest.mark.parametrize("kind", [kind for kind in SERVER_KINDS if "lite" not in kind])
def test_a_crash_of_the_server_loses_nothing_that_a_store_noted(kind: str, store: ServerStore) -> None:
    filled(store, store.spec)
    reader, _ = store.open() or pytest.fail("nothing saved")
    process = postgres() if kind.startswith("pgvector") else milvus()
    process.crash()
    with pytest.raises(IndexUnreachable) as told:
        reader.search(QUERIES, 3)
    assert len(str(told.value).splitlines()) == 2
    with pytest.raises(IndexUnreachable, match="does not answer"):
        store.open()
    process.start()
    again, change = store.open(verify=True) or pytest.fail("nothing saved")
    assert (len(again), change) == (N, 3)
    assert len(found(again)) == len(QUERIES)
    again.close()

"""The reader: order and gaps of answers, many ids, files it cannot read, a view that no writer can tear."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import retrieval
from retrieval.catalog import reader as reader_module
from retrieval.catalog.batch import Batch
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import unpack_vectors
from retrieval.errors import GalleryError, GalleryNotFound, UnknownImage
from retrieval.filters import Filter
from tests.retrieval.rows import DIM, encoder_spec, failure, filled, hash_of, image, row_of, vector_of

NAMES = [f"{number:04}.jpg" for number in range(2100)]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of 2,100 images, of which number 7 is retired."""
    path = tmp_path_factory.mktemp("big") / "catalog.sqlite"
    catalog, _, encoder = filled(path, NAMES)
    catalog.commit(Batch(retired=[7]), encoder)
    catalog.close()
    return path


@pytest.fixture
def reader(big: Path) -> Iterator[CatalogReader]:
    with closing(CatalogReader(big)) as opened:
        yield opened


def test_records_come_in_the_order_asked_without_retired_and_unknown_ones(reader: CatalogReader) -> None:
    ids = [int(i) for i in np.random.default_rng(1).permutation(np.arange(1, 2101))]
    records = reader.records([*ids, 99_999, 5])
    assert [record.id for record in records] == [i for i in ids if i != 7] + [5]
    assert all(record.path == f"/photos/{NAMES[record.id - 1]}" for record in records)
    assert reader.records([]) == []


def test_vectors_come_in_the_order_asked(reader: CatalogReader) -> None:
    row = row_of(reader, 1)
    ids = [2100, 1, 1000, 1, *range(2, 1500)]
    vectors = reader.vectors(ids, row)
    want = np.stack([vector_of(NAMES[i - 1]) for i in ids])
    assert vectors.shape == (len(ids), DIM)
    np.testing.assert_allclose(vectors, want, atol=1e-3)
    with pytest.raises(UnknownImage, match="image 4711"):
        reader.vectors([1, 4711], row)


def test_select_is_sorted_and_leaves_retired_ones_out(reader: CatalogReader) -> None:
    selected = reader.select(Filter())
    assert selected.dtype == np.int64
    assert selected.tolist() == [i for i in range(1, 2101) if i != 7]
    assert reader.select(Filter(camera="none")).tolist() == []


def test_counts_leave_retired_ones_out(reader: CatalogReader) -> None:
    assert (reader.count(), reader.count(1), reader.count(99)) == (2099, 2099, 0)
    summary = reader.summary()
    assert (summary["formats"], summary["retired"]) == ({"JPEG": 2099}, 1)


def test_replay_comes_in_pieces_of_which_the_last_has_the_number(
    reader: CatalogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(reader, 1)
    for size, pieces in ((1000, 3), (700, 4), (4096, 1)):  # 2,100 is three times 700: the last piece is empty
        monkeypatch.setattr(reader_module, "BATCH", size)
        found = list(reader.changes(0, row))
        assert [piece.last for piece in found] == [None] * (pieces - 1) + [2]
        assert np.concatenate([piece.touched for piece in found]).tolist() == list(range(1, 2101))
        assert np.concatenate([piece.ids for piece in found]).tolist() == [i for i in range(1, 2101) if i != 7]
    (piece,) = reader.changes(1, row)
    assert (piece.touched.tolist(), piece.ids.tolist(), piece.vectors.shape) == ([7], [], (0, DIM))


def test_the_embedding_of_known_bytes_is_found_by_their_hash(reader: CatalogReader) -> None:
    for name in (NAMES[3], NAMES[6]):  # the second is retired: its file may come back elsewhere
        known = reader.embedding_of(hash_of(name), 1)
        assert known is not None
        np.testing.assert_allclose(unpack_vectors([known[0]], DIM)[0], vector_of(name), atol=1e-3)
        assert known[1][:3] == ("JPEG", 40, 30)
    assert reader.embedding_of(hash_of("never seen"), 1) is None
    assert reader.embedding_of(hash_of(NAMES[3]), 2) is None


def test_looking_up_bytes_does_not_pass_all_images(reader: CatalogReader) -> None:
    """Every file that is indexed is looked up first; steps of SQLite's machine tell what that takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    reader._connection.set_progress_handler(count, 1)
    assert reader.embedding_of(hash_of("never seen"), 1) is None
    assert reader.embedding_of(hash_of(NAMES[2000]), 1) is not None
    reader._connection.set_progress_handler(None, 1)
    assert 0 < steps < 200 < len(NAMES)


def test_a_record_is_found_through_links_to_its_folder_and_to_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.jpg").write_bytes(b"x")
    (tmp_path / "folder").symlink_to("real")
    filled(tmp_path / "catalog.sqlite", ["a.jpg"], str(tmp_path / "real"))[0].close()
    with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
        for asked in ("real/a.jpg", "folder/a.jpg", "folder/../real/./a.jpg"):
            record = reader.record_at(tmp_path / asked)
            assert record is not None and record.id == 1, asked
        assert reader.record_at(tmp_path / "real/b.jpg") is None
        assert reader.record_at(tmp_path / "a.jpg") is None


def test_failures_come_by_path(tmp_path: Path) -> None:
    catalog, at, encoder = filled(tmp_path / "catalog.sqlite", ["a.jpg"])
    catalog.commit(Batch(failed=[failure(at, "z.jpg", "empty file"), failure(at, "b.jpg")]), encoder)
    catalog.close()
    with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
        found = [(failed.path, failed.reason) for failed in reader.failures()]
    assert found == [("/photos/b.jpg", "truncated file"), ("/photos/z.jpg", "empty file")]


def test_no_catalog_an_empty_one_and_a_folder_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(GalleryNotFound, match="there is no gallery"):
        CatalogReader(tmp_path / "catalog.sqlite")
    (tmp_path / "catalog.sqlite").touch()
    with pytest.raises(GalleryNotFound, match="nothing is indexed"):
        CatalogReader(tmp_path / "catalog.sqlite")


def test_garbage_and_damage_are_gallery_errors(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(os.urandom(50_000))
    with pytest.raises(GalleryError, match="cannot read the catalog"):
        CatalogReader(path)
    path.unlink()
    filled(path, NAMES[:500])[0].close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xaa" * (len(whole) - 8192))
    with pytest.raises(GalleryError), closing(CatalogReader(path)) as reader:
        reader.records(list(range(1, 501)))


READ_AS_NOBODY = """
import os, sys
from pathlib import Path
from retrieval.catalog.reader import CatalogReader
os.setgroups([]), os.setgid(65534), os.setuid(65534)
reader = CatalogReader(Path(sys.argv[1]))
try:
    (Path(sys.argv[1]).parent / "x").touch()
except PermissionError:
    print(reader.count(), sum(len(piece.ids) for piece in reader.changes(0, reader.encoders()[0])))
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become nobody")
def test_a_gallery_on_a_medium_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "catalog.sqlite")
        filled(path, ["a.jpg", "b.jpg"])[0].close()
        path.parent.chmod(0o555)
        root = Path(retrieval.__file__).parents[1]
        command = [sys.executable, "-c", READ_AS_NOBODY, str(path)]
        ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert ended.stdout.split() == ["2", "2"], ended.stderr


def test_a_replay_under_way_is_not_torn_by_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "BATCH", 10)
    path = tmp_path / "catalog.sqlite"
    catalog, at, encoder = filled(path, NAMES[:60])
    with closing(CatalogReader(path)) as reader:
        pieces = reader.changes(0, row_of(reader, encoder))
        seen = [next(pieces)]

        def write() -> None:
            catalog.commit(Batch(retired=list(range(20, 61)), indexed=[image(at, "new.jpg")]), encoder)

        writer = threading.Thread(target=write)
        writer.start()
        writer.join(timeout=600)
        assert not writer.is_alive(), "a reader must not hold up the writer"
        assert reader.change() == 2
        seen += pieces
        assert sum(len(piece.ids) for piece in seen) == 60 and seen[-1].last == 1
        (after,) = [p for p in reader.changes(1, row_of(reader, encoder)) if p.last] or [None]
        assert after is not None and after.last == 2
    catalog.close()


def test_readers_beside_a_writer_only_see_whole_commits(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    catalog, at, encoder = filled(path, [])
    done = threading.Event()
    torn: list[tuple[int, int | None]] = []

    def read() -> None:
        with closing(CatalogReader(path)) as reader:
            row = row_of(reader, encoder)
            while not done.is_set():
                pieces = list(reader.changes(0, row))
                count = sum(len(piece.ids) for piece in pieces)
                if count != 5 * (pieces[-1].last or 0):  # every commit adds five
                    torn.append((count, pieces[-1].last))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for start in range(0, 100, 5):
        catalog.commit(Batch(indexed=[image(at, name) for name in NAMES[start : start + 5]]), encoder)
    done.set()
    for thread in threads:
        thread.join()
    catalog.close()
    assert torn == []


def test_the_active_encoder(tmp_path: Path) -> None:
    catalog, _, encoder = filled(tmp_path / "catalog.sqlite", [])
    other = catalog.register_encoder(encoder_spec("two", dim=4))
    with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
        assert reader.active_encoder() is None
        catalog.activate_encoder(other)
        active = reader.active_encoder()
        assert active is not None and (active.name, active.dim, active.id) == ("two", 4, other)
        assert [row.id for row in reader.encoders()] == [encoder, other]
        assert reader.index_spec() is None
        catalog.set_index_spec("SQ8")
        assert reader.index_spec() == "SQ8"
    catalog.close()

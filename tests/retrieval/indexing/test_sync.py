"""The index in step with the catalog: whatever is saved, a search finds what a fresh exact index would find."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexes import IndexSpec, load_snapshot, read_manifest, save_snapshot
from indexes.exact import ExactIndex
from retrieval import index_keeper, sync
from retrieval.catalog.batch import Batch
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from retrieval.index_keeper import IndexKeeper
from retrieval.sync import SyncedIndex, catch_up, open_index, rebuild
from tests.retrieval.rows import DIM, encoder_spec, filled, image, row_of, vector_of

NAMES = [f"{number}.jpg" for number in range(40)]
QUERIES = np.stack([vector_of(f"query {number}") for number in range(3)])


class Setup:
    """A catalog of 40 images with its reader, and the folder of its index."""

    def __init__(self, tmp_path: Path) -> None:
        self.catalog, self.at, self.encoder = filled(tmp_path / "catalog.sqlite", NAMES)
        self.reader = CatalogReader(tmp_path / "catalog.sqlite")
        self.row: EncoderRow = row_of(self.reader, self.encoder)
        self.folder = tmp_path / "index"

    def keeper(self, **options: Any) -> IndexKeeper:
        return IndexKeeper(self.folder, self.reader, self.row, **options)

    def change_things(self) -> None:
        """One image changed, one gone, one new, one back."""
        self.catalog.commit(Batch(retired=[3, 4]), self.encoder)
        new = [image(self.at, "1.jpg", "other"), image(self.at, "new.jpg")]
        self.catalog.commit(Batch(indexed=new, restored=[4]), self.encoder)

    def saved(self) -> tuple[str, int] | None:
        """(kind, change number) of the snapshot."""
        manifest = read_manifest(self.folder)
        return None if manifest is None else (str(manifest.spec), manifest.change)

    def check(self, **options: Any) -> SyncedIndex:
        """Open the index and compare it with a fresh exact one."""
        opened = open_index(self.folder, self.reader, self.row, **options)
        fresh = rebuild(IndexSpec.parse("Exact"), self.reader, self.row)
        assert opened.change == fresh.change == self.reader.change()
        assert len(opened.index) == len(fresh.index) == self.reader.count(self.encoder)
        for found, wanted in zip(opened.index.search(QUERIES, 50), fresh.index.search(QUERIES, 50), strict=True):
            np.testing.assert_array_equal(found, wanted)
        return opened


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    with closing(made.catalog), closing(made.reader):
        yield made


def test_without_a_snapshot_the_catalog_is_enough_and_nothing_is_written(setup: Setup) -> None:
    setup.check()
    assert not setup.folder.exists()


@pytest.mark.parametrize("for_writing", [False, True])
def test_a_snapshot_is_brought_up_to_date_in_memory(setup: Setup, for_writing: bool) -> None:
    setup.keeper().finish()
    setup.change_things()
    setup.check(for_writing=for_writing)
    assert setup.saved() == ("Exact", 1)
    setup.catalog.commit(Batch(retired=list(range(5, 41))), setup.encoder)
    setup.check(for_writing=for_writing)


def damage_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


def lie_about_the_change(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "change": 3}))


def cut_the_vectors(folder: Path) -> None:
    path = next(folder.glob("vectors-*"))
    path.write_bytes(path.read_bytes()[:-4])


def change_a_header(folder: Path) -> None:
    path = next(folder.glob("ids-*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


def lose_a_file(folder: Path) -> None:
    next(folder.glob("ids-*")).unlink()


DAMAGES = [damage_manifest, lie_about_the_change, cut_the_vectors, change_a_header, lose_a_file]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_costs_time_never_results_and_the_writer_repairs_it(
    setup: Setup, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    setup.keeper().finish()
    damage(setup.folder)
    with caplog.at_level(logging.WARNING, "photoseek"):
        setup.check()
    assert "the catalog is used instead" in caplog.text
    caplog.clear()
    setup.keeper().finish()
    assert "used instead" not in caplog.text
    loaded = load_snapshot(setup.folder, fingerprint=setup.row.fingerprint, dim=DIM, verify=True)
    assert loaded is not None and loaded[1] == 1
    assert len(list(setup.folder.iterdir())) == 3, "nothing damaged is left behind"
    setup.check()


def test_a_snapshot_of_another_encoder_is_no_damage(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    other = rebuild(IndexSpec.parse("Exact"), setup.reader, setup.row)
    save_snapshot(other.index, setup.folder, fingerprint="f" * 64, change=1)
    setup.check()
    assert "belongs to another encoder; the catalog is used instead" in caplog.text
    setup.keeper().finish()
    assert setup.check().index.spec == IndexSpec.parse("Exact")
    manifest = read_manifest(setup.folder)
    assert manifest is not None and manifest.fingerprint == setup.row.fingerprint


def test_a_snapshot_ahead_of_a_restored_catalog_is_not_believed(tmp_path: Path) -> None:
    first = Setup(tmp_path)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        connection.execute("VACUUM INTO ?", [str(tmp_path / "backup")])
    first.change_things()
    first.keeper().finish()
    first.catalog.close()
    first.reader.close()
    for path in tmp_path.glob("catalog.sqlite*"):
        path.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "catalog.sqlite")
    first.reader = CatalogReader(tmp_path / "catalog.sqlite")
    with closing(first.reader):
        assert first.saved() == ("Exact", 3)
        first.check()
        first.keeper().finish()
        assert first.saved() == ("Exact", 1)
        first.check()


def test_an_index_of_another_gallery_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Same encoder, same change number, same number of pictures; only their embeddings are other ones."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    ours = Setup(tmp_path / "a")
    theirs, at, encoder = filled(tmp_path / "b" / "catalog.sqlite", [])
    theirs.commit(Batch(indexed=[image(at, name, f"their {name}") for name in NAMES]), encoder)
    with closing(theirs), closing(CatalogReader(tmp_path / "b" / "catalog.sqlite")) as reader:
        IndexKeeper(ours.folder, reader, row_of(reader, encoder)).finish()
    with closing(ours.catalog), closing(ours.reader):
        assert ours.saved() == ("Exact", ours.reader.change())
        ours.check()
        assert "belongs to another catalog; the catalog is used instead" in caplog.text
        ours.keeper().finish()
        caplog.clear()
        ours.check()
        assert caplog.text == ""


@pytest.mark.parametrize("later", [0, 1, 2])
def test_an_index_made_before_the_catalog_was_restored_is_not_believed(tmp_path: Path, later: int) -> None:
    """The restored catalog went on: its change number is as high as the index's by now, or higher."""
    first = Setup(tmp_path)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as connection:
        connection.execute("VACUUM INTO ?", [str(tmp_path / "backup")])
    first.catalog.commit(Batch(indexed=[image(first.at, "1.jpg", "lost with the disk")]), first.encoder)
    first.keeper().finish()
    first.catalog.close()
    first.reader.close()
    for path in tmp_path.glob("catalog.sqlite*"):
        path.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "catalog.sqlite")
    first.catalog, first.reader = Catalog(tmp_path / "catalog.sqlite"), CatalogReader(tmp_path / "catalog.sqlite")
    with closing(first.catalog), closing(first.reader):
        for number in range(later):
            first.catalog.commit(Batch(indexed=[image(first.at, "2.jpg", f"new {number}")]), first.encoder)
        first.check()
        first.keeper().finish()
        assert first.saved() == ("Exact", 1 + later)
        first.check()


def test_a_copied_gallery_keeps_its_index(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a").mkdir()
    first = Setup(tmp_path / "a")
    first.keeper().finish()
    first.catalog.close()
    first.reader.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with closing(CatalogReader(tmp_path / "b" / "catalog.sqlite")) as reader:
        row = row_of(reader, first.encoder)
        assert sync.saved_manifest(tmp_path / "b" / "index", reader, row) is not None
        assert len(open_index(tmp_path / "b" / "index", reader, row).index) == 40
    assert caplog.text == ""


def test_every_change_has_a_name_of_its_own(setup: Setup) -> None:
    names = {change: setup.reader.revision(change) for change in range(2)}
    setup.change_things()
    names |= {change: setup.reader.revision(change) for change in range(2, 4)}
    assert len(set(names.values())) == 4 and None not in names.values()
    assert [setup.reader.revision(change) for change in range(4)] == list(names.values())
    assert setup.reader.revision() == names[3]
    assert setup.reader.revision(4) is None


@pytest.mark.parametrize("part", ["vectors", "ids"])
def test_a_run_mends_what_no_search_noticed(setup: Setup, part: str) -> None:
    """Damage in what a reader did not look at, in an index that lacks nothing."""
    setup.keeper().finish()
    victim = next(setup.folder.glob(f"{part}-*"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-2] + bytes([whole[-2] ^ 0x40, whole[-1]]))
    setup.keeper().finish()
    assert load_snapshot(setup.folder, fingerprint=setup.row.fingerprint, dim=DIM, verify=True) is not None
    setup.check()


def test_replaying_twice_is_harmless(setup: Setup) -> None:
    synced = rebuild(IndexSpec.parse("Exact"), setup.reader, setup.row)
    setup.change_things()
    assert catch_up(synced, setup.reader, setup.row) == 4
    assert catch_up(synced, setup.reader, setup.row) == 0
    again = SyncedIndex(synced.index, 1)
    assert catch_up(again, setup.reader, setup.row) == 4
    save_snapshot(again.index, setup.folder, fingerprint=setup.row.fingerprint, change=again.change)
    setup.check()


def test_the_keeper_saves_when_enough_has_piled_up(setup: Setup) -> None:
    keeper = setup.keeper(save_every=10)
    keeper.follow()
    assert setup.saved() == ("Exact", 1)
    setup.change_things()
    keeper.follow()
    assert setup.saved() == ("Exact", 1), "four changes are too few"
    setup.catalog.commit(Batch(indexed=[image(setup.at, f"n{i}.jpg") for i in range(7)]), setup.encoder)
    keeper.follow()
    assert setup.saved() == ("Exact", 4)
    assert keeper._opened is None, "what is saved is mapped when it is needed again"
    setup.catalog.commit(Batch(indexed=[image(setup.at, "one more.jpg")]), setup.encoder)
    keeper.follow()
    assert keeper._opened is not None and isinstance(keeper._opened.index, ExactIndex)
    assert not keeper._opened.index._parts[0].flags.writeable
    setup.change_things()
    keeper.finish()
    assert setup.saved() == ("Exact", 7)
    setup.check()


def test_what_killed_runs_left_unsaved_counts_as_well(setup: Setup) -> None:
    setup.keeper().finish()
    new = [f"new {number}.jpg" for number in range(15)]
    for start in (0, 5, 10):  # each run adds five, too few to be saved, and is killed
        batch = Batch(indexed=[image(setup.at, name) for name in new[start : start + 5]])
        setup.catalog.commit(batch, setup.encoder)
        setup.keeper(save_every=12).follow()
        assert setup.saved() == ("Exact", 1 if start < 10 else 4)
    setup.check()


def test_a_run_without_changes_neither_reads_nor_writes_the_index(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.keeper().finish()
    before = {path.name: path.stat().st_mtime_ns for path in setup.folder.iterdir()}

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("there was nothing to do")

    monkeypatch.setattr(sync, "open_index", refuse)
    monkeypatch.setattr("indexes.store.save_snapshot", refuse)
    keeper = setup.keeper()
    keeper.follow()
    assert keeper.finish().startswith("Exact (up to 50,000 pictures")
    assert {path.name: path.stat().st_mtime_ns for path in setup.folder.iterdir()} == before


def test_the_kind_that_was_asked_for_is_built_and_given_up_again(setup: Setup) -> None:
    pytest.importorskip("faiss")
    setup.keeper().finish()
    setup.catalog.set_index_spec("HNSW16")
    assert setup.keeper().finish() == "HNSW16 (asked for with --index)"
    assert setup.saved() == ("HNSW16", 1)
    assert len(setup.check().index) == 40
    setup.catalog.set_index_spec(None)
    setup.keeper().finish()
    assert setup.saved() == ("Exact", 1)


def test_a_kind_that_needs_more_pictures_waits_for_them(setup: Setup) -> None:
    pytest.importorskip("faiss")
    setup.catalog.set_index_spec("IVF64,Flat")
    assert "IVF64,Flat was asked for, but needs 64 pictures to train" in setup.keeper().finish()
    assert setup.saved() == ("Exact", 1)
    more = [image(setup.at, f"more {number}.jpg") for number in range(30)]
    setup.catalog.commit(Batch(indexed=more), setup.encoder)
    assert setup.keeper().finish() == "IVF64,Flat (asked for with --index)"
    assert setup.saved() == ("IVF64,Flat", 2)
    setup.check()


def test_an_empty_gallery_has_an_index_too(tmp_path: Path) -> None:
    with closing(Catalog(tmp_path / "catalog.sqlite")) as catalog:
        catalog.register_encoder(encoder_spec())
        with closing(CatalogReader(tmp_path / "catalog.sqlite")) as reader:
            keeper = IndexKeeper(tmp_path / "index", reader, reader.encoders()[0])
            keeper.follow()
            assert keeper.finish().startswith("Exact")
            opened = open_index(tmp_path / "index", reader, reader.encoders()[0])
            assert (len(opened.index), opened.change) == (0, 0)


def test_a_large_index_is_not_written_again_for_a_few_changes(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.keeper().finish()
    setup.change_things()
    keeper = setup.keeper(large_bytes=1)
    keeper.follow()
    assert keeper.finish().startswith("Exact (")
    assert setup.saved() == ("Exact", 1), "readers catch up instead"
    assert setup.check().unsaved == 4
    monkeypatch.setattr(index_keeper, "_WAITING_LEAST", 3)
    keeper.follow()
    keeper.finish()
    assert setup.saved() == ("Exact", setup.reader.change())
    assert setup.check().unsaved == 0


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("whole", [True, False])
def test_a_large_index_that_is_damaged_does_not_wait(
    setup: Setup, damage: Any, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        monkeypatch.setattr(index_keeper, "_CHECKED_WHOLE_BYTES", 0)
    setup.keeper().finish()
    setup.catalog.commit(Batch(retired=[3, 4]), setup.encoder)
    damage(setup.folder)
    keeper = setup.keeper(large_bytes=1)
    keeper.follow()
    keeper.finish()
    assert setup.saved() == ("Exact", setup.reader.change())
    assert load_snapshot(setup.folder, fingerprint=setup.row.fingerprint, dim=DIM, verify=True) is not None

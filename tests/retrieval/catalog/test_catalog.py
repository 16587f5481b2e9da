"""The writer: all or nothing, ids over renames, moves, copies and swaps, failures, folders."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog import commit as commit_module
from retrieval.catalog.batch import Batch, Counts
from retrieval.catalog.forgetting import forget
from retrieval.catalog.labels import add_said
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.writer import Catalog
from tests.retrieval.rows import encoder_spec, failure, filled, ids_by_name, image, row_of

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A real folder: whether a file is still there decides between moved and copied."""
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with closing(Catalog(path)) as opened:
        yield opened


@pytest.fixture
def reader(catalog: Catalog, path: Path) -> Iterator[CatalogReader]:
    with closing(CatalogReader(path)) as opened:
        yield opened


def put(catalog: Catalog, folder: Path, *names: str, **contents: str) -> int:
    """Commit files of ``folder`` that exist; the encoder's id."""
    encoder = catalog.register_encoder(encoder_spec())
    at = catalog.folder_id(str(folder))
    for name in names:
        (folder / name).write_text("x")
    catalog.commit(Batch(indexed=[image(at, name, contents.get(name.split(".")[0], "")) for name in names]), encoder)
    return encoder


def dump(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names}


@pytest.mark.of_a_file
@pytest.mark.parametrize(
    "step", ["_moved_from", "_record_failure", "_commit_image", "_insert_images", "_columns", "utc_now"]
)
def test_a_commit_that_fails_anywhere_changes_nothing(
    catalog: Catalog, path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    encoder = put(catalog, folder, "a.jpg", "b.jpg", "c.jpg")
    at = catalog.folder_id(str(folder))
    before = dump(path)
    real, calls = getattr(commit_module, step), 0

    def break_down(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EIO, "the disk is gone")
        return real(*arguments)

    batch = Batch(
        indexed=[
            image(at, "d.jpg", "b.jpg"),
            image(at, "a.jpg", "other"),
            image(at, "e.jpg", "c.jpg"),
            image(at, "f.jpg"),
        ],
        failed=[failure(at, "x.jpg"), failure(at, "b.jpg")],
        retired=[3],
    )
    monkeypatch.setattr(commit_module, step, break_down)
    with pytest.raises(OSError, match="the disk is gone"):
        catalog.commit(batch, encoder)
    assert dump(path) == before
    monkeypatch.setattr(commit_module, step, real)
    assert catalog.commit(batch, encoder) == Counts(added=3, updated=1, retired=1, failed=2)


def test_every_commit_that_touches_an_image_has_the_next_number(
    catalog: Catalog, reader: CatalogReader, folder: Path
) -> None:
    encoder = put(catalog, folder, "a.jpg", "b.jpg")
    at = catalog.folder_id(str(folder))
    numbers = [reader.change()]
    for batch in (
        Batch(indexed=[image(at, "c.jpg")]),
        Batch(retired=[1]),
        Batch(restored=[1]),
        Batch(failed=[failure(at, "b.jpg")]),
    ):
        catalog.commit(batch, encoder)
        numbers.append(reader.change())
    assert numbers == [1, 2, 3, 4, 5]


def test_a_failure_that_comes_back_on_every_run_does_not_make_the_indexes_old(
    catalog: Catalog, reader: CatalogReader, folder: Path
) -> None:
    encoder = put(catalog, folder, "a.jpg")
    at = catalog.folder_id(str(folder))
    for reason in ("permission denied", "input/output error"):
        catalog.commit(Batch(failed=[failure(at, "x.jpg", reason, transient=True)]), encoder)
    assert reader.change() == 1
    assert [(f.path, f.reason) for f in reader.failures()] == [(str(folder / "x.jpg"), "input/output error")]
    catalog.commit(Batch(resolved=[1]), encoder)
    assert (reader.change(), reader.failure_count()) == (1, 0)


def test_a_renamed_file_keeps_its_id_and_its_embeddings(catalog: Catalog, reader: CatalogReader, folder: Path) -> None:
    encoder = put(catalog, folder, "a.jpg", "b.jpg")
    other = catalog.register_encoder(encoder_spec("two"))
    catalog.commit(Batch(indexed=[image(catalog.folder_id(str(folder)), "a.jpg", encoder=2)]), other)
    (folder / "a.jpg").rename(folder / "new.jpg")
    counts = catalog.commit(Batch(indexed=[image(catalog.folder_id(str(folder)), "new.jpg", "a.jpg")]), encoder)
    assert counts == Counts(moved=1)
    assert ids_by_name(reader) == {"new.jpg": 1, "b.jpg": 2}
    assert reader.count(other) == 1


def test_a_copy_gets_an_id_of_its_own(catalog: Catalog, reader: CatalogReader, folder: Path) -> None:
    encoder = put(catalog, folder, "a.jpg")
    assert put(catalog, folder, "copy.jpg", copy="a.jpg") == encoder
    assert ids_by_name(reader) == {"a.jpg": 1, "copy.jpg": 2}


def test_on_an_unplugged_drive_nothing_is_gone_so_it_is_a_copy(
    catalog: Catalog, reader: CatalogReader, folder: Path, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    encoder = catalog.register_encoder(encoder_spec())
    catalog.commit(Batch(indexed=[image(catalog.folder_id(str(drive / "deep")), "a.jpg")]), encoder)
    batch = Batch(indexed=[image(catalog.folder_id(str(folder)), "b.jpg", "a.jpg")])
    assert catalog.commit(batch, encoder, unplugged=[str(drive)]) == Counts(added=1)
    assert ids_by_name(reader) == {"a.jpg": 1, "b.jpg": 2}


def test_behind_a_closed_door_nothing_is_gone_either(
    catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = put(catalog, folder, "a.jpg")

    def lstat(path: str) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(commit_module.os, "lstat", lstat)
    counts = catalog.commit(Batch(indexed=[image(catalog.folder_id("/other"), "b.jpg", "a.jpg")]), encoder)
    assert counts == Counts(added=1)


def test_two_files_that_swap_names_swap_embeddings_not_ids(
    catalog: Catalog, reader: CatalogReader, folder: Path
) -> None:
    encoder = put(catalog, folder, "a.jpg", "b.jpg")
    row = row_of(reader, encoder)
    first, second = reader.vectors([1, 2], row)
    put(catalog, folder, "a.jpg", "b.jpg", a="b.jpg", b="a.jpg")
    assert ids_by_name(reader) == {"a.jpg": 1, "b.jpg": 2}
    assert (reader.vectors([1, 2], row) == [second, first]).all()


def test_other_content_drops_the_embeddings_of_other_encoders(
    catalog: Catalog, reader: CatalogReader, folder: Path
) -> None:
    put(catalog, folder, "a.jpg", "b.jpg")
    other = catalog.register_encoder(encoder_spec("two"))
    at = catalog.folder_id(str(folder))
    catalog.commit(Batch(indexed=[image(at, name, encoder=2) for name in ("a.jpg", "b.jpg")]), other)
    encoder = put(catalog, folder, "a.jpg", a="something else")
    assert (reader.count(encoder), reader.count(other)) == (2, 1)
    assert catalog.unembedded(other) == [str(folder)] and catalog.unembedded(encoder) == []
    touched = replace(image(at, "b.jpg"), mtime_ns=2000)
    assert catalog.commit(Batch(indexed=[touched]), encoder) == Counts(updated=1)
    assert reader.count(other) == 1, "the same bytes with another time are the same picture"


def test_a_failure_retires_the_picture_that_was_there_and_a_success_ends_the_failure(
    catalog: Catalog, reader: CatalogReader, folder: Path
) -> None:
    encoder = put(catalog, folder, "a.jpg", "b.jpg")
    at = catalog.folder_id(str(folder))
    catalog.commit(Batch(failed=[failure(at, "a.jpg"), failure(at, "new.jpg")]), encoder)
    assert ids_by_name(reader) == {"b.jpg": 2}
    assert catalog.known_failures(at) == {"a.jpg": (1, 5, 1000, False), "new.jpg": (2, 5, 1000, False)}
    assert catalog.commit(Batch(indexed=[image(at, "a.jpg")]), encoder) == Counts(restored=1)
    assert ids_by_name(reader) == {"a.jpg": 1, "b.jpg": 2}
    assert set(catalog.known_failures(at)) == {"new.jpg"}


def test_ids_are_never_used_twice(catalog: Catalog, reader: CatalogReader, folder: Path) -> None:
    encoder = put(catalog, folder, "a.jpg", "b.jpg")
    catalog.commit(Batch(retired=[2]), encoder)
    put(catalog, folder, "c.jpg")
    assert ids_by_name(reader) == {"a.jpg": 1, "c.jpg": 3}


def test_names_that_are_not_text_come_back_byte_for_byte(catalog: Catalog, reader: CatalogReader) -> None:
    folder, name = os.fsdecode(b"/pho\xfftos"), os.fsdecode(b"caf\xe9\n.jpg")
    encoder, at = catalog.register_encoder(encoder_spec()), catalog.folder_id(folder)
    assert catalog.folder_id(folder) == at
    batch = Batch(indexed=[image(at, name, "1")], failed=[failure(at, os.fsdecode(b"\xfe.jpg"))])
    assert catalog.commit(batch, encoder) == Counts(added=1, failed=1)
    assert catalog.commit(Batch(indexed=[image(at, name, "1")]), encoder) == Counts(encoded_again=1)
    assert os.fsencode(reader.records([1])[0].path) == b"/pho\xfftos/caf\xe9\n.jpg"
    found = reader.record_at(os.path.join(folder, name))
    assert found is not None and found.id == 1
    assert list(catalog.known_files(at, encoder)) == [name]
    assert reader.failures()[0].path == os.fsdecode(b"/pho\xfftos/\xfe.jpg")
    assert list(catalog.folders_below(folder)) == [folder]


def test_known_files_tell_what_a_walk_needs(catalog: Catalog, folder: Path) -> None:
    encoder = put(catalog, folder, "a.jpg", "b.jpg")
    other = catalog.register_encoder(encoder_spec("two"))
    catalog.commit(Batch(retired=[2]), encoder)
    at = catalog.folder_id(str(folder))
    assert catalog.known_files(at, encoder) == {"a.jpg": (1, 5, 1000, 0, 1, None), "b.jpg": (2, 5, 1000, 1, 1, None)}
    assert catalog.known_files(at, other) == {"a.jpg": (1, 5, 1000, 0, 0, None), "b.jpg": (2, 5, 1000, 1, 0, None)}


def test_folders_remember_roots_and_mounts(catalog: Catalog, reader: CatalogReader) -> None:
    first = catalog.folder_id("/a", is_root=True)
    assert catalog.folder_id("/a") == first
    assert catalog.folder_id("/a/b", is_mount=True) == catalog.folder_id("/a/b", is_mount=True)
    catalog.folder_id("/a/bc")
    assert (reader.roots(), catalog.mounts()) == (["/a"], ["/a/b"])
    assert {path: mounted for path, (_, mounted) in catalog.folders_below("/a/b").items()} == {"/a/b": True}
    catalog.folder_id("/a/b", is_mount=False)
    assert catalog.mounts() == []


def test_forgetting_a_folder_takes_what_lies_below_and_nothing_beside(catalog: Catalog, reader: CatalogReader) -> None:
    encoder = catalog.register_encoder(encoder_spec())
    folders = {name: catalog.folder_id(name, is_root=True) for name in ("/a/b", "/a/b/c", "/a/bc")}
    catalog.commit(
        Batch(
            indexed=[image(id_, "x.jpg", name) for name, id_ in folders.items()],
            failed=[failure(id_, "y.jpg") for id_ in folders.values()],
        ),
        encoder,
    )
    assert catalog.count_present("/a/b") == 2 and catalog.count_present("/a") == 3
    with catalog.transaction() as transaction:
        gone = forget(transaction, ["/a/b"], purge=False)
    assert gone is not None and (gone.images, gone.left_out_of) == (2, None)
    assert (reader.roots(), reader.count(), reader.failure_count(), reader.change()) == (["/a/bc"], 1, 1, 2)
    with catalog.transaction() as transaction:
        assert forget(transaction, ["/a/b"], purge=False) is None


def test_runs_are_noted_and_a_killed_one_has_no_end(catalog: Catalog, reader: CatalogReader) -> None:
    assert reader.last_run() is None
    encoder = catalog.register_encoder(encoder_spec())
    run = catalog.begin_run(encoder, ["/a", os.fsdecode(b"/\xff")])
    begun = reader.last_run()
    assert begun is not None and begun["outcome"] is None and begun["roots"] == ["/a", os.fsdecode(b"/\xff")]
    catalog.finish_run(run, "complete", {"encoded": 3})
    ended = reader.last_run()
    assert ended is not None
    assert (ended["outcome"], ended["encoder"], ended["report"]) == ("complete", "one", {"encoded": 3})


def test_an_encoder_is_known_by_its_fingerprint(path: Path) -> None:
    catalog, _, encoder = filled(path, ["a.jpg"])
    renamed = replace(encoder_spec(), name="another name")
    assert catalog.register_encoder(renamed) == encoder
    assert catalog.register_encoder(encoder_spec("two")) != encoder
    catalog.close()


def test_a_transaction_has_one_change_number_however_often_it_is_asked(catalog: Catalog, reader: CatalogReader) -> None:
    before, name = reader.change(), reader.revision()
    with catalog.transaction() as transaction:
        assert transaction.change() == transaction.change() == before + 1
    assert reader.change() == before + 1
    assert reader.revision() not in (None, name)
    with catalog.transaction() as transaction:
        assert transaction.rows("SELECT change FROM state")[0][0] == before + 1
    assert reader.change() == before + 1


def test_the_version_is_another_one_after_whatever_was_written(
    catalog: Catalog, reader: CatalogReader, folder: Path
) -> None:
    put(catalog, folder, "a.jpg")
    versions, change = [reader.version()], reader.change()
    with catalog.transaction() as transaction:
        add_said(transaction, "tags", [(1, "x", "user")])
    versions.append(reader.version())
    assert reader.change() == change, "nothing that an index would have to replay"
    with catalog.transaction() as transaction:
        assert add_said(transaction, "tags", [(1, "x", "user")]) == 0
    catalog.folder_id(str(folder))
    with pytest.raises(ZeroDivisionError), catalog.transaction() as transaction:
        add_said(transaction, "tags", [(1, "y", "user")])
        raise ZeroDivisionError
    assert reader.version() == versions[-1], "nothing was written"
    catalog.commit(Batch(retired=[1]), 1)
    versions.append(reader.version())
    catalog.set_index_spec("Exact")
    versions.append(reader.version())
    assert len(set(versions)) == len(versions)

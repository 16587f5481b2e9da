"""A file whose size and modification time say that nothing happened: its time of change and its content decide."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from retrieval.catalog.records import FileChanged
from retrieval.catalog.selection import select
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import embedded, rows

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no time of change")


def edit_in_place(path: Path, *, by_replacing: bool) -> None:
    """Another picture of the same length, at the same modification time: what ``exiftool -P`` and digiKam leave."""
    before, seed = path.stat(), 500
    other = save_picture(path.parent.parent / f"other{path.suffix}", "white", seed=seed)
    data = other.read_bytes()
    assert len(data) <= before.st_size
    data += b"\0" * (before.st_size - len(data))
    if by_replacing:
        other.write_bytes(data)
        other.replace(path)
    else:
        with path.open("r+b") as file:
            file.write(data)
        other.unlink()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.fixture
def padded(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> Gallery:
    """Pictures that have room for another one."""
    for name in PHOTOS:
        with (photos / name).open("ab") as file:
            file.write(b"\0" * 4000)
    Indexer(gallery, encoder).run(photos)
    encoder.encoded = 0
    return gallery


@pytest.mark.parametrize("by_replacing", [False, True])
def test_an_edit_that_keeps_size_and_time_is_noticed(
    padded: Gallery, photos: Path, encoder: ColourEncoder, by_replacing: bool
) -> None:
    edit_in_place(photos / "green.jpg", by_replacing=by_replacing)
    with padded.reader() as reader:
        record = reader.record_at(photos / "green.jpg")
        assert record is not None and record.on_disk() == "changed"
        with pytest.raises(FileChanged):
            record.open()
    report = Indexer(padded, encoder).run(photos)
    assert (report.encoded, report.unchanged) == (1, len(PHOTOS) - 1)
    with padded.reader() as reader:
        record = reader.record_at(photos / "green.jpg")
        assert record is not None and record.on_disk() == "same"


@pytest.mark.parametrize("what", ["permissions", "hard link", "rename and back", "restored from a backup"])
def test_what_only_moves_the_time_of_change_encodes_nothing_and_hides_nothing(
    padded: Gallery, photos: Path, encoder: ColourEncoder, what: str
) -> None:
    path, before = photos / "green.jpg", embedded(padded, encoder)
    if what == "permissions":
        path.chmod(0o600)
    elif what == "hard link":
        os.link(path, photos.parent / "link")
    elif what == "rename and back":
        path.rename(photos.parent / "aside")
        (photos.parent / "aside").rename(path)
    else:
        shutil.copy2(path, photos.parent / "backup")
        path.unlink()
        shutil.copy2(photos.parent / "backup", path)
    with padded.reader() as reader:
        record, change = reader.record_at(path), reader.change()
        assert record is not None and record.on_disk() == "same"
        with closing(record.open()) as file:
            assert file.read() == path.read_bytes()
    report = Indexer(padded, encoder).run(photos)
    assert (report.counts.verified, report.unchanged, encoder.encoded) == (1, len(PHOTOS) - 1, 0)
    assert embedded(padded, encoder) == before
    assert Indexer(padded, encoder).run(photos).unchanged == len(PHOTOS)
    with padded.reader() as reader:
        assert reader.change() == change, "nothing that an index would have to replay"


def test_a_gallery_from_before_there_was_such_a_time_learns_it_without_reading(
    padded: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    with padded.writer() as catalog, catalog.transaction() as transaction:
        transaction.connection.exec_driver_sql("UPDATE images SET ctime_ns = NULL")
    with padded.reader() as reader:
        record = reader.record_at(photos / "green.jpg")
        assert record is not None and record.on_disk() == "same"
    report = Indexer(padded, encoder).run(photos)
    assert (report.unchanged, report.seconds["read"]) == (len(PHOTOS), 0)
    assert rows(padded, "SELECT count(*) FROM images WHERE ctime_ns IS NULL") == [(0,)]
    edit_in_place(photos / "green.jpg", by_replacing=False)
    assert Indexer(padded, encoder).run(photos).encoded == 1


def test_verify_content_reads_everything_and_encodes_what_differs(
    padded: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    edit_in_place(photos / "green.jpg", by_replacing=False)
    with padded.writer() as catalog, catalog.transaction() as transaction:  # a file system without such a time
        changed = (photos / "green.jpg").stat().st_ctime_ns
        transaction.connection.exec_driver_sql("UPDATE images SET ctime_ns = ? WHERE name = 'green.jpg'", (changed,))
    assert Indexer(padded, encoder).run(photos).unchanged == len(PHOTOS)
    report = Indexer(padded, encoder).run(photos, verify_content=True)
    assert (report.counts.verified, report.encoded, report.unchanged) == (len(PHOTOS) - 1, 1, 0)


SETTINGS = "SELECT iso, aperture, exposure, focal_length FROM images ORDER BY iso"


def test_what_an_older_version_did_not_read_comes_with_the_content(
    gallery: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x8827: 400, 0x829D: 2.8, 0x829A: 1 / 250, 0x920A: 50.0})
    Image.new("RGB", (40, 30), "red").save(photos / "camera.jpg", exif=exif)
    Indexer(gallery, encoder).run(photos)
    assert rows(gallery, SETTINGS)[-1] == (400, 2.8, 0.004, 50.0)
    before = encoder.encoded
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        nothing = "iso = NULL, aperture = NULL, exposure = NULL, focal_length = NULL"
        transaction.run(f"UPDATE images SET {nothing}")
    assert Indexer(gallery, encoder).run(photos).unchanged == len(PHOTOS) + 1
    with gallery.reader() as reader:
        found = select(reader, Filter(iso=400, exposure="1/250"))
        assert (found.ids.size, found.unknown, found.lacking) == (0, len(PHOTOS) + 1, ("ISO", "exposure time"))
        assert "their ISO or exposure time is unknown" in found.message()
    report = Indexer(gallery, encoder).run(photos, verify_content=True)
    assert report.counts.verified == len(PHOTOS) + 1 and encoder.encoded == before
    assert rows(gallery, SETTINGS)[-1] == (400, 2.8, 0.004, 50.0)
    with gallery.reader() as reader:
        assert select(reader, Filter(iso=400, exposure="1/250", aperture="f/2.8", focal_length="50mm")).ids.size == 1

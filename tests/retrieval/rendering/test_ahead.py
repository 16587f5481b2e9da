"""Thumbnails made ahead: all of them, or the newest if there is not enough room, and missing colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from retrieval.commands import app as application
from retrieval.errors import GalleryNotFound
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.rendering import ahead
from retrieval.rendering.ahead import Ahead, make_ahead
from retrieval.rendering.thumbnail_store import ThumbnailStore
from retrieval.rendering.thumbnails import as_webp
from tests.pictures import RGB, replace_picture, save_picture


def colours(gallery: Gallery) -> dict[str, int | None]:
    with gallery.reader() as reader:
        return {
            Path(r.path).stem.partition("-")[0]: r.colour
            for r in reader.records([int(i) for i in reader.select(Filter())])
        }


def test_every_picture_gets_its_thumbnail_once(indexed: Gallery, photos: Path) -> None:
    steps: list[tuple[int, int]] = []
    assert make_ahead(indexed, on_progress=lambda *step: steps.append(step)) == Ahead(made=6)
    assert steps == [(6, 6)]
    assert make_ahead(indexed) == Ahead(known=6)
    store = ThumbnailStore(indexed.path)
    with indexed.reader() as reader:
        record = reader.record_at(photos / "green.jpg")
    assert record is not None
    assert (store.find(record.content_hash, 32) or b"")[8:12] == b"WEBP"
    store.close()


def test_files_that_are_not_what_was_indexed_get_none(indexed: Gallery, photos: Path) -> None:
    (photos / "red-1.jpg").unlink()
    replace_picture(photos / "green.jpg", "blue")
    assert make_ahead(indexed) == Ahead(made=4, failed=2)


def test_colours_that_older_galleries_lack_are_filled_in(indexed: Gallery) -> None:
    before = colours(indexed)
    make_ahead(indexed)
    with indexed.writer() as catalog, catalog.transaction() as transaction:
        transaction.connection.exec_driver_sql("UPDATE images SET colour = NULL WHERE name <> 'green.jpg'")
    with indexed.reader() as reader:
        change = reader.change()
    assert make_ahead(indexed) == Ahead(known=6, coloured=5)
    for name, colour in colours(indexed).items():
        assert colour is not None and before[name] is not None
        wanted = RGB[name]
        assert max(abs(a - b) for a, b in zip(colour.to_bytes(3), wanted, strict=True)) < 30
    with indexed.reader() as reader:
        assert reader.change() == change  # nothing to replay
    assert make_ahead(indexed) == Ahead(known=6)


def test_colours_are_not_kept_while_somebody_writes(indexed: Gallery, caplog: pytest.LogCaptureFixture) -> None:
    with indexed.writer() as catalog:
        with catalog.transaction() as transaction:
            transaction.connection.exec_driver_sql("UPDATE images SET colour = NULL")
        assert make_ahead(indexed) == Ahead(made=6)
    assert "not kept" in caplog.text


def test_it_ends_where_the_room_does_and_removes_nothing(indexed: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_AT_ONCE", 1)
    monkeypatch.setattr(ahead, "as_webp", lambda picture: as_webp(picture) + bytes(9000))  # of some size
    report = make_ahead(indexed, max_bytes=10 * 8192)
    assert report.is_full
    assert 0 < report.made < 6
    assert make_ahead(indexed, max_bytes=10 * 8192).known == report.made


def test_it_can_be_stopped(indexed: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_AT_ONCE", 2)
    answers = iter([False, False, True])
    assert make_ahead(indexed, stop=lambda: next(answers)) == Ahead(made=4)


def test_there_has_to_be_a_gallery(gallery: Gallery) -> None:
    with pytest.raises(GalleryNotFound):
        make_ahead(gallery)
    assert not gallery.path.exists()


def test_the_command_makes_them_after_indexing(tmp_path: Path) -> None:
    save_picture(tmp_path / "photos/a.png", "red")
    asked = ["index", str(tmp_path / "photos"), "--gallery", str(tmp_path / "gallery"), "--model", "builtin-224"]
    done = CliRunner().invoke(application.app, [*asked, "--thumbnails"])
    assert done.exit_code == 0, done.output
    assert "thumbnails: 1 made, 0 were already present" in done.output
    assert make_ahead(Gallery(tmp_path / "gallery")) == Ahead(known=1)

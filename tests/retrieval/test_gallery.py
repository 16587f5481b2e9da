"""The gallery folder: its path, one writer at a time, forgetting folders, and its description."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import retrieval
from retrieval.errors import GalleryLocked, GalleryNotFound, SettingsError, UnknownImage
from retrieval.gallery import Gallery, default_gallery
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.overview import overview, write_failures, write_overview
from retrieval.paths import GALLERY_VARIABLE
from retrieval.rendering.thumbnail_store import ThumbnailStore
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture


def test_the_default_place_can_be_named_by_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(GALLERY_VARIABLE, "~/mine")
    assert default_gallery() == Gallery().path == tmp_path / "mine"
    monkeypatch.setenv(GALLERY_VARIABLE, "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if sys.platform == "linux":
        assert default_gallery() == tmp_path / "data/photoseek/gallery"
    assert Gallery("~/other").path == tmp_path / "other"


def test_looking_makes_nothing(gallery: Gallery) -> None:
    assert not gallery.exists()
    with pytest.raises(GalleryNotFound), gallery.reader():
        pass
    assert not gallery.path.exists()


def test_a_file_is_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is a file, not a folder"):
        Gallery(tmp_path / "file")


HOLD = """
import sys
from retrieval.gallery import Gallery
with Gallery(sys.argv[1]).writer():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_writes_and_the_other_is_told_which(gallery: Gallery) -> None:
    root = Path(retrieval.__file__).parents[1]
    command = [sys.executable, "-c", HOLD, str(gallery.path)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(GalleryLocked, match=f"process {holder.pid}"), gallery.writer():
            pass
        with gallery.reader() as reader:
            assert reader.count() == 0, "readers are not locked out"
        holder.send_signal(signal.SIGKILL)
    with gallery.writer() as catalog:
        assert json.loads((gallery.path / "writer.json").read_text()) == {"pid": os.getpid()}
        assert catalog.mounts() == []
    assert not (gallery.path / "writer.json").exists()


def test_an_error_while_writing_gives_the_lock_back(gallery: Gallery) -> None:
    with pytest.raises(LookupError), gallery.writer():
        raise LookupError
    with gallery.writer():
        pass


def test_forgetting_a_folder(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    other = save_picture(photos.parent / "other/a.png", "red", seed=40).parent
    Indexer(indexed, encoder).run(other)
    with pytest.raises(UnknownImage, match="is not in the gallery"):
        forget_paths(indexed, [photos.parent / "never"])
    (trip,) = forget_paths(indexed, [photos / "trip"]).forgotten
    assert (trip.path, trip.images, trip.left_out_of) == (str(photos / "trip"), 3, str(photos))
    store = ThumbnailStore(indexed.path, 1 << 20)
    with indexed.reader() as reader:
        kept, gone = (reader.record_at(path) for path in (other / "a.png", photos / "green.jpg"))
    assert kept is not None and gone is not None
    for image in (kept, gone):
        store.add(image.content_hash, 240, b"a small picture")
    (rest,) = forget_paths(indexed, [photos]).forgotten
    assert (rest.path, rest.images, rest.left_out_of) == (str(photos), 3, None)
    assert store.find(kept.content_hash, 240) == b"a small picture"
    assert store.find(gone.content_hash, 240) is None
    store.close()
    with indexed.reader() as reader:
        assert (reader.roots(), reader.count()) == ([str(other)], 1)
    with pytest.raises(UnknownImage, match="it has"):
        forget_paths(indexed, [photos / "nothing"])
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.restored, report.encoded, report.images) == (6, 0, 7)


def test_the_overview_counts_what_is_there(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    (photos / "broken.jpg").write_text("text")
    (photos / "green.jpg").unlink()
    Indexer(indexed, encoder).run()
    with indexed.reader() as reader:
        facts = overview(indexed, reader)
        out = io.StringIO()
        write_overview(indexed, reader, out, as_json=True)
        assert json.loads(out.getvalue()) == facts
        text = io.StringIO()
        write_overview(indexed, reader, text)
    assert facts["images"] == len(PHOTOS) - 1 == 5
    assert (facts["formats"], facts["retired"], facts["failures"]) == ({"JPEG": 3, "PNG": 2}, 1, 1)
    assert facts["index"] == "Exact" and "up to 50,000 pictures" in facts["index_reason"]
    assert facts["encoders"][0]["images"] == 5 and facts["encoders"][0]["active"] is True
    assert facts["folders"] == [str(photos)]
    sizes = {"catalog": 0, "index": 0}
    for path in indexed.path.rglob("*"):
        if path.is_file():
            sizes["index" if "index" in path.parts[-3:-1] else "catalog"] += path.stat().st_size
    assert facts["bytes_on_disk"]["index"] == sizes["index"] > 0
    assert 0 < facts["bytes_on_disk"]["catalog"] <= sizes["catalog"]
    assert facts["last_run"]["outcome"] == "complete"
    for words in ("5 (3 JPEG, 2 PNG)", "info --failures", "colour (in use; 5 pictures", "complete, 0 encoded"):
        assert words in text.getvalue()


def test_an_overview_of_a_gallery_with_nothing_in_it(gallery: Gallery) -> None:
    with gallery.writer():
        pass
    out = io.StringIO()
    with gallery.reader() as reader:
        write_overview(gallery, reader, out)
    assert "none (nothing is indexed yet)" in out.getvalue()


def test_failures_are_listed_with_names_that_steer_no_terminal(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    name = os.fsdecode(b"a\x1b[31m\n\xff.jpg")
    (photos / name).write_bytes(b"")
    Indexer(indexed, encoder).run()
    plain, lines = io.StringIO(), io.StringIO()
    with indexed.reader() as reader:
        write_failures(reader, plain)
        write_failures(reader, lines, as_json=True)
    assert plain.getvalue() == f"empty file\t{photos}/a\\x1b[31m\\n\\udcff.jpg\n"
    (line,) = lines.getvalue().splitlines()
    assert json.loads(line)["path"] == str(photos / name)

"""What is left out for good, what is left out by default, and how both are taken back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.indexing.gitignore import GitIgnore
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.scan import walk
from retrieval.regular_files import NOT_REGULAR
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.indexing.test_scan import found, make
from tests.retrieval.states import ids

OF_OTHERS = (
    "@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/a.jpg", "@Recycle/a.jpg", "$RECYCLE.BIN/S-1-5/$R1.jpg",
    "System Volume Information/a.jpg", "lost+found/#12.jpg", ".Trash-1000/files/a.jpg", ".Trashes/501/a.jpg",
    ".thumbnails/1.jpg", ".Thumbs/1.jpg", "thumbs/1.jpg", "Thumbnails/1.jpg", ".picasaoriginals/a.jpg",
    "Catalog Previews.lrdata/0/1.jpg", "node_modules/icons/a.png", "CaptureOne/Cache/Proxies/1.jpg",
    "Mine.photoslibrary/resources/derivatives/1.jpg", "Mine.photoslibrary/database/x.jpg", "#snapshot/2024/a.jpg",
    "appdata_oc1/preview/1.jpg", "__MACOSX/a.jpg", ".@__thumb/a.jpg", "Mine.aplibrary/Thumbnails/a.jpg",
)  # fmt: skip
OF_THE_USER = (
    "a.jpg", "CaptureOne/a.jpg", "Mine.photoslibrary/originals/0/1.jpg", "Old.photolibrary/Masters/2010/1.jpg",
    "cache/a.jpg", "resources/a.jpg", "recycled bikes/a.jpg",
)  # fmt: skip


def test_what_programs_keep_for_themselves_is_left_out_and_the_users_own_is_not(tmp_path: Path) -> None:
    make(tmp_path, *OF_OTHERS, *OF_THE_USER)
    assert sorted(found(tmp_path)) == sorted(OF_THE_USER)
    counted = [kind for folder in walk(tmp_path) for kind in folder.passed_over]
    assert ("left out by default", "@eaDir") in counted and ("left out by default", "*.lrdata") in counted


@pytest.mark.parametrize("name", OF_OTHERS)
def test_each_of_them_can_be_taken_back(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    parts = name.split("/")
    include = [f"!{part}" for part in parts[:-1]]
    assert found(tmp_path, exclude=include) == [name]
    assert found(tmp_path) == []


def test_a_folder_of_that_kind_is_indexed_when_it_is_named(tmp_path: Path) -> None:
    make(tmp_path, "@eaDir/a.jpg", ".hidden/b.jpg")
    assert found(tmp_path / "@eaDir") == ["a.jpg"]
    assert found(tmp_path / ".hidden") == ["b.jpg"]


def test_exclusions_last_for_their_folder_and_are_taken_back(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    other = save_picture(photos.parent / "other/a.png", "red", seed=40).parent
    run = Indexer(indexed, encoder).run
    run([photos], exclude=["*.png"])
    run(other)
    run()
    assert not [name for name in ids(indexed, encoder, photos) if name.lower().endswith("red-2.png")]
    assert "a.png" in ids(indexed, encoder, other), "they are relative to the folder that they were given for"
    with indexed.reader() as reader:
        assert reader.exclusions().in_words() == [f"{photos}: *.png"]
    run([photos], exclude=["/trip/"])
    run([photos / "trip"])
    assert "trip/blue-1.jpg" in ids(indexed, encoder, photos), "a folder of its own, whatever those above say"
    run([photos])
    assert "trip/blue-1.jpg" in ids(indexed, encoder, photos)
    run([photos], include=["*.png"])
    assert "red-2.png" in ids(indexed, encoder, photos)
    run([photos], exclude=["green.*"])
    run([photos], no_exclude=True)
    assert "green.jpg" in ids(indexed, encoder, photos)
    with indexed.reader() as reader:
        assert reader.exclusions().rows == ()


def test_a_pattern_that_is_none_changes_nothing(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    for wish in ({"exclude": ["[z-a]"]}, {"include": ["a\\"]}, {"exclude": ["x" * 2000]}):
        with pytest.raises(SettingsError, match="holds a pattern that is not one"):
            Indexer(indexed, encoder).run(photos, **wish)  # type: ignore[arg-type]
    with indexed.reader() as reader:
        assert reader.exclusions().rows == ()


@pytest.mark.parametrize("pattern", ["*a" * 60 + "*b", "**/" * 40 + "b", "[ab]*" * 60 + "c", "?*" * 60 + "b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    parts = ["a" * 250] * 40
    started = time.process_time()
    GitIgnore([pattern]).verdict(parts, is_folder=False)
    assert time.process_time() - started < 1


def test_an_ignore_file_that_is_none_keeps_its_folder_as_it_was(tmp_path: Path) -> None:
    for number, name in enumerate(("fifo", "device", "large", "many")):
        make(tmp_path, f"{name}/{number}.jpg")
        place = tmp_path / name / ".photoseekignore"
        if name == "fifo":
            os.mkfifo(place)
        elif name == "device":
            place.symlink_to("/dev/zero")
        elif name == "large":
            place.write_bytes(b"x\n" * 1_000_000)
        else:
            place.write_text("x\n" * 3_000)
    problems = {os.path.basename(folder.path): folder.problem for folder in walk(tmp_path) if folder.problem}
    assert set(problems) == {"fifo", "device", "large", "many"}
    assert NOT_REGULAR in str(problems["fifo"]) and NOT_REGULAR in str(problems["device"])

"""Live photos and motion photos: one hit for a picture and its short video, which stays findable as a file."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("av")

from retrieval.catalog.shots import shots
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.output import write_hits
from retrieval.overview import overview
from retrieval.search.engine import QueryEngine
from retrieval.search.pages import Listing, browse
from retrieval.search.query import Query
from retrieval.search.shots import with_mates_named
from tests import motion_files
from tests.fakes import ColourEncoder
from tests.motion_files import IDENTIFIER, live_clip, live_still
from tests.retrieval.states import ids

OTHER = "00000000-1111-2222-3333-444444444444"


def names(hits: object) -> list[str]:
    return sorted(Path(hit.image.path).name for hit in hits)  # type: ignore[attr-defined]


def listed(gallery: Gallery, encoder: ColourEncoder, where: Filter | None = None) -> list[str]:
    with QueryEngine(gallery, encoder) as engine:
        return names(browse(engine, where, Listing(), 50).hits)


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    folder = tmp_path / "phone"
    folder.mkdir()
    return folder


def test_a_picture_and_its_video_are_one_hit(gallery: Gallery, encoder: ColourEncoder, phone: Path) -> None:
    live_still(phone / "IMG_1.JPG")
    live_clip(phone / "IMG_1.MOV")
    Indexer(gallery, encoder).run(phone)
    assert listed(gallery, encoder) == ["IMG_1.JPG"]
    assert listed(gallery, encoder, Filter(kind="video")) == ["IMG_1.MOV"]
    with QueryEngine(gallery, encoder) as engine:
        # Blue is in the video only.
        assert names(engine.search(Query.text("blue", k=9))) == ["IMG_1.JPG"]
        hit = with_mates_named(engine.reader, browse(engine, None, Listing(), 9).hits)[0]
        assert [Path(mate.path).name for mate in hit.mates] == ["IMG_1.MOV"] and hit.image.motion == "beside"
        out = io.StringIO()
        write_hits([hit], "json", out)
        said = json.loads(out.getvalue())
        assert said["motion"] == "beside" and said["mates"] == [str(phone / "IMG_1.MOV")]
        alone = with_mates_named(engine.reader, [hit], live_pairs="still")
        assert alone[0].mates == ()
        assert overview(gallery, engine.reader)["live_photos"] == 1


@pytest.mark.parametrize(
    ("still", "clip", "together"),
    [
        ({}, {}, True),
        ({}, {"identifier": OTHER}, False),
        ({"taken": None}, {"taken": None}, True),
        ({"identifier": None}, {}, True),
        ({}, {"identifier": None}, True),
        ({"identifier": None}, {"identifier": None}, True),
        ({"identifier": None}, {"identifier": None, "seconds": 5}, False),
        ({"identifier": None, "taken": "2023:05:06 09:08:09"}, {"identifier": None}, False),
        ({"identifier": None, "taken": None}, {"identifier": None}, False),
        ({"identifier": None}, {"identifier": None, "taken": None}, False),
    ],
)  # fmt: skip
def test_what_belongs_together(
    gallery: Gallery, encoder: ColourEncoder, phone: Path, still: dict, clip: dict, together: bool
) -> None:  # type: ignore[type-arg]
    live_still(phone / "IMG_1.JPG", **still)
    live_clip(phone / "IMG_1.MOV", **clip)
    Indexer(gallery, encoder).run(phone)
    assert listed(gallery, encoder) == ["IMG_1.JPG"] if together else ["IMG_1.JPG", "IMG_1.MOV"]
    assert (len(listed(gallery, encoder)) == 1) is together


def test_the_identifier_counts_more_than_the_name(gallery: Gallery, encoder: ColourEncoder, phone: Path) -> None:
    live_still(phone / "IMG_1.JPG")
    live_still(phone / "IMG_2.JPG", identifier=OTHER)
    live_clip(phone / "renamed.MOV")
    live_clip(phone / "IMG_1.MOV", identifier=OTHER)
    (phone / "sub").mkdir()
    live_clip(phone / "sub" / "IMG_1.MOV", seconds=1)
    Indexer(gallery, encoder).run(phone)
    known = ids(gallery, encoder, phone)
    with gallery.reader() as reader:
        pairs = {(member.image, member.shot, member.is_clip) for member in shots(reader)}
    assert pairs == {
        (known["IMG_1.JPG"], known["IMG_1.JPG"], False), (known["renamed.MOV"], known["IMG_1.JPG"], True),
        (known["IMG_2.JPG"], known["IMG_2.JPG"], False), (known["IMG_1.MOV"], known["IMG_2.JPG"], True),
    }  # fmt: skip
    # A video in another folder stays a hit of its own.
    assert len(listed(gallery, encoder)) == 3


def test_one_video_goes_with_one_picture(gallery: Gallery, encoder: ColourEncoder, phone: Path) -> None:
    live_still(phone / "IMG_1.JPG")
    live_still(phone / "IMG_E1.JPG", taken="2023:05:06 07:08:10")
    live_clip(phone / "IMG_1.MOV")
    live_clip(phone / "IMG_1.MP4", seconds=1)
    Indexer(gallery, encoder).run(phone)
    with gallery.reader() as reader:
        members = shots(reader)
    clips = [member for member in members if member.is_clip]
    assert len(members) == 4 and len({clip.shot for clip in clips}) == len(clips) == 2
    assert listed(gallery, encoder) == ["IMG_1.JPG", "IMG_E1.JPG"]


def test_a_raw_its_jpeg_and_their_video_are_one_shot(gallery: Gallery, encoder: ColourEncoder, phone: Path) -> None:
    pytest.importorskip("rawpy")
    from tests.retrieval.search.test_shots import shot

    shot(phone, "IMG_1")
    live_clip(phone / "IMG_1.MOV", taken="2023-05-06T07:08:09+0000", identifier=None)
    Indexer(gallery, encoder).run(phone)
    assert listed(gallery, encoder) == ["IMG_1.jpg"]
    with QueryEngine(gallery, encoder) as engine:
        hits = browse(engine, None, Listing(raw_pairs="raw"), 9).hits
        assert names(hits) == ["IMG_1.DNG"]
        named = with_mates_named(engine.reader, hits)
        assert [Path(mate.path).name for mate in named[0].mates] == ["IMG_1.jpg", "IMG_1.MOV"]
        named = with_mates_named(engine.reader, hits, raw_pairs="raw")
        assert [Path(mate.path).name for mate in named[0].mates] == ["IMG_1.MOV"]


def test_the_video_stands_alone_when_its_picture_has_gone(
    gallery: Gallery, encoder: ColourEncoder, phone: Path
) -> None:
    live_still(phone / "IMG_1.JPG")
    live_clip(phone / "IMG_1.MOV")
    live_still(phone / "IMG_2.JPG", identifier=None)
    Indexer(gallery, encoder).run(phone)
    (phone / "IMG_1.JPG").unlink()
    Indexer(gallery, encoder).run(phone)
    assert listed(gallery, encoder) == ["IMG_1.MOV", "IMG_2.JPG"]


def test_a_motion_photo_is_one_picture(gallery: Gallery, encoder: ColourEncoder, phone: Path, tmp_path: Path) -> None:
    moving = motion_files.clip(tmp_path)
    (phone / "PXL.MP.jpg").write_bytes(motion_files.motion_photo(moving))
    (phone / "cut.jpg").write_bytes(motion_files.samsung(moving)[: -len(moving) // 2])
    report = Indexer(gallery, encoder).run(phone)
    assert report.images == 2 and not report.failures_known
    with gallery.reader() as reader:
        records = {Path(each.path).name: each for each in reader.records(list(ids(gallery, encoder, phone).values()))}
        told = overview(gallery, reader)
    assert records["PXL.MP.jpg"].motion == "inside" and records["PXL.MP.jpg"].motion_bytes == len(moving)
    assert records["cut.jpg"].motion is None
    assert (told["motion_photos"], told["live_photos"]) == (1, 0)


def test_pictures_indexed_before_are_completed(
    gallery: Gallery, encoder: ColourEncoder, phone: Path, tmp_path: Path
) -> None:
    moving = motion_files.clip(tmp_path)
    (phone / "PXL.jpg").write_bytes(motion_files.motion_photo(moving))
    live_still(phone / "IMG_1.JPG", taken=None)
    live_clip(phone / "IMG_1.MOV", taken=None)
    Indexer(gallery, encoder).run(phone)
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        transaction.run("DELETE FROM shots")
        transaction.run("UPDATE images SET motion_offset = NULL, motion_bytes = NULL")
        transaction.run("UPDATE images SET content_id = NULL WHERE format = 'JPEG'")
    assert len(listed(gallery, encoder)) == 3
    Indexer(gallery, encoder).run(phone, verify_content=True)
    assert listed(gallery, encoder) == ["IMG_1.JPG", "PXL.jpg"]
    shutil.copy(phone / "PXL.jpg", phone / "copy.jpg")
    Indexer(gallery, encoder).run(phone)
    with gallery.reader() as reader:
        assert overview(gallery, reader)["motion_photos"] == 2


def test_what_cannot_be_shown_is_an_error() -> None:
    with pytest.raises(QueryError, match="live photos"):
        Listing(live_pairs="video")  # type: ignore[arg-type]
    assert IDENTIFIER != OTHER

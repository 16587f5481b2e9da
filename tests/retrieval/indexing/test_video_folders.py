"""Folders with videos: each is one picture of the gallery, found by any of its frames, whatever becomes of its file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval.catalog.moments import FIRST, images_of, moment_id
from retrieval.duplicates import find_duplicates
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.gallery_encoders import drop_encoder
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.pictures import optional
from retrieval.search.engine import QueryEngine
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import failing, ids

pytest.importorskip("av")

from tests.video_files import sound, video

SECONDS = {"red": 0.0, "green": 2.0, "blue": 4.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video of three scenes, one of a single scene, and two pictures."""
    folder = tmp_path / "holiday"
    video(folder / "clip.mp4")
    video(folder / "short.mov", [("green", 1)])
    save_picture(folder / "red.png", "red", seed=1)
    save_picture(folder / "blue.png", "blue", seed=2)
    return folder


def found(gallery: Gallery, encoder: ColourEncoder, words: str, **how: object) -> list[tuple[str, float | None]]:
    with QueryEngine(gallery, encoder) as engine:
        return [(Path(hit.image.path).name, hit.image.time_s) for hit in engine.search(Query.text(words, **how))]


def vectors(gallery: Gallery, encoder: ColourEncoder) -> tuple[int, int]:
    """How many an index has that follows, and one that is made anew."""
    with QueryEngine(gallery, encoder) as engine:
        return len(engine.index), len(gallery.exact_index(engine.reader, engine.encoder_row))


def test_fewer_frames_a_minute(gallery: Gallery, folder: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder, frames_per_minute=1).run(folder)
    assert vectors(gallery, encoder) == (4, 4)
    Indexer(gallery, encoder).run(folder)  # what is indexed keeps its frames
    assert vectors(gallery, encoder) == (4, 4)


def test_a_video_is_one_hit_at_its_nearest_frame(gallery: Gallery, folder: Path, encoder: ColourEncoder) -> None:
    report = Indexer(gallery, encoder).run(folder)
    assert (report.counts.added, report.counts.failed, report.images) == (4, 0, 4)
    assert vectors(gallery, encoder) == (6, 6)
    for colour, at in SECONDS.items():
        hits = dict(found(gallery, encoder, colour))
        assert len(hits) == 4 and hits["clip.mp4"] == at and hits["red.png"] is None
    assert found(gallery, encoder, "green", k=1)[0] in (("clip.mp4", 2.0), ("short.mov", 0.0))
    with gallery.reader() as reader:
        [clip] = [each for each in reader.records(range(1, 9)) if each.path.endswith("clip.mp4")]
    assert (clip.format, clip.width, clip.height, clip.duration_s) == ("MP4", 160, 120, 6.0)
    again = Indexer(gallery, encoder).run(folder)
    assert (again.unchanged, again.encoded) == (4, 0)


@pytest.mark.parametrize("encoder", [ColourEncoder(streams=1), ColourEncoder(streams=1, batch_size=2)])
def test_whatever_the_schedule(gallery: Gallery, folder: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder).run(folder)
    assert dict(found(gallery, encoder, "blue"))["clip.mp4"] == 4.0
    assert vectors(gallery, encoder) == (6, 6)


def test_filters_pages_and_orders_know_videos(gallery: Gallery, folder: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder).run(folder)
    assert [name for name, _ in found(gallery, encoder, "blue", where=Filter(format=("MP4", "MOV")))] == [
        "clip.mp4", "short.mov"
    ]  # fmt: skip
    with QueryEngine(gallery, encoder) as engine:
        query = Query.text("blue", k=1)
        first = find_page(engine, query, Listing())
        second = find_page(engine, query, Listing(cursor=first.next))
        names = [Path(page.hits[0].image.path).name for page in (first, second)]
        assert sorted(names) == ["blue.png", "clip.mp4"]
        [clip] = [hit for page in (first, second) for hit in page.hits if hit.image.time_s is not None]
        assert clip.image.time_s == 4.0
        near = engine.similar(folder / "blue.png", k=9)
        assert near[0].image.path == str(folder / "clip.mp4") and near[0].image.time_s == 4.0
        assert clip.image.id not in [hit.image.id for hit in engine.similar(clip.image.id)]


def test_moved_copied_changed_and_gone(gallery: Gallery, folder: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder).run(folder)
    encoded = encoder.encoded
    (folder / "clip.mp4").rename(folder / "other.mp4")
    report = Indexer(gallery, encoder).run(folder)
    assert report.counts.moved == 1 and dict(found(gallery, encoder, "blue"))["other.mp4"] == 4.0
    (folder / "copy.mp4").write_bytes((folder / "other.mp4").read_bytes())
    assert Indexer(gallery, encoder).run(folder).counts.added == 1
    assert encoder.encoded == encoded, "known bytes are not encoded again"
    assert dict(found(gallery, encoder, "blue"))["copy.mp4"] == 4.0 and vectors(gallery, encoder) == (9, 9)
    video(folder / "copy.mp4", [("blue", 2), ("red", 2)])
    Indexer(gallery, encoder).run(folder)
    assert dict(found(gallery, encoder, "red"))["copy.mp4"] == 2.0 and vectors(gallery, encoder) == (8, 8)
    save_picture(folder / "copy.png", "green", seed=3)
    (folder / "copy.png").replace(folder / "copy.mp4")  # a picture by the name of a video
    assert Indexer(gallery, encoder).run(folder).counts.updated == 1
    assert dict(found(gallery, encoder, "green"))["copy.mp4"] is None and vectors(gallery, encoder) == (7, 7)
    (folder / "other.mp4").unlink()
    Indexer(gallery, encoder).run(folder)
    assert "other.mp4" not in dict(found(gallery, encoder, "blue")) and vectors(gallery, encoder) == (4, 4)
    video(folder / "other.mp4")
    assert Indexer(gallery, encoder).run(folder).counts.restored == 1
    assert dict(found(gallery, encoder, "blue"))["other.mp4"] == 4.0


def test_two_models_and_the_one_that_is_dropped(gallery: Gallery, folder: Path, encoder: ColourEncoder) -> None:
    Indexer(gallery, encoder).run(folder)
    other = ColourEncoder(name="other")
    Indexer(gallery, other).run(folder)
    assert dict(found(gallery, other, "blue"))["clip.mp4"] == 4.0
    drop_encoder(gallery, "colour")
    assert vectors(gallery, other) == (6, 6)
    assert dict(found(gallery, other, "blue"))["clip.mp4"] == 4.0


@pytest.mark.parametrize("purge", [False, True])
def test_forgotten_videos_are_not_found(gallery: Gallery, folder: Path, encoder: ColourEncoder, purge: bool) -> None:
    Indexer(gallery, encoder).run(folder)
    forget_paths(gallery, [folder / "clip.mp4"], purge=purge)
    assert "clip.mp4" not in dict(found(gallery, encoder, "blue"))
    assert vectors(gallery, encoder) == (3, 3)


def test_videos_are_duplicates_of_nothing_but_their_own_bytes(
    gallery: Gallery, folder: Path, encoder: ColourEncoder
) -> None:
    (folder / "copy.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    video(folder / "again.mp4", options={"crf": "30"})
    Indexer(gallery, encoder).run(folder)
    result = find_duplicates(gallery, look_alikes=0.5)
    groups = [group for group in result.groups if any(not each.image.path.endswith("png") for each in group.others)]
    assert [(group.kind, len(group.others)) for group in groups] == [("same bytes", 1)]
    assert result.unseen == 0


def test_what_cannot_be_read_is_counted_and_the_rest_is_indexed(
    gallery: Gallery, folder: Path, encoder: ColourEncoder
) -> None:
    whole = (folder / "clip.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "noise.mkv").write_bytes(os.urandom(9999))
    sound(folder / "voice.mp4")
    os.mkfifo(folder / "pipe.mp4")
    report = Indexer(gallery, encoder).run(folder)
    assert report.counts.added == 4
    reasons = failing(gallery)
    assert {Path(path).name for path in reasons} >= {"cut.mp4", "empty.mp4", "noise.mkv", "voice.mp4"}
    assert all(reason and "\n" not in reason for reason in reasons.values())
    again = Indexer(gallery, encoder).run(folder)
    assert (again.counts.added, again.encoded) == (0, 0)


def test_without_the_library_they_are_counted_and_known_ones_stay(
    gallery: Gallery, folder: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Indexer(gallery, encoder).run(folder)
    monkeypatch.setattr(optional.Extra, "is_installed", lambda self: False)
    video(folder / "new.mp4")
    report = Indexer(gallery, encoder).run(folder)
    assert report.passed_over == {"video": {"mp4": 2, "mov": 1}}
    assert report.counts.retired == 0 and "clip.mp4" in ids(gallery, encoder, folder)
    assert optional.install_hint("video", ["mp4"]) == "pip install 'photoseek[video]'"


def test_ids_of_moments_tell_their_video() -> None:
    import numpy as np

    assert images_of(np.array([-1, 7, moment_id(7, 0), moment_id(10**9, 4094)])).tolist() == [-1, 7, 7, 10**9]
    assert moment_id(1, 0) > FIRST > 2**53


def test_a_dry_run_says_the_same(gallery: Gallery, folder: Path, encoder: ColourEncoder) -> None:
    from retrieval.indexing.comparison import Looks
    from retrieval.indexing.dry_run import DryRun
    from retrieval.indexing.wishes import Wishes

    report = DryRun(gallery).run([folder], Wishes((), (), False), Looks())
    assert (report.counts.added, report.counts.failed) == (4, 0)

"""What a run does with folders that grow and change in place; moves, absence and failures have their own files."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.errors import GalleryNotFound, SettingsError, SpecError
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.indexing.report import Progress
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture, save_picture
from tests.retrieval.states import check_agreement, embedded, found, ids, opened_below, present, rows, settled, touch

WALK_ORDER = ["green.jpg", "red-1.jpg", "red-2.png", "trip/blue-1.jpg", "trip/blue-2.PNG", "trip/day two/yellow.jpg"]


@pytest.mark.parametrize(("streams", "workers"), [(2, None), (4, 4), (1, None), (1, 3)])
def test_a_first_run_embeds_every_picture_and_numbers_them_as_the_walk_met_them(
    gallery: Gallery, photos: Path, streams: int, workers: int | None
) -> None:
    encoder = ColourEncoder(streams=streams, batch_size=2)
    report = Indexer(gallery, encoder, workers=workers).run(photos)
    assert report.counts.added == report.encoded == report.images == encoder.encoded == len(PHOTOS)
    assert (report.unchanged, report.reused, report.failures_known, report.problems) == (0, 0, 0, [])
    assert not report.interrupted
    numbered = ids(gallery, encoder, photos)
    assert sorted(numbered, key=numbered.__getitem__) == WALK_ORDER
    check_agreement(gallery, encoder)
    assert set(found(gallery, encoder, "red", k=2)) == {"red-1.jpg", "red-2.png"}
    assert found(gallery, encoder, "yellow", k=1) == ["yellow.jpg"]


def test_ids_follow_the_walk_with_many_workers_and_bad_files_among_the_pictures(
    gallery: Gallery, tmp_path: Path
) -> None:
    for number in range(60):
        save_picture(tmp_path / "many" / f"{number // 20}" / f"{number:03}.png", "blue", seed=number, size=(8, 8))
    for number in (3, 17, 44):
        (tmp_path / "many" / f"{number // 20}" / f"{number:03}.png").write_bytes(b"no picture")
    encoder = ColourEncoder(streams=8, batch_size=1)
    report = Indexer(gallery, encoder).run(tmp_path / "many")
    assert (report.counts.added, report.counts.failed) == (57, 3)
    numbered = ids(gallery, encoder, tmp_path / "many")
    assert list(numbered.values()) == sorted(numbered.values())
    assert list(numbered) == sorted(numbered)


def test_an_unchanged_run_opens_no_picture_encodes_nothing_and_leaves_the_index_file_alone(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoded = present(indexed, encoder), encoder.encoded
    saved = sorted((path, path.stat().st_mtime_ns) for path in (indexed.path / "index").rglob("*"))
    with opened_below(photos) as opened:
        report = Indexer(indexed, encoder).run(photos)
    assert opened == []
    assert encoder.encoded == encoded
    assert (report.unchanged, settled(report), report.encoded, report.reused) == (len(PHOTOS), len(PHOTOS), 0, 0)
    assert present(indexed, encoder) == before
    assert sorted((path, path.stat().st_mtime_ns) for path in (indexed.path / "index").rglob("*")) == saved


def test_only_the_new_pictures_are_opened(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    encoder.encoded = 0
    new = save_picture(photos / "trip" / "new.jpg", "white")
    with opened_below(photos) as opened:
        report = Indexer(indexed, encoder).run(photos)
    assert opened == [str(new)]
    assert (report.counts.added, report.unchanged, encoder.encoded) == (1, len(PHOTOS), 1)
    assert found(indexed, encoder, "white", k=1) == ["new.jpg"]


def test_a_touched_file_keeps_its_embedding_and_its_id(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before, encoder.encoded = present(indexed, encoder), 0
    touch(photos / "green.jpg")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.updated, report.reused, report.encoded, encoder.encoded) == (1, 1, 0, 0)
    assert settled(report) == len(PHOTOS)
    assert present(indexed, encoder) == before
    assert Indexer(indexed, encoder).run(photos).unchanged == len(PHOTOS)
    check_agreement(indexed, encoder)


def test_a_replaced_picture_is_encoded_again_under_its_id(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoder.encoded = ids(indexed, encoder, photos), 0
    replace_picture(photos / "green.jpg", "white", seed=9)
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.updated, report.reused, report.encoded, encoder.encoded) == (1, 0, 1, 1)
    assert ids(indexed, encoder, photos) == before
    assert found(indexed, encoder, "white", k=1) == ["green.jpg"]
    check_agreement(indexed, encoder)


def test_the_same_size_and_another_time_is_still_read(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    save_picture(photos / "a.bmp", "red", size=(20, 20))
    Indexer(indexed, encoder).run(photos)
    size = (photos / "a.bmp").stat().st_size
    replace_picture(photos / "a.bmp", "blue", size=(20, 20))
    assert (photos / "a.bmp").stat().st_size == size
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.updated, report.encoded) == (1, 1)
    assert "a.bmp" in found(indexed, encoder, "blue", k=3)


def test_pictures_of_the_same_bytes_in_a_first_run_are_as_many_images(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder
) -> None:
    folder = tmp_path / "double"
    original = save_picture(folder / "a.png", "red")
    for name in ("b.png", "sub/c.png", "sub/d.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(original.read_bytes())
    report = Indexer(gallery, encoder).run(folder)
    assert (report.counts.added, report.counts.moved) == (4, 0)
    assert report.encoded + report.reused == 4
    assert len(set(embedded(gallery, encoder).values())) == 1
    assert sorted(found(gallery, encoder, "red")) == ["a.png", "b.png", "c.png", "d.png"]
    check_agreement(gallery, encoder)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse these names")
def test_names_that_are_no_text_and_names_with_newlines(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder
) -> None:
    folder = tmp_path / os.fsdecode(b"f\xff\xfe")
    names = [os.fsdecode(b"caf\xe9.png"), "two\nlines.png", "täst \u2603 \U0001f600.png", " leading.png", "'\".png"]
    for seed, name in enumerate(names):
        save_picture(folder / "in ner\n" / name, "blue", seed=seed)
    (folder / os.fsdecode(b"bad\xe9\n.jpg")).write_bytes(b"")
    report = Indexer(gallery, encoder).run(folder)
    assert (report.counts.added, report.counts.failed) == (len(names), 1)
    assert sorted(ids(gallery, encoder, folder / "in ner\n")) == sorted(names)
    assert sorted(found(gallery, encoder)) == sorted(names)
    again = Indexer(gallery, encoder).run()
    assert (again.unchanged, settled(again)) == (len(names) + 1, len(names) + 1)
    (folder / "in ner\n" / names[0]).unlink()
    assert Indexer(gallery, encoder).run(folder).counts.retired == 1
    assert sorted(found(gallery, encoder)) == sorted(names[1:])


def test_a_folder_without_pictures_is_a_run_with_nothing_found(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder
) -> None:
    (tmp_path / "none" / "deeper").mkdir(parents=True)
    (tmp_path / "none" / "letter.txt").write_text("hello")
    report = Indexer(gallery, encoder).run(tmp_path / "none")
    assert (settled(report), report.images, report.problems) == (0, 0, [])
    with gallery.reader() as reader:
        assert reader.roots() == [str(tmp_path / "none")]
        with pytest.raises(GalleryNotFound):
            gallery.active_encoder(reader)


def test_a_run_without_folders_takes_all_that_were_ever_given(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder
) -> None:
    save_picture(tmp_path / "a" / "1.png", "red")
    save_picture(tmp_path / "b" / "2.png", "blue")
    save_picture(tmp_path / "b" / "4.png", "blue", seed=4)
    Indexer(gallery, encoder).run(tmp_path / "a")
    report = Indexer(gallery, encoder).run(str(tmp_path / "b"))
    assert (report.counts.added, report.counts.retired, report.images) == (2, 0, 3)
    save_picture(tmp_path / "a" / "3.png", "red", seed=3)
    (tmp_path / "b" / "2.png").unlink()
    report = Indexer(gallery, encoder).run()
    assert (report.counts.added, report.counts.retired, report.unchanged) == (1, 1, 2)
    assert sorted(found(gallery, encoder)) == ["1.png", "3.png", "4.png"]


def test_what_cannot_be_a_folder_is_refused(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    indexer = Indexer(gallery, encoder)
    with pytest.raises(SettingsError, match="no folder was given"):
        indexer.run()
    with pytest.raises(SettingsError, match="is not a folder"):
        indexer.run([photos, photos / "green.jpg"])
    with pytest.raises(SettingsError, match="there is no folder"):
        indexer.run([photos / "nowhere"])
    with pytest.raises(SettingsError, match="pattern"):
        indexer.run(photos, exclude=["!"])
    assert encoder.encoded == 0
    assert rows(gallery, "SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.parametrize("order", [("photos", "photos/trip"), ("photos/trip", "photos")])
def test_overlapping_folders_are_walked_once(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, order: tuple[str, str]
) -> None:
    shown: list[Progress] = []
    for _ in range(2):
        report = Indexer(gallery, encoder).run(
            [photos.parent / name for name in order], on_progress=lambda state: shown.append(replace(state))
        )
        assert settled(report) == len(PHOTOS)
        assert report.counts.retired == 0
        assert (shown[-1].done, shown[-1].total) == (len(PHOTOS), len(PHOTOS))
    assert report.unchanged == len(PHOTOS)
    assert sorted(ids(gallery, encoder, photos)) == sorted(PHOTOS)


def test_a_folder_given_through_a_symbolic_link_is_the_folder(
    gallery: Gallery, photos: Path, tmp_path: Path, encoder: ColourEncoder
) -> None:
    (tmp_path / "link").symlink_to(photos)
    Indexer(gallery, encoder).run(tmp_path / "link")
    assert sorted(ids(gallery, encoder, photos)) == sorted(PHOTOS)
    report = Indexer(gallery, encoder).run([photos, tmp_path / "link", f"{photos}/trip/.."])
    assert (report.unchanged, settled(report)) == (len(PHOTOS), len(PHOTOS))
    with gallery.reader() as reader:
        assert reader.roots() == [str(photos)]


def test_links_inside_a_folder_do_not_double_pictures(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    (photos / "around").symlink_to(photos)
    (photos / "aside").symlink_to(photos / "trip")
    report = Indexer(gallery, encoder).run(photos)
    assert (report.counts.added, settled(report)) == (len(PHOTOS), len(PHOTOS))
    assert sorted(ids(gallery, encoder, photos)) == sorted(PHOTOS)


def test_progress_gets_a_total_and_ends_there(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    for number in range(40):
        save_picture(photos / "more" / f"{number}.png", "green", seed=number)
    (photos / "more" / "bad.jpg").write_bytes(b"?")
    shown: list[Progress] = []
    Indexer(indexed, encoder).run(photos, on_progress=lambda state: shown.append(replace(state)))
    last = shown[-1]
    assert (last.stage, last.done, last.total, last.encoded) == ("index", 47, 47, 40)
    assert [state.done for state in shown] == sorted(state.done for state in shown)
    assert [state.seconds for state in shown] == sorted(state.seconds for state in shown)


def test_the_report_adds_up_and_is_kept(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    (photos / "red-1.jpg").rename(photos / "moved.jpg")
    replace_picture(photos / "red-2.png", "white")
    (photos / "trip" / "blue-1.jpg").unlink()
    (photos / "bad.png").write_bytes(b"?")
    save_picture(photos / "new.png", "green", seed=77)
    report = Indexer(indexed, encoder).run(photos)
    assert vars(report.counts) == {
        "added": 1, "updated": 1, "encoded_again": 0, "verified": 0, "moved": 1, "restored": 0, "retired": 1,
        "failed": 1,
    }  # fmt: skip
    assert (report.unchanged, report.encoded, report.reused, report.images) == (3, 2, 1, 6)
    assert report.failures_known == 1
    with indexed.reader() as reader:
        run = reader.last_run()
        assert report.images == reader.count()
    assert run is not None
    assert (run["outcome"], run["encoder"], run["roots"]) == ("complete", "colour", [str(photos)])
    assert run["report"] == report.as_dict()
    stages = {"walk", "read", "decode", "encode", "commit", "index", "total"}
    assert stages <= set(report.seconds)
    assert all(seconds >= 0 for seconds in report.seconds.values())
    check_agreement(indexed, encoder)


def test_an_index_kind_that_was_asked_for_stays(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    pytest.importorskip("faiss")

    def kind() -> str:
        with gallery.reader() as reader:
            return str(gallery.spec_in_use(reader, reader.encoders()[0]))

    report = Indexer(gallery, encoder).run(photos, index_spec="sqFP16")
    assert "asked for" in report.index
    assert kind() == "SQfp16"
    assert set(found(gallery, encoder, "red", k=2)) == {"red-1.jpg", "red-2.png"}
    save_picture(photos / "new.png", "white")
    Indexer(gallery, encoder).run(photos)
    assert kind() == "SQfp16"
    assert found(gallery, encoder, "white", k=1) == ["new.png"]
    with pytest.raises(SpecError):
        Indexer(gallery, encoder).run(photos, index_spec="Quantum7")
    assert "asked for" not in Indexer(gallery, encoder).run(photos, index_spec="Auto").index
    assert kind() == "Exact"
    check_agreement(gallery, encoder)


@pytest.mark.parametrize("spec", ["Quantum7", "", "PQ7x4fs"])
def test_a_bad_index_kind_is_refused_before_any_work(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, spec: str
) -> None:
    with pytest.raises(SpecError):
        Indexer(gallery, encoder).run(photos, index_spec=spec)
    assert encoder.encoded == 0
    with gallery.reader() as reader:
        assert reader.index_spec() is None
        assert reader.last_run() is None
        assert reader.count() == 0

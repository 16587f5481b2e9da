"""The same bytes at another place: moved pictures keep their id, copies get one, neither is encoded."""

from __future__ import annotations

import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing import indexer as indexer_module
from retrieval.indexing.indexer import Indexer
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import check_agreement, embedded, found, ids, move, settled


@pytest.fixture(params=["one transaction", "one for each chunk"])
def commits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of when a run commits: what it learns at the end of the walk may be long after the move."""
    if request.param == "one for each chunk":
        monkeypatch.setattr(indexer_module, "COMMIT_IMAGES", 1)


MOVES = {
    "renamed": {"green.jpg": "a green one.jpg"},
    "renamed to the end": {"green.jpg": "zzz.jpg"},
    "to a folder walked before": {"trip/blue-1.jpg": "a new folder/blue-1.jpg"},
    "to a folder walked after": {"green.jpg": "zoo/green.jpg"},
    "up": {"trip/day two/yellow.jpg": "yellow.jpg"},
    "a folder, to before": {"trip": "a trip"},
    "a folder, to after": {"trip": "z trip"},
    "a folder, into another": {"trip/day two": "far/away/day two"},
    "many at once": {"green.jpg": "x/1.jpg", "red-1.jpg": "trip/2.jpg", "trip/blue-2.PNG": "0.PNG"},
}


@pytest.mark.usefixtures("commits")
@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
def test_a_moved_picture_keeps_its_id_and_is_not_encoded(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, moves: dict[str, str]
) -> None:
    before, encoder.encoded = ids(indexed, encoder, photos), 0
    expected = {}
    for name, id_ in before.items():
        source = next((old for old in moves if name == old or name.startswith(old + "/")), None)
        expected[name if source is None else moves[source] + name[len(source) :]] = id_
    for old, new in moves.items():
        move(photos / old, photos / new)
    report = Indexer(indexed, encoder).run(photos)
    moved = len(set(expected) - set(before))
    assert ids(indexed, encoder, photos) == expected
    assert (report.counts.moved, report.reused, encoder.encoded) == (moved, moved, 0)
    assert (report.counts.retired, report.counts.added, report.unchanged) == (0, 0, len(PHOTOS) - moved)
    assert sorted(found(indexed, encoder)) == sorted(os.path.basename(name) for name in expected)
    check_agreement(indexed, encoder)
    assert Indexer(indexed, encoder).run(photos).unchanged == len(PHOTOS)


@pytest.mark.usefixtures("commits")
def test_swapped_names_swap_the_pictures(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before = embedded(indexed, encoder)
    first, second, aside = photos / "green.jpg", photos / "red-1.jpg", photos / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    report = Indexer(indexed, encoder).run(photos)
    after = embedded(indexed, encoder)
    assert (report.counts.updated, report.counts.retired, settled(report)) == (2, 0, len(PHOTOS))
    assert after[str(first)] == before[str(second)]
    assert after[str(second)] == before[str(first)]
    assert found(indexed, encoder, "green", k=1) == ["red-1.jpg"]
    check_agreement(indexed, encoder)


@pytest.mark.usefixtures("commits")
def test_names_that_move_up_by_one(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    before = embedded(indexed, encoder)
    chain = ["green.jpg", "red-1.jpg", "red-2.png", "trip/blue-1.jpg"]
    (photos / chain[-1]).rename(photos / "last.jpg")
    for old, new in reversed(list(pairwise(chain))):
        (photos / old).rename(photos / new)
    report = Indexer(indexed, encoder).run(photos)
    after = embedded(indexed, encoder)
    for old, new in zip(chain, [*chain[1:], "last.jpg"], strict=True):
        assert after[str(photos / new)] == before[str(photos / old)]
    assert len(after) == report.images == len(PHOTOS)
    assert settled(report) == len(PHOTOS)
    check_agreement(indexed, encoder)


@pytest.mark.usefixtures("commits")
def test_a_copy_is_a_second_image_with_the_same_embedding(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoder.encoded = ids(indexed, encoder, photos), 0
    shutil.copy(photos / "green.jpg", photos / "trip" / "copy.jpg")
    report = Indexer(indexed, encoder).run(photos)
    after = ids(indexed, encoder, photos)
    assert (report.counts.added, report.counts.moved, report.reused, encoder.encoded) == (1, 0, 1, 0)
    assert {name: id_ for name, id_ in after.items() if name in before} == before
    rows = embedded(indexed, encoder)
    assert rows[str(photos / "trip" / "copy.jpg")] == rows[str(photos / "green.jpg")]

    (photos / "green.jpg").unlink()
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.retired, report.counts.moved, encoder.encoded) == (1, 0, 0)
    del after["green.jpg"]
    assert ids(indexed, encoder, photos) == after
    assert found(indexed, encoder, "green", k=1) == ["copy.jpg"]
    check_agreement(indexed, encoder)


@pytest.mark.usefixtures("commits")
def test_a_moved_and_copied_picture_is_one_moved_and_one_new(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoder.encoded = ids(indexed, encoder, photos), 0
    shutil.copy(photos / "green.jpg", photos / "a.jpg")
    move(photos / "green.jpg", photos / "trip" / "z.jpg")
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.moved, report.counts.added, report.counts.retired, encoder.encoded) == (1, 1, 0, 0)
    after = ids(indexed, encoder, photos)
    assert after["a.jpg"] == before["green.jpg"]
    assert after["trip/z.jpg"] not in before.values()
    check_agreement(indexed, encoder)


def test_a_picture_that_moves_to_another_root_is_moved(
    gallery: Gallery, tmp_path: Path, encoder: ColourEncoder
) -> None:
    for root in ("a", "b"):
        for seed in range(3):
            save_picture(tmp_path / root / f"{root}{seed}.png", "red", seed=seed + 10 * ord(root))
    Indexer(gallery, encoder).run([tmp_path / "a", tmp_path / "b"])
    before, encoder.encoded = ids(gallery, encoder, tmp_path), 0
    move(tmp_path / "a" / "a0.png", tmp_path / "b" / "from a.png")
    move(tmp_path / "b" / "b0.png", tmp_path / "a" / "from b.png")
    report = Indexer(gallery, encoder).run()
    after = ids(gallery, encoder, tmp_path)
    assert (report.counts.moved, report.counts.retired, encoder.encoded) == (2, 0, 0)
    assert (after["b/from a.png"], after["a/from b.png"]) == (before["a/a0.png"], before["b/b0.png"])


def test_a_renamed_root_is_moved_when_the_new_one_is_given(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, encoder.encoded = ids(indexed, encoder, photos), 0
    renamed = photos.rename(photos.parent / "pictures")
    report = Indexer(indexed, encoder).run(renamed)
    assert (report.counts.moved, encoder.encoded, report.images) == (len(PHOTOS), 0, len(PHOTOS))
    assert ids(indexed, encoder, renamed) == before


def test_a_picture_with_the_bytes_of_a_deleted_one_takes_its_place(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before, data = ids(indexed, encoder, photos), (photos / "green.jpg").read_bytes()
    (photos / "green.jpg").unlink()
    assert Indexer(indexed, encoder).run(photos).counts.retired == 1
    encoder.encoded = 0
    (photos / "back.jpg").write_bytes(data)
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.moved, report.counts.retired, encoder.encoded) == (1, 0, 0)
    assert ids(indexed, encoder, photos)["back.jpg"] == before["green.jpg"]
    check_agreement(indexed, encoder)


def test_a_copy_of_what_a_failing_folder_holds_is_not_a_move(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, encoder.encoded = ids(indexed, encoder, photos), 0
    shutil.copy(photos / "trip" / "blue-1.jpg", photos / "copy.jpg")
    trip, lstat, scandir = str(photos / "trip"), os.lstat, os.scandir

    def failing(call):  # type: ignore[no-untyped-def]
        def called(path, *more, **named):  # type: ignore[no-untyped-def]
            if isinstance(path, str) and path.startswith(trip):
                raise PermissionError(13, "Permission denied", path)
            return call(path, *more, **named)

        return called

    monkeypatch.setattr(os, "lstat", failing(lstat))
    monkeypatch.setattr(os, "scandir", failing(scandir))
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.added, report.counts.moved, encoder.encoded) == (1, 0, 0)
    assert ids(indexed, encoder, photos).items() >= before.items()


def test_a_link_into_another_root_leaves_its_pictures_there(
    gallery: Gallery, encoder: ColourEncoder, tmp_path: Path
) -> None:
    save_picture(tmp_path / "a" / "red.png", "red")
    save_picture(tmp_path / "b" / "trip" / "blue.png", "blue")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "trip")
    Indexer(gallery, encoder).run(tmp_path / "b")
    Indexer(gallery, encoder).run(tmp_path / "a")
    report = Indexer(gallery, encoder).run()
    assert (report.unchanged, report.counts.retired, report.counts.moved) == (2, 0, 0)
    with gallery.reader() as reader:
        assert reader.record_at(tmp_path / "b" / "trip" / "blue.png") is not None
        assert reader.count() == 2

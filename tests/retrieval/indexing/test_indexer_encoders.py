"""Two encoders over one gallery: the old one serves until the new one has seen everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture, save_picture
from tests.retrieval.states import check_agreement, embedded, failing, found, ids, present

RED = {"red-1.jpg", "red-2.png"}


@pytest.fixture
def other() -> ColourEncoder:
    return ColourEncoder(name="other")


def active(gallery: Gallery) -> str:
    with gallery.reader() as reader:
        return gallery.active_encoder(reader).name


def test_the_old_encoder_serves_until_the_new_one_has_all(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, other: ColourEncoder
) -> None:
    before = present(indexed, encoder)
    report = Indexer(indexed, other).run(photos / "trip")
    assert (report.encoded, report.still_searching_with) == (3, "colour")
    assert active(indexed) == "colour"
    assert set(found(indexed, encoder, "red", k=2)) == RED

    report = Indexer(indexed, other).run(photos, stop=lambda: True)
    assert (report.interrupted, active(indexed)) == (True, "colour")

    report = Indexer(indexed, other).run(photos)
    assert (report.encoded, report.still_searching_with, report.images) == (3, None, len(PHOTOS))
    assert active(indexed) == "other"
    assert set(found(indexed, other, "red", k=2)) == RED
    assert {path: row[:2] for path, row in present(indexed, other).items()} == {
        path: row[:2] for path, row in before.items()
    }
    check_agreement(indexed, other)
    check_agreement(indexed, encoder)


def test_it_switches_to_and_fro_without_encoding(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, other: ColourEncoder
) -> None:
    Indexer(indexed, other).run(photos)
    encoder.encoded = other.encoded = 0
    for one, name in ((encoder, "colour"), (other, "other")):
        assert Indexer(indexed, one).run(photos).unchanged == len(PHOTOS)
        assert active(indexed) == name
    assert encoder.encoded == other.encoded == 0


def test_a_replaced_picture_is_dropped_from_what_the_other_encoder_shows(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, other: ColourEncoder
) -> None:
    Indexer(indexed, other).run(photos)
    replace_picture(photos / "red-1.jpg", "white", seed=2)
    report = Indexer(indexed, encoder).run(photos)
    assert (report.counts.updated, report.still_searching_with) == (1, None)
    assert found(indexed, encoder, "white", k=1) == ["red-1.jpg"]
    assert sorted(found(indexed, other)) == sorted({Path(name).name for name in PHOTOS} - {"red-1.jpg"})

    report = Indexer(indexed, other).run(photos)
    assert (report.encoded, report.unchanged) == (1, len(PHOTOS) - 1)
    assert found(indexed, other, "white", k=1) == ["red-1.jpg"]
    check_agreement(indexed, other)
    check_agreement(indexed, encoder)


def test_moves_and_deletions_reach_every_encoder(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, other: ColourEncoder
) -> None:
    Indexer(indexed, other).run(photos)
    before = ids(indexed, encoder, photos)
    (photos / "trip").rename(photos / "journey")
    (photos / "green.jpg").unlink()
    encoder.encoded = other.encoded = 0
    assert Indexer(indexed, encoder).run(photos).counts.moved == 3
    for one in (encoder, other):
        assert "green.jpg" not in found(indexed, one)
        assert ids(indexed, one, photos)["journey/day two/yellow.jpg"] == before["trip/day two/yellow.jpg"]
        check_agreement(indexed, one)
    assert Indexer(indexed, other).run(photos).unchanged == len(PHOTOS) - 1
    assert encoder.encoded == other.encoded == 0


def test_what_one_encoder_found_new_or_gone_the_other_takes_up_later(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, other: ColourEncoder
) -> None:
    Indexer(indexed, other).run(photos)
    save_picture(photos / "new.png", "white")
    Indexer(indexed, encoder).run(photos)
    assert "new.png" not in found(indexed, other)
    report = Indexer(indexed, other).run(photos)
    assert (report.encoded, report.counts.encoded_again) == (1, 1)
    assert found(indexed, other, "white", k=1) == ["new.png"]
    aside = (photos / "new.png").rename(photos.parent / "aside.png")
    Indexer(indexed, encoder).run(photos)
    aside.rename(photos / "new.png")
    report = Indexer(indexed, other).run(photos)
    assert (report.counts.restored, report.encoded) == (1, 0)
    assert found(indexed, encoder, "white", k=1) == ["new.png"]
    assert embedded(indexed, encoder).keys() == embedded(indexed, other).keys()


def test_a_file_that_is_bad_for_good_does_not_hold_the_new_encoder_back(
    indexed: Gallery, photos: Path, other: ColourEncoder
) -> None:
    (photos / "green.jpg").write_bytes(b"?")
    report = Indexer(indexed, other).run(photos)
    assert (report.still_searching_with, active(indexed)) == (None, "other")
    assert failing(indexed).keys() == {"green.jpg"}
    check_agreement(indexed, other)


def test_the_first_commit_of_a_gallery_can_be_searched(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.indexing.indexer.COMMIT_IMAGES", 1)
    seen: list[list[str]] = []

    def stop() -> bool:
        if gallery.exists() and not seen:
            with gallery.reader() as reader:
                if reader.count():
                    seen.append(found(gallery, encoder))
        return False

    encoder.batch_size = 1
    Indexer(gallery, encoder, workers=1).run(photos, stop=stop)
    assert seen == [["green.jpg"]]

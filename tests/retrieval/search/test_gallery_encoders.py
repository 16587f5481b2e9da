"""Several encoders over one gallery: words and pictures each find theirs, and one can leave without harm."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from retrieval.errors import (
    EncoderMismatch,
    GalleryNotFound,
    SettingsError,
    TextNotSupported,
    UnknownEncoder,
)
from retrieval.gallery import Gallery
from retrieval.gallery_encoders import drop_encoder, named_encoder
from retrieval.indexing.indexer import Indexer
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import check_agreement

PICTURES_ONLY = "dinov2-b14"


@pytest.fixture
def image_only() -> ColourEncoder:
    return ColourEncoder(name=PICTURES_ONLY, has_text=False)


@pytest.fixture
def both(indexed: Gallery, photos: Path, image_only: ColourEncoder) -> Gallery:
    """Six pictures, embedded by ``colour`` (with words) and by one without."""
    Indexer(indexed, image_only).run(photos)
    return indexed


def active(gallery: Gallery) -> str:
    with gallery.reader() as reader:
        return gallery.active_encoder(reader).name


def names(gallery: Gallery) -> list[str]:
    with gallery.reader() as reader:
        return [row.name for row in reader.encoders()]


def test_an_image_only_encoder_never_takes_words_away(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, image_only: ColourEncoder
) -> None:
    report = Indexer(indexed, image_only).run(photos)
    assert (report.words_by, report.still_searching_with, report.images) == ("colour", None, len(PHOTOS))
    assert active(indexed) == "colour"
    with QueryEngine(indexed, encoder) as engine:
        assert {Path(h.image.path).name for h in engine.search(Query.text("red", k=2))} == {"red-1.jpg", "red-2.png"}


def test_an_image_only_gallery_gets_words_as_soon_as_they_are_complete(
    gallery: Gallery, photos: Path, encoder: ColourEncoder, image_only: ColourEncoder
) -> None:
    assert Indexer(gallery, image_only).run(photos).words_by is None
    assert active(gallery) == PICTURES_ONLY
    other = ColourEncoder(name="dinov2-l14", has_text=False)
    Indexer(gallery, other).run(photos)
    assert active(gallery) == "dinov2-l14", "no words are lost by it"
    Indexer(gallery, encoder).run(photos / "trip")
    assert active(gallery) == "dinov2-l14"
    Indexer(gallery, encoder).run(photos)
    assert active(gallery) == "colour"


def test_a_name_chooses_the_encoder(both: Gallery, photos: Path) -> None:
    for name in (PICTURES_ONLY, "DINOv2-b14+cls", PICTURES_ONLY.upper()):
        with QueryEngine(both, model=name) as engine:
            assert engine.encoder_row.name == PICTURES_ONLY
            hits = engine.similar(photos / "red-1.jpg", 1)
            assert [Path(hit.image.path).name for hit in hits] == ["red-2.png"]
    with QueryEngine(both) as engine:
        assert engine.encoder_row.name == "colour"


def test_words_for_an_image_only_encoder_name_the_one_that_has_them(both: Gallery) -> None:
    with QueryEngine(both, model=PICTURES_ONLY) as engine:
        with pytest.raises(TextNotSupported, match=f"{PICTURES_ONLY} encodes pictures only") as caught:
            engine.search(Query.text("red"))
        assert "--model colour" in caught.value.hint
        assert caught.value.exit_code == 2
        assert not engine.embedder.is_loaded, "it was not loaded to say so"


def test_words_for_a_gallery_without_any_name_a_model_to_index_with(
    gallery: Gallery, photos: Path, image_only: ColourEncoder
) -> None:
    Indexer(gallery, image_only).run(photos)
    with QueryEngine(gallery) as engine, pytest.raises(TextNotSupported) as caught:
        engine.search(Query.text("red"))
    assert "photoseek index --model builtin-224" in caught.value.hint


def test_what_only_its_files_tell_is_asked_of_the_encoder(gallery: Gallery, photos: Path) -> None:
    """A name of one's own (a folder, an export) does not say whether there are words."""
    own = ColourEncoder(name="holiday-tower", has_text=False)
    Indexer(gallery, own).run(photos)
    with QueryEngine(gallery, own) as engine, pytest.raises(TextNotSupported, match="pictures only"):
        engine.search(Query.text("red"))


def test_unknown_names_offer_the_nearest_that_the_gallery_has(both: Gallery, encoder: ColourEncoder) -> None:
    with pytest.raises(UnknownEncoder, match="dinov2-b41") as caught:
        QueryEngine(both, model="dinov2-b41")
    assert PICTURES_ONLY in caught.value.hint
    assert caught.value.exit_code == 2
    with pytest.raises(UnknownEncoder) as far:
        QueryEngine(both, model="zzzzzz")
    assert "colour" in far.value.hint and PICTURES_ONLY in far.value.hint
    with pytest.raises(SettingsError, match="both given"):
        QueryEngine(both, encoder, model="colour")


def test_one_name_for_two_encoders_asks_for_a_fingerprint(
    both: Gallery, photos: Path, image_only: ColourEncoder
) -> None:
    again = ColourEncoder(name=f"{PICTURES_ONLY}+gap", has_text=False)
    twin = ColourEncoder(name="twin", has_text=False)
    object.__setattr__(twin.spec, "name", "colour")
    for one in (again, twin):
        Indexer(both, one).run(photos)
    with both.reader() as reader:
        rows = reader.encoders()
        assert named_encoder(rows, PICTURES_ONLY).fingerprint == image_only.spec.fingerprint
        assert named_encoder(rows, f"{PICTURES_ONLY}+gap").fingerprint == again.spec.fingerprint
        with pytest.raises(UnknownEncoder, match="several encoders") as caught:
            named_encoder(rows, "colour")
        assert twin.spec.fingerprint[:12] in caught.value.hint
        assert named_encoder(rows, twin.spec.fingerprint[:8]).fingerprint == twin.spec.fingerprint


def test_pooling_and_path_may_be_left_out_where_only_one_has_them(gallery: Gallery, photos: Path) -> None:
    long = ColourEncoder(name=f"{PICTURES_ONLY}+gap=/weights/model.safetensors", has_text=False)
    Indexer(gallery, long).run(photos)
    with gallery.reader() as reader:
        assert named_encoder(reader.encoders(), PICTURES_ONLY).name == long.spec.name


def test_a_chosen_encoder_that_is_behind_says_so(
    both: Gallery, photos: Path, encoder: ColourEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    save_picture(photos / "new.png", "white")
    Indexer(both, encoder).run(photos)
    with QueryEngine(both, model=PICTURES_ONLY) as engine:
        engine.similar(photos / "red-1.jpg", 1)
    assert f"{PICTURES_ONLY} has seen 6 of 7 pictures" in caplog.text
    caplog.clear()
    with QueryEngine(both, model="colour") as engine:
        engine.similar(photos / "red-1.jpg", 1)
    assert caplog.text == ""


# Dropping


def rows_of(gallery: Gallery, table: str) -> set[int]:
    connection = sqlite3.connect(gallery.catalog_path)
    try:
        return {row[0] for row in connection.execute(f"SELECT DISTINCT encoder_id FROM {table}")}
    finally:
        connection.close()


def test_dropping_takes_everything_of_one_encoder_and_nothing_else(
    both: Gallery, photos: Path, encoder: ColourEncoder, image_only: ColourEncoder
) -> None:
    files = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    index = both.index_path(image_only.spec.fingerprint)
    assert index.is_dir()
    connection = sqlite3.connect(both.catalog_path)
    connection.execute("INSERT INTO predicted_tags (encoder_id, image_id, tag, probability) VALUES (2, 1, 'x', 0.5)")
    connection.commit()
    connection.close()
    dropped = drop_encoder(both, "DINOV2-B14")
    assert (dropped.encoder.name, dropped.embeddings) == (PICTURES_ONLY, len(PHOTOS))
    assert dropped.active is not None and dropped.active.name == "colour"
    assert names(both) == ["colour"]
    for table in ("embeddings", "predicted_tags", "runs"):
        assert dropped.encoder.id not in rows_of(both, table)
    assert not index.exists()
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == files
    check_agreement(both, encoder)
    encoder.encoded = 0
    assert Indexer(both, encoder).run(photos).unchanged == len(PHOTOS)
    assert Indexer(both, image_only).run(photos).encoded == len(PHOTOS)
    check_agreement(both, image_only)


def test_dropping_the_active_one_hands_over_to_the_one_with_words(
    both: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    second = ColourEncoder(name="second")
    Indexer(both, second).run(photos / "trip")
    assert active(both) == "colour"
    dropped = drop_encoder(both, "colour")
    assert dropped.active is not None and dropped.active.name == "second", "half of the pictures, but words"
    assert active(both) == "second"


def test_the_last_one_goes_only_when_it_is_meant(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    with pytest.raises(SettingsError, match="only encoder"):
        drop_encoder(indexed, "colour")
    assert names(indexed) == ["colour"]
    assert drop_encoder(indexed, "colour", even_last=True).active is None
    with pytest.raises(GalleryNotFound, match="nothing is indexed"):
        QueryEngine(indexed)
    report = Indexer(indexed, encoder).run()
    assert (report.encoded, report.images) == (len(PHOTOS), len(PHOTOS))
    assert active(indexed) == "colour"
    check_agreement(indexed, encoder)


def test_an_open_engine_notices_that_its_encoder_left(both: Gallery, photos: Path) -> None:
    """The next encoder may get the same number in the catalog: its vectors must not be taken for the old one's."""
    with QueryEngine(both, model=PICTURES_ONLY) as engine:
        engine.similar(photos / "red-1.jpg", 1)
        drop_encoder(both, PICTURES_ONLY)
        Indexer(both, ColourEncoder(name="newcomer")).run(photos)
        with pytest.raises(EncoderMismatch, match="were dropped"):
            engine.similar(photos / "red-1.jpg", 1)


def test_dropping_from_no_gallery_makes_none(gallery: Gallery) -> None:
    with pytest.raises(GalleryNotFound):
        drop_encoder(gallery, "colour")
    assert not gallery.path.exists()

"""The query engine over real files: ranks, what is left out, when the encoder sleeps, files that changed."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import retrieval
from indexes.base import Vectors
from retrieval.catalog import selection
from retrieval.catalog.reader import CatalogReader
from retrieval.encoders.base import Pixels
from retrieval.errors import EncoderMismatch, GalleryNotFound, QueryError, TextNotSupported, UnknownImage
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.pictures.images import read_picture
from retrieval.search.engine import QueryEngine
from retrieval.search.hits import Hit
from retrieval.search.pages import Listing, find_page
from retrieval.search.query import Query, Term, combine
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture, save_picture


class SleepingEncoder(ColourEncoder):
    """Has the right fingerprint and must not be woken."""

    def encode_images(self, pixels: Pixels) -> Vectors:
        raise AssertionError("the image tower was woken")

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError("the text tower was woken")


@pytest.fixture
def engine(indexed: Gallery, encoder: ColourEncoder) -> Iterator[QueryEngine]:
    with QueryEngine(indexed, encoder) as opened:
        yield opened


def names(hits: Sequence[Hit]) -> list[str]:
    return [Path(hit.image.path).name for hit in hits]


def brute_force(photos: Path, encoder: ColourEncoder, query: Vectors) -> list[tuple[str, float]]:
    """(name, score) of every picture, best first, by reading the files."""
    scores = {}
    for name in PHOTOS:
        picture = read_picture((photos / name).read_bytes(), encoder.spec.preprocessing)
        scores[Path(name).name] = float(encoder.encode_images(picture.pixels[None])[0] @ query[0])
    return sorted(scores.items(), key=lambda item: -item[1])


def test_hits_are_what_brute_force_finds(engine: QueryEngine, photos: Path, encoder: ColourEncoder) -> None:
    hits = engine.search(Query.text("red"))
    expected = brute_force(photos, encoder, encoder.encode_texts(["red"]))
    assert names(hits) == [name for name, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-3)
    assert [hit.rank for hit in hits] == list(range(1, 7))
    assert set(names(hits)[:2]) == {"red-1.jpg", "red-2.png"}
    assert {hit.on_disk for hit in hits} == {"same"}


def test_k_cuts_and_more_than_there_are_is_no_error(engine: QueryEngine) -> None:
    full = engine.search(Query.text("blue", k=500))
    assert len(full) == 6
    assert engine.search(Query.text("blue", k=2)) == full[:2]


def test_min_score_leaves_the_rest_out(engine: QueryEngine) -> None:
    full = engine.search(Query.text("red"))
    bound = full[2].score
    terms = Query.text("red").terms
    assert engine.search(Query(terms, min_score=bound)) == full[:3]
    assert engine.search(Query(terms, min_score=1.0)) == []


def test_terms_of_every_kind_are_combined(engine: QueryEngine, photos: Path, encoder: ColourEncoder) -> None:
    blue = next(hit for hit in engine.search(Query.text("blue", k=1)))
    terms = (
        Term("text", "red", 2.0),
        Term("image", photos / "green.jpg", 0.5),
        Term("id", blue.image.id, 1.0),
        Term("text", "yellow", -0.5),
    )
    files = [(photos / "green.jpg").read_bytes(), Path(blue.image.path).read_bytes()]
    pixels = np.stack([read_picture(data, encoder.spec.preprocessing).pixels for data in files])
    green, blue_vector = encoder.encode_images(pixels)
    red, yellow = encoder.encode_texts(["red", "yellow"])
    query = combine(np.stack([red, green, blue_vector, yellow]), [2.0, 0.5, 1.0, -0.5])
    expected = brute_force(photos, encoder, query)
    hits = engine.search(Query(terms))
    assert names(hits) == [name for name, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-3)


def test_a_negative_term_pushes_away(engine: QueryEngine) -> None:
    plain = names(engine.search(Query.text("yellow")))
    without = names(engine.search(Query((Term("text", "yellow"), Term("text", "red", -0.9)), only="visual")))
    assert plain[0] == "yellow.jpg"
    assert without[0] == "green.jpg"
    with pytest.raises(QueryError, match="cancel"):
        engine.search(Query((Term("text", "red"), Term("text", "red", -1.0))))


def test_similar_leaves_itself_out_but_shows_copies(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    shutil.copy(photos / "red-1.jpg", photos / "trip/copy.jpg")
    Indexer(gallery, encoder).run(photos)
    (photos.parent / "linked").symlink_to(photos)
    with QueryEngine(gallery, SleepingEncoder()) as engine:
        by_path = engine.similar(photos / "red-1.jpg", k=10)
        assert names(by_path)[:2] == ["copy.jpg", "red-2.png"] and len(by_path) == 6
        assert by_path[0].score == pytest.approx(1, abs=1e-6)
        assert "red-1.jpg" not in names(by_path) and [hit.rank for hit in by_path] == list(range(1, 7))
        assert engine.similar(str(photos.parent / "linked/red-1.jpg")) == by_path
        itself = engine.reader.record_at(photos / "red-1.jpg")
        assert itself is not None and engine.similar(itself.id) == by_path
        assert names(engine.similar(itself.id, k=1)) == ["copy.jpg"]
        assert names(engine.similar(itself.id, where=Filter(under=(photos / "trip/day two",)))) == ["yellow.jpg"]
        with pytest.raises(QueryError, match="cannot return 0 hits"):
            engine.similar(itself.id, k=0)
        with pytest.raises(UnknownImage):
            engine.similar(4711)


def test_a_picture_from_elsewhere_is_encoded(engine: QueryEngine, encoder: ColourEncoder, tmp_path: Path) -> None:
    other = save_picture(tmp_path / "other.webp", "green", seed=77)
    before = encoder.encoded
    assert names(engine.similar(other, k=1)) == ["green.jpg"]
    assert encoder.encoded == before + 1
    for bad in (tmp_path / "gone.jpg", tmp_path):
        with pytest.raises(QueryError, match="cannot read"):
            engine.similar(bad)


def test_a_huge_query_file_is_not_read(engine: QueryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.pictures.picture_file.MAX_FILE_BYTES", 10)
    with pytest.raises(QueryError, match="is larger than"):
        engine.similar(save_picture(tmp_path / "a.png", "red", seed=5))


def test_a_changed_file_is_left_out_and_others_move_up(
    engine: QueryEngine, photos: Path, caplog: pytest.LogCaptureFixture, encoder: ColourEncoder
) -> None:
    full = names(engine.search(Query.text("red")))
    replace_picture(photos / full[0], "blue", seed=9)
    with caplog.at_level(logging.WARNING, "photoseek"):
        hits = engine.search(Query.text("red", k=3))
    assert names(hits) == full[1:4] and [hit.rank for hit in hits] == [1, 2, 3]
    assert "1 picture is skipped: changed since it was indexed; run: photoseek index" in caplog.text
    before = encoder.encoded
    assert names(engine.similar(photos / full[0], k=1))[0].startswith("blue"), "it is read as it is now"
    assert encoder.encoded == before + 1


def test_when_all_the_best_have_changed_the_search_goes_on_below(engine: QueryEngine, photos: Path) -> None:
    full = names(engine.search(Query.text("red")))
    for name in PHOTOS:
        if Path(name).name != full[-1]:
            os.utime(photos / name, ns=(1, 1))
    assert names(engine.search(Query.text("red", k=1))) == [full[-1]]
    unchecked = QueryEngine(engine.gallery, engine.encoder, check_files=False)
    with unchecked:
        assert names(unchecked.search(Query.text("red"))) == full


def test_missing_files_are_skipped_like_changed_ones(
    engine: QueryEngine, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = names(engine.search(Query.text("green")))
    gone = [next(path for path in photos.rglob(name) if path.is_file()) for name in full[:2]]
    gone[0].unlink()
    os.utime(gone[1], ns=(1, 1))
    for search in (
        lambda query: engine.search(query),
        lambda query: engine.search_many([query])[0],
        lambda query: list(find_page(engine, query, Listing(page=1)).hits),
        lambda query: list(find_page(engine, query, Listing(group_minutes=5)).hits),
        lambda query: list(find_page(engine, replace(query, min_score=-1.0), Listing(sort="name", reverse=True)).hits),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "photoseek"):
            hits = search(Query.text("green", k=2))
        assert len(hits) == 2 and not set(names(hits)) & set(full[:2])
        assert [record.getMessage() for record in caplog.records] == [
            "2 pictures are skipped: 1 is missing, 1 changed since it was indexed; run: photoseek index"
        ]
        assert {hit.on_disk for hit in hits} == {"same"}


def test_only_what_stands_before_the_last_hit_is_counted(
    engine: QueryEngine, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full = names(engine.search(Query.text("red")))
    next(photos.rglob(full[-1])).unlink()
    engine.search(Query.text("red", k=len(full) - 1))
    assert not caplog.records
    assert len(engine.search(Query.text("red", k=len(full)))) == len(full) - 1
    assert "1 picture is skipped: the file is missing" in caplog.text


def test_all_files_gone_finds_nothing(engine: QueryEngine, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos.rename(photos.with_name("unplugged"))
    assert engine.search(Query.text("red", k=2)) == []
    assert "6 pictures are skipped: the files are missing" in caplog.text


def test_a_filtered_search_ranks_what_the_filter_lets_through(engine: QueryEngine, photos: Path) -> None:
    full = engine.search(Query.text("red"))
    for where in (
        Filter(under=(photos / "trip",)),
        Filter(format=("png",)),
        Filter(orientation="landscape"),
        Filter(),
        Filter(glob="*.gif"),
        Filter(after=datetime(1990, 1, 1)),
    ):
        allowed = set(engine.reader.select(where).tolist())
        expected = [(hit.image.id, hit.score) for hit in full if hit.image.id in allowed]
        found = engine.search(Query(Query.text("red").terms, where=where))
        assert [(hit.image.id, hit.score) for hit in found] == expected
        assert [hit.rank for hit in found] == list(range(1, len(expected) + 1))


def test_equal_scores_come_by_id(gallery: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    for number in (3, 1, 2):
        shutil.copy(photos / "green.jpg", photos / f"same-{number}.jpg")
    Indexer(gallery, encoder).run(photos)
    with QueryEngine(gallery, encoder) as engine:
        hits = engine.search(Query.text("green", k=4))
        assert len({hit.score for hit in hits}) == 1
        assert [hit.image.id for hit in hits] == sorted(hit.image.id for hit in hits)
        assert [hit.image.id for hit in engine.search(Query.text("green", k=2))] == [h.image.id for h in hits[:2]]


def test_only_the_model_that_built_the_gallery_may_search_it(indexed: Gallery, tmp_path: Path) -> None:
    with pytest.raises(EncoderMismatch, match="built with colour, not with other"):
        QueryEngine(indexed, ColourEncoder(name="other"))
    with pytest.raises(GalleryNotFound):
        QueryEngine(Gallery(tmp_path / "nothing"))
    with Gallery(tmp_path / "made").writer():
        pass
    for encoder in (None, ColourEncoder()):
        with pytest.raises(GalleryNotFound, match="nothing is indexed"):
            QueryEngine(Gallery(tmp_path / "made"), encoder)


def test_a_text_that_is_cut_is_reported_and_one_that_fits_is_not(
    engine: QueryEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.search(Query.text("red bird"))
    assert caplog.text == ""
    engine.search(Query.text("red " * 20))
    assert "longer than the model reads" in caplog.text


def test_words_for_a_model_without_words(gallery: Gallery, photos: Path) -> None:
    encoder = ColourEncoder(name="blind", has_text=False)
    Indexer(gallery, encoder).run(photos)
    with QueryEngine(gallery, encoder) as engine:
        assert len(engine.similar(photos / "green.jpg")) == 5
        with pytest.raises(TextNotSupported):
            engine.search(Query.text("red"))


ADD_FROM_ANOTHER_PROCESS = """
import sys
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.fakes import ColourEncoder
Indexer(Gallery(sys.argv[1]), ColourEncoder()).run(sys.argv[2])
"""


def test_an_open_engine_sees_what_another_process_committed(engine: QueryEngine, photos: Path) -> None:
    assert len(engine.search(Query.text("green"))) == 6
    save_picture(photos / "greener.png", "green", seed=50)
    (photos / "red-1.jpg").unlink()
    root = Path(retrieval.__file__).parents[1]
    command = [sys.executable, "-c", ADD_FROM_ANOTHER_PROCESS, str(engine.gallery.path), str(photos)]
    subprocess.run(command, cwd=root, check=True)
    found = names(engine.search(Query.text("green")))
    assert "greener.png" in found[:2] and "red-1.jpg" not in found and len(found) == 6


def test_a_filter_is_listed_once_and_again_after_a_change(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[Filter] = []
    select = selection.select

    def counting(reader: CatalogReader, where: Filter, encoder_id: int, **options: bool) -> selection.Selection:
        listed.append(where)
        return select(reader, where, encoder_id, **options)

    monkeypatch.setattr("retrieval.search.saved_search.select", counting)
    query = Query.text("red", where=Filter(format=["png"]))  # type: ignore[arg-type]  # a list is taken as well
    with QueryEngine(indexed, encoder) as engine:
        before = engine.search(query)
        assert engine.search(query) == before
        assert len(listed) == 1
        save_picture(photos / "red-3.png", "red", seed=99)
        Indexer(indexed, encoder).run(photos)
        assert len(engine.search(query)) == len(before) + 1
        assert len(listed) == 2


def test_a_filter_sees_a_new_tag_at_once_though_no_image_changed(indexed: Gallery, encoder: ColourEncoder) -> None:
    query = Query.text("red", where=Filter(untagged=True))
    with QueryEngine(indexed, encoder) as engine:
        change, before = engine.reader.change(), engine.search(query)
        edit_labels(indexed, [before[0].image.id], LabelEdit(tags=("x",)))
        assert engine.reader.change() == change
        assert [hit.image.id for hit in engine.search(query)] == [hit.image.id for hit in before[1:]]


def test_a_relative_folder_is_that_of_the_moment(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon changes its folder for each client, and remembers filters."""
    with QueryEngine(indexed, encoder) as engine:
        found = []
        for folder in (photos, photos / "trip"):
            monkeypatch.chdir(folder)
            found.append(len(engine.search(Query.text("red", where=Filter(under=(Path(),))))))
    assert found == [6, 3]


def test_what_a_filter_cannot_know_is_counted(indexed: Gallery, encoder: ColourEncoder) -> None:
    with QueryEngine(indexed, encoder) as engine:
        unknown = engine.selection(Filter(after=datetime(1990, 1, 1), glob="*.png"))
        assert (unknown.ids.tolist(), unknown.unknown, unknown.lacking) == ([], 2, ("date",))
        assert unknown.message() == "2 pictures are left out because their date is unknown"
        assert engine.selection(Filter(glob="*.png")).message() == ""

"""Runs over an object store: incremental by version, and an outage or a lost network loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval.encoders.base import Pixels
from retrieval.errors import SettingsError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing import candidates, reading_ahead
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.labels.xmp_writing import write_xmp
from retrieval.maintenance.verify import verify
from retrieval.rendering.copies import place_hits
from retrieval.rendering.thumbnails import thumbnail
from retrieval.search.engine import QueryEngine
from retrieval.search.query import Query, Term
from retrieval.sources import stores
from retrieval.sources.base import Source
from tests.fakes import ColourEncoder
from tests.retrieval.sources.s3_server import S3, SECRET, s3_server
from tests.retrieval.sources.tars import jpeg
from tests.retrieval.states import check_agreement, failing, found, present

RED, BLUE, GREEN = jpeg("red"), jpeg("blue"), jpeg("green")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    monkeypatch.setattr(stores, "PATIENCE_S", 0.5)
    monkeypatch.setattr(stores, "LISTING_PATIENCE_S", 0.5)
    with s3_server(monkeypatch) as server:
        server.put("trip/red.jpg", RED)
        server.put("trip/day two/blue.jpg", BLUE)
        server.put("trip/notes.txt", b"notes")
        server.put("trip/bad.jpg", b"no picture")
        server.put("trip/clip.mp4", b"no video")
        yield server


def names(gallery: Gallery, encoder: ColourEncoder) -> set[str]:
    return {path.removeprefix("s3://photos/") for path in present(gallery, encoder)}


def test_a_bucket_is_indexed_and_only_what_changed_is_read_again(
    gallery: Gallery, encoder: ColourEncoder, s3: S3
) -> None:
    report = Indexer(gallery, encoder).run(f"{s3.root}/trip/")
    assert (report.counts.added, report.counts.failed, report.problems) == (2, 1, [])
    assert report.passed_over == {"documents": {"txt": 1}, "video": {"mp4": 1}}
    assert names(gallery, encoder) == {"trip/red.jpg", "trip/day two/blue.jpg"}
    check_agreement(gallery, encoder)
    assert found(gallery, encoder, "blue", k=1) == ["blue.jpg"]
    encoder.encoded = 0
    report = Indexer(gallery, encoder).run()
    assert (report.unchanged, report.encoded, report.problems) == (3, 0, [])
    s3.put("trip/red.jpg", GREEN)
    s3.put("trip/copy.jpg", BLUE)
    s3.delete("trip/bad.jpg")
    report = Indexer(gallery, encoder).run(Path(f"{s3.root}/trip"))
    assert (report.counts.updated, report.counts.added, report.reused, encoder.encoded) == (1, 1, 1, 1)
    assert report.failures_known == 0
    s3.put("trip/moved.jpg", GREEN)
    s3.delete("trip/red.jpg")
    report = Indexer(gallery, encoder).run()
    assert (report.counts.moved, report.counts.retired, report.encoded) == (1, 0, 0)
    s3.delete("trip/day two/blue.jpg")
    assert Indexer(gallery, encoder).run().counts.retired == 1
    assert names(gallery, encoder) == {"trip/moved.jpg", "trip/copy.jpg"}
    check_agreement(gallery, encoder)


def test_an_outage_and_an_empty_bucket_are_not_taken_for_deletion(
    gallery: Gallery, encoder: ColourEncoder, s3: S3
) -> None:
    Indexer(gallery, encoder).run(s3.root)
    before = present(gallery, encoder)
    s3.stop()
    report = Indexer(gallery, encoder).run()
    assert [(each.path, each.reason, each.images_kept) for each in report.problems] == [
        (s3.root, stores.UNREACHABLE, 2)
    ]
    with pytest.raises(SettingsError, match="cannot be reached"):
        Indexer(gallery, encoder).run("s3://another")
    s3.start()
    kept = s3.held()
    s3.delete(*kept)
    report = Indexer(gallery, encoder).run()
    (problem,) = report.problems
    assert (problem.path, problem.images_kept, report.counts.retired) == (s3.root, 2, 0)
    assert present(gallery, encoder) == before
    with pytest.raises(SettingsError, match="there is nothing at"):
        Indexer(gallery, encoder).run("s3://another")


class Cutting(ColourEncoder):
    """Does something once, after its first batch."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__(streams=1, batch_size=1)
        self.then: Callable[[], None] | None = then

    def encode_images(self, pixels: Pixels) -> Any:
        if self.then is not None:
            self.then()
            self.then = None
        return super().encode_images(pixels)


def test_a_store_that_goes_away_within_a_run_is_waited_for_and_the_rest_is_for_the_next_run(
    gallery: Gallery, s3: S3
) -> None:
    for number in range(30):
        s3.put(f"many/{number:02}.jpg", jpeg("red", number))
    encoder = Cutting(s3.stop)
    report = Indexer(gallery, encoder, workers=1).run(f"{s3.root}/many")
    assert report.counts.added + report.counts.failed == 30
    assert report.counts.failed > 0
    assert set(failing(gallery).values()) == {stores.UNREACHABLE}
    assert report.failures_passing == report.counts.failed
    s3.start()
    report = Indexer(gallery, encoder).run()
    assert (report.failures_known, report.images) == (0, 30)
    check_agreement(gallery, encoder)


def test_an_object_that_vanishes_or_changes_after_it_was_listed_is_never_indexed_as_another(
    gallery: Gallery, encoder: ColourEncoder, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = candidates.read_from

    def late(source: Source, path: str, *rest: Any) -> Any:
        if path.endswith("red.jpg"):
            s3.delete("trip/red.jpg")
        if path.endswith("blue.jpg"):
            s3.put("trip/day two/blue.jpg", GREEN)
        return read(source, path, *rest)

    with monkeypatch.context() as patch:
        for module in (candidates, reading_ahead):
            patch.setattr(module, "read_from", late)
        report = Indexer(gallery, encoder).run(s3.root)
    assert (report.counts.added, failing(gallery)["red.jpg"]) == (1, "there is no such object")
    assert found(gallery, encoder, "green", k=1) == ["blue.jpg"]
    report = Indexer(gallery, encoder).run()
    assert (report.encoded, report.unchanged, set(failing(gallery))) == (0, 2, {"bad.jpg"})


def test_pictures_of_a_store_are_found_shown_copied_verified_forgotten_and_never_written(
    gallery: Gallery, encoder: ColourEncoder, s3: S3, tmp_path: Path
) -> None:
    Indexer(gallery, encoder).run(s3.root)
    red = f"{s3.root}/trip/red.jpg"
    with QueryEngine(gallery, encoder) as engine:
        (hit,) = engine.search(Query.text("red", k=1))
        assert hit.image.path == red
        for picture in (Path(red), Path(f"{s3.root}/trip/notes-free.jpg")):
            if picture.name == "notes-free.jpg":
                s3.put("trip/notes-free.jpg", RED)  # not indexed: it is read and encoded
            (alike,) = engine.search(Query((Term("image", picture),), k=1))
            assert alike.image.path == red
        where = Filter(under=(f"{s3.root}/trip/day two",))
        assert [each.image.path for each in engine.search(Query.text("red", where=where))] == [
            f"{s3.root}/trip/day two/blue.jpg"
        ]
        seen = thumbnail(hit.image, 16)
        assert seen is not None
        assert max(seen.size) == 16
        (placed,) = place_hits([hit], tmp_path / "out")
        assert placed.place is not None
        assert placed.place.read_bytes() == RED
        (linked,) = place_hits([hit], tmp_path / "links", link=True)
        assert linked.result == "failed"
    assert next(each for each in verify(gallery) if each.part == "files").state == "sound"
    edit_labels(gallery, [red], LabelEdit(tags=("mine",)))
    assert write_xmp(gallery).problems == {red: "it is in an object store, which photoseek only reads"}
    s3.stop()
    files = next(each for each in verify(gallery) if each.part == "files")
    assert files.message == "0 as indexed, 2 in stores that did not answer; check the network and the keys"
    assert thumbnail(hit.image, 16) is None
    s3.start()
    s3.delete("trip/day two/blue.jpg")
    files = next(each for each in verify(gallery) if each.part == "files")
    assert files.message.startswith("1 as indexed, 0 changed, 1 missing")
    forget_paths(gallery, [f"{s3.root}/trip/red.jpg", Path(f"{s3.root}/trip/day two")])
    assert names(gallery, encoder) == set()
    Indexer(gallery, encoder).run(s3.root)
    assert names(gallery, encoder) == {"trip/notes-free.jpg"}
    assert SECRET.encode() not in gallery.catalog_path.read_bytes()


def test_keys_in_an_address_are_refused_before_anything_is_done(gallery: Gallery, encoder: ColourEncoder) -> None:
    with pytest.raises(SettingsError, match="must not hold") as told:
        Indexer(gallery, encoder).run("s3://key:secret@bucket/prefix")
    assert "secret" not in str(told.value)
    with gallery.reader() as reader:
        assert reader.roots() == []

"""``forget``: what leaves a gallery comes back with all that people said, or is gone from every file of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from retrieval.catalog.albums import all_albums
from retrieval.errors import UnknownImage
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_paths, report_lines
from retrieval.indexing.indexer import Indexer
from retrieval.labels.albums import create_album
from retrieval.labels.labelling import LabelEdit, edit_labels
from retrieval.search.album_lists import album_hits
from retrieval.search.engine import QueryEngine
from retrieval.search.saved_search import SavedSearch
from tests.conftest import PHOTOS
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import check_agreement, found, ids, rows

IN_TRIP = [name for name in PHOTOS if name.startswith("trip/")]


def holds(gallery: Gallery, text: str) -> list[str]:
    """Files of a gallery in which a text stands."""
    return [
        path.name
        for path in gallery.path.rglob("*")
        if path.is_file() and (text.encode() in path.read_bytes() or text in path.name)
    ]


@pytest.mark.parametrize("purge", [False, True])
def test_a_forgotten_child_stays_away_until_it_is_named(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, purge: bool
) -> None:
    report = forget_paths(indexed, [photos / "trip"], purge=purge)
    (trip,) = report.forgotten
    assert (trip.images, trip.left_out_of, trip.is_folder) == (len(IN_TRIP), str(photos), True)
    told = "\n".join(report_lines(report, purge=purge))
    assert f"to include it again, run: photoseek index {photos / 'trip'}" in told
    for folders in ((), photos):
        again = Indexer(indexed, encoder).run(folders)
        assert (again.images, again.passed_over) == (
            len(PHOTOS) - len(IN_TRIP),
            {"forgotten": {"folders": 1}},
        )
    back = Indexer(indexed, encoder).run(photos / "trip")
    assert (back.images, back.lifted) == (len(PHOTOS), [str(photos / "trip")])
    with indexed.reader() as reader:
        assert reader.exclusions().rows == ()
    assert Indexer(indexed, encoder).run(photos).images == len(PHOTOS)
    check_agreement(indexed, encoder)


@pytest.mark.parametrize("purge", [False, True])
def test_a_forgotten_file_stays_away_until_it_is_included(
    indexed: Gallery, photos: Path, encoder: ColourEncoder, purge: bool
) -> None:
    (gone,) = forget_paths(indexed, [photos / "trip/blue-1.jpg"], purge=purge).forgotten
    assert (gone.images, gone.left_out_of, gone.is_folder) == (1, str(photos), False)
    assert "trip/blue-1.jpg" not in ids(indexed, encoder, photos)
    assert Indexer(indexed, encoder).run(photos).images == len(PHOTOS) - 1
    assert Indexer(indexed, encoder).run(photos, include=["trip/blue-1.jpg"]).images == len(PHOTOS)
    assert Indexer(indexed, encoder).run().images == len(PHOTOS)


def test_a_purge_leaves_no_name_label_vector_or_thumbnail_in_any_file(
    gallery: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    folder = photos / "Sonderbares Album"
    for number in range(40):
        save_picture(folder / f"geheim-{number}.png", "white", seed=100 + number)
    (folder / "geheim-kaputt.png").write_text("no picture")
    Indexer(gallery, encoder).run(photos)
    edit_labels(gallery, [folder], LabelEdit(tags=("verborgen",), caption="Niemand weiss es."))
    Indexer(gallery, encoder).run(folder)
    words = ("Sonderbares", "geheim", "verborgen", "Niemand")
    assert all(holds(gallery, word) for word in words)
    forget_paths(gallery, [folder])
    assert all(holds(gallery, word) for word in words), "without --purge it can come back"

    report = forget_paths(gallery, [folder], purge=True)
    assert report.is_log_empty
    assert (report.forgotten[0].purged, report.forgotten[0].images) == (40, 0)
    assert [(word, holds(gallery, word)) for word in words] == [(word, []) for word in words]
    assert rows(gallery, "SELECT count(*) FROM images") == rows(gallery, "SELECT count(*) FROM embeddings")
    assert sorted(found(gallery, encoder)) == sorted(os.path.basename(name) for name in PHOTOS)
    check_agreement(gallery, encoder)
    assert Indexer(gallery, encoder).run(photos).images == len(PHOTOS), "it stays away"
    assert [(word, holds(gallery, word)) for word in words] == [(word, []) for word in words]


def test_a_purge_takes_its_name_out_of_saved_searches(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    folder = photos / "Geheim"
    save_picture(folder / "one.png", "white", seed=7)
    Indexer(indexed, encoder).run(photos)
    kept = {"under": [str(photos / "trip")], "glob": ["trip/*.jpg"]}
    hidden = {"under": [str(folder)], "no_under": [str(folder / "sub"), str(photos / "trip")], "glob": ["geheim/*"]}
    create_album(indexed, "Both", recipe=SavedSearch(filter=hidden | {"iso": ["400"]}).to_text())
    create_album(indexed, "Trip", recipe=SavedSearch(filter=kept).to_text())
    forget_paths(indexed, [folder])
    assert holds(indexed, "Geheim")
    report = forget_paths(indexed, [folder], purge=True)
    assert report.forgotten[0].searches == ("Both",)
    assert any("saved search Both" in line for line in report_lines(report, purge=True))
    assert holds(indexed, "Geheim") == [] and holds(indexed, "geheim") == []
    with indexed.reader() as reader:
        told = {album.name: json.loads(album.recipe or "{}")["filter"] for album in all_albums(reader)}
    assert told["Trip"] == kept
    assert told["Both"] == {
        "under": ["/(purged)"], "no_under": ["/(purged)", str(photos / "trip")], "glob": ["(purged)/*"], "iso": ["400"],
    }  # fmt: skip
    with QueryEngine(indexed, encoder) as engine:
        assert album_hits(engine, "Trip", 50)


def test_a_purged_picture_leaves_an_index_that_was_open(indexed: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    from retrieval.sync import catch_up, open_index

    with indexed.reader() as reader:
        row = reader.encoders()[0]
        synced = open_index(indexed.index_path(row.fingerprint), reader, row)
        report = forget_paths(indexed, [photos / "green.jpg"], purge=True)
        assert len(synced.index) == len(PHOTOS)
        catch_up(synced, reader, row)
        assert len(synced.index) == len(PHOTOS) - 1
    assert report.forgotten[0].purged == 1


def test_what_the_gallery_does_not_hold_cannot_be_forgotten_and_nothing_is_done_by_halves(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    for purge in (False, True):
        with pytest.raises(UnknownImage, match="is not in the gallery"):
            forget_paths(indexed, [photos / "green.jpg", photos / "never.jpg"], purge=purge)
    assert len(ids(indexed, encoder, photos)) == len(PHOTOS)


def test_a_root_that_is_forgotten_leaves_no_exclusion_behind(
    indexed: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    Indexer(indexed, encoder).run(photos, exclude=["*.png"])
    forget_paths(indexed, [photos / "trip"])
    forget_paths(indexed, [photos])
    with indexed.reader() as reader:
        assert (reader.exclusions().rows, reader.roots()) == ((), [])
    assert Indexer(indexed, encoder).run(photos).images == len(PHOTOS)


def test_a_folder_that_is_gone_from_disk_can_be_forgotten_through_a_link(
    gallery: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    link = photos.parent / "link"
    link.symlink_to(photos)
    Indexer(gallery, encoder).run(link)
    shutil.rmtree(photos)
    assert forget_paths(gallery, [link]).forgotten[0].images == len(PHOTOS)

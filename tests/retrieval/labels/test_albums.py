"""Albums: made, filled, put in order, deleted and brought back; their pictures stay in them wherever the files go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from retrieval.catalog.albums import album_named, all_albums, pictures_in
from retrieval.errors import GalleryNotFound, QueryError, UnknownImage
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.albums import (
    add_to_album,
    choose_cover,
    create_album,
    delete_album,
    order_album,
    remove_from_album,
    rename_album,
    undelete_album,
)
from retrieval.labels.labelling import find_images
from retrieval.labels.reading import labels_of
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture
from tests.retrieval.states import move, rows


def held(gallery: Gallery, name: str) -> list[str]:
    """The names of the files in an album, in its order."""
    with gallery.reader() as reader:
        return [Path(r.path).name for r in reader.records(pictures_in(reader, album_named(reader, name).id))]


@pytest.fixture
def album(indexed: Gallery, photos: Path) -> Gallery:
    """``Summer 2023`` of blue-1, green and red-1."""
    done = create_album(
        indexed, " Summer  2023 ", [photos / "trip" / "blue-1.jpg", photos / "green.jpg", photos / "red-1.jpg"]
    )
    assert (done.name, done.pictures) == ("Summer 2023", 3)
    return indexed


ORDER = ["blue-1.jpg", "green.jpg", "red-1.jpg"]


def test_pictures_come_and_go_and_keep_their_order(album: Gallery, photos: Path) -> None:
    assert held(album, "SUMMER 2023") == ORDER
    again = add_to_album(album, "summer 2023", [photos / "green.jpg", photos / "trip"])
    assert (again.pictures, again.changed) == (4, 2), "what is in it stays in its place"
    assert held(album, "Summer 2023")[:3] == ORDER
    gone = remove_from_album(album, "Summer 2023", [photos / "trip"])
    assert gone.changed == 3 and held(album, "Summer 2023") == ["green.jpg", "red-1.jpg"]
    assert rows(album, "SELECT count(*) FROM album_entries") == [(2,)]
    assert remove_from_album(album, "Summer 2023", [photos / "trip"]).changed == 0
    order_album(album, "Summer 2023", [photos / "red-1.jpg"])
    assert held(album, "Summer 2023") == ["red-1.jpg", "green.jpg"]
    with pytest.raises(QueryError, match="is not in the album"):
        order_album(album, "Summer 2023", [photos / "trip" / "blue-1.jpg"])


def test_the_cover_is_chosen_or_the_first(album: Gallery, photos: Path) -> None:
    def cover() -> str:
        with album.reader() as reader:
            (record,) = reader.records([album_named(reader, "Summer 2023").cover or 0])
        return Path(record.path).name

    assert cover() == "blue-1.jpg"
    choose_cover(album, "Summer 2023", photos / "red-1.jpg")
    assert cover() == "red-1.jpg"
    remove_from_album(album, "Summer 2023", [photos / "red-1.jpg"])
    assert cover() == "blue-1.jpg"
    with pytest.raises(QueryError, match="folder"):
        choose_cover(album, "Summer 2023", photos)


def test_names_are_compared_folded_and_taken_once(album: Gallery) -> None:
    for name in ("summer 2023", "SUMMER  2023"):
        with pytest.raises(QueryError, match="already"):
            create_album(album, name)
    create_album(album, "Straße")
    with pytest.raises(QueryError, match="already"):
        rename_album(album, "Straße", "Summer 2023")
    assert rename_album(album, "STRASSE", "Strasse") == ("Straße", "Strasse")
    with pytest.raises(QueryError, match="no album 'Sumer 2023'") as error:
        held(album, "Sumer 2023")
    assert "Summer 2023" in str(error.value.hint)
    for bad in (" ", "x" * 201, "a\x1bb"):
        with pytest.raises(QueryError):
            create_album(album, bad)


def test_a_deleted_album_comes_back_as_it_was(album: Gallery, photos: Path) -> None:
    assert delete_album(album, "summer 2023").pictures == 3
    with album.reader() as reader:
        assert all_albums(reader) == [] and [a.name for a in all_albums(reader, deleted=True)] == ["Summer 2023"]
        (labels,) = labels_of(reader, find_images(reader, [photos / "green.jpg"]))
        assert labels.albums == []
    create_album(album, "Summer 2023")
    with pytest.raises(QueryError, match="already"):
        undelete_album(album, "Summer 2023")
    rename_album(album, "Summer 2023", "Other")
    undelete_album(album, "Summer 2023")
    assert held(album, "Summer 2023") == ORDER and held(album, "Other") == []
    with pytest.raises(QueryError, match="was deleted"):
        undelete_album(album, "Summer 2023")


def test_pictures_stay_in_their_albums_over_moves_edits_and_forgetting(
    album: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    (photos / "red-1.jpg").rename(photos / "trip" / "renamed.jpg")
    replace_picture(photos / "green.jpg", "green", seed=50)
    Indexer(album, encoder).run(photos)
    expected = ["blue-1.jpg", "green.jpg", "renamed.jpg"]
    assert held(album, "Summer 2023") == expected
    forget_paths(album, [photos / "trip"])
    assert held(album, "Summer 2023") == ["green.jpg"]
    shutil.copytree(photos / "trip", photos.parent / "elsewhere")
    Indexer(album, encoder).run(photos.parent / "elsewhere")
    assert held(album, "Summer 2023") == expected, "each at its place"
    aside = move(photos / "green.jpg", photos.parent / "aside.jpg")
    Indexer(album, encoder).run(photos)
    assert held(album, "Summer 2023") == ["blue-1.jpg", "renamed.jpg"]
    remove_from_album(album, "Summer 2023", [photos.parent / "elsewhere" / "renamed.jpg"])
    move(aside, photos / "back.jpg")
    Indexer(album, encoder).run(photos)
    assert held(album, "Summer 2023") == ["blue-1.jpg", "back.jpg"]


def test_purging_takes_pictures_out_for_good(album: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    forget_paths(album, [photos / "trip"], purge=True)
    shutil.copytree(photos / "trip", photos.parent / "elsewhere")
    Indexer(album, encoder).run(photos.parent / "elsewhere")
    assert held(album, "Summer 2023") == ["green.jpg", "red-1.jpg"]


def test_albums_are_conditions(album: Gallery, photos: Path) -> None:
    with album.reader() as reader:
        every = len(reader.select(Filter()))
        assert len(reader.select(Filter(album="SUMMER 2023"))) == 3
        assert len(reader.select(Filter(no_album=("Summer 2023",)))) == every - 3
    with pytest.raises(QueryError, match="nothing passes"):
        Filter(album="Summer 2023", no_album="summer 2023")


def test_nothing_is_made_where_something_is_wrong(gallery: Gallery, indexed: Gallery, photos: Path) -> None:
    with pytest.raises(UnknownImage):
        create_album(indexed, "Half", [photos / "green.jpg", photos / "nowhere.jpg"])
    for edit in (add_to_album, remove_from_album):
        with pytest.raises(QueryError, match="no album"):
            edit(indexed, "Half", [photos / "green.jpg"])
    nowhere = Gallery(photos.parent / "no gallery")
    with pytest.raises(GalleryNotFound):
        create_album(nowhere, "x")
    assert not nowhere.path.exists()

"""What people say about pictures: written, read, and kept with the picture wherever its file goes."""

from __future__ import annotations

import logging
import os
import shutil
from itertools import permutations
from pathlib import Path

import pytest

from retrieval.catalog.batch import Batch
from retrieval.catalog.labels import caption_count, tag_counts
from retrieval.errors import GalleryNotFound, QueryError, UnknownImage
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing import indexer as indexer_module
from retrieval.indexing.forgetting import forget_paths
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels, find_images, parse_rating
from retrieval.labels.reading import labels_of
from retrieval.labels.sidecars import import_xmp
from retrieval.labels.tagging import tag_gallery
from tests.fakes import ColourEncoder
from tests.pictures import replace_picture, save_picture
from tests.retrieval.rows import filled, image
from tests.retrieval.states import move, rows
from tests.retrieval.xmp_files import packet

FILES = {"red": "red-1.jpg", "green": "green.jpg", "blue": "trip/blue-1.jpg"}


def said(gallery: Gallery) -> dict[str, tuple[list[str], list[str]]]:
    """File name -> tags and captions of every present picture that has any."""
    with gallery.reader() as reader:
        found = labels_of(reader, reader.select(Filter()).tolist())
    for each in found:  # what else the fixture says goes where the tags go
        with_tags = bool({tag.text for tag in each.tags} & FILES.keys())
        assert (each.rating, each.is_favourite) == ((4, True) if with_tags else (None, False)), each.image.path
    return {
        os.path.basename(x.image.path): ([t.text for t in x.tags], [c.text for c in x.captions])
        for x in found
        if x.tags or x.captions
    }


@pytest.fixture
def labelled(indexed: Gallery, photos: Path) -> Gallery:
    """Three pictures tagged with their colour's name, of four stars, and favourites."""
    for colour, name in FILES.items():
        edit_labels(indexed, [photos / name], LabelEdit(tags=(colour,), caption=f"{colour}!", rating=4, favourite=True))
    return indexed


def test_tags_and_captions_come_and_go(indexed: Gallery, photos: Path) -> None:
    first = edit_labels(indexed, [photos / "green.jpg"], LabelEdit(tags=("Beach", "beach ", "sea"), caption="One."))
    assert {name: count for name, count in vars(first).items() if count} == {
        "pictures": 1, "tags_added": 2, "captions_added": 1
    }  # fmt: skip
    assert said(indexed) == {"green.jpg": (["beach", "sea"], ["One."])}
    again = edit_labels(indexed, [photos / "green.jpg"], LabelEdit(tags=("BEACH",), caption="One."))
    assert (again.tags_added, again.captions_added, again.captions_removed) == (0, 0, 0)
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(without_tags=("SEA",), caption="Two."))
    assert said(indexed) == {"green.jpg": (["beach"], ["Two."])}
    last = edit_labels(indexed, [photos / "green.jpg"], LabelEdit(without_tags=("beach",), without_caption=True))
    assert (last.tags_removed, last.captions_removed, said(indexed)) == (1, 1, {})


def test_targets_are_pictures_folders_and_ids(indexed: Gallery, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = edit_labels(indexed, [photos / "trip", "id:1", 1], LabelEdit(tags=("x",)))
    assert (report.pictures, report.tags_added) == (4, 4)
    monkeypatch.chdir(photos)
    with indexed.reader() as reader:
        (one,) = find_images(reader, ["trip/blue-1.jpg"])
        assert find_images(reader, [str(photos / "trip" / ".." / "trip" / "blue-1.jpg")]) == [one]
        assert len(find_images(reader, ["."])) == 6
        for unknown in ("nowhere.jpg", "id:99", photos.parent / "other"):
            with pytest.raises(UnknownImage, match=r"nowhere|99|other"):
                find_images(reader, ["green.jpg", unknown])
        assert tag_counts(reader) == {"x": 4}
    with pytest.raises(UnknownImage):
        edit_labels(indexed, ["green.jpg", "nowhere.jpg"], LabelEdit(tags=("y",)))
    assert rows(indexed, "SELECT count(*) FROM tags WHERE tag = 'y'") == [(0,)]  # nothing is done by halves


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"tags": (" ",)},
        {"tags": ("x" * 201,)},
        {"tags": ("a",), "without_tags": ("A ",)},
        {"caption": " "},
        {"caption": "x", "without_caption": True},
        {"rating": 6},
        {"rating": -2},
        {"rating": 3, "without_rating": True},
    ],
)
def test_edits_that_say_nothing_or_too_much_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(QueryError):
        LabelEdit(**wrong)  # type: ignore[arg-type]


def test_ratings_and_favourites_come_and_go(indexed: Gallery, photos: Path) -> None:
    green = [photos / "green.jpg"]

    def now() -> tuple[int | None, bool]:
        with indexed.reader() as reader:
            (labels,) = labels_of(reader, find_images(reader, green))
        return labels.rating, labels.is_favourite

    first = edit_labels(indexed, [photos], LabelEdit(rating=2, favourite=True))
    assert (first.ratings_added, first.favourites_added) == (6, 6) and now() == (2, True)
    again = edit_labels(indexed, green, LabelEdit(rating=2, favourite=True))
    assert (again.ratings_added, again.ratings_removed, again.favourites_added) == (0, 0, 0)
    edit_labels(indexed, green, LabelEdit(rating=-1))
    assert now() == (-1, True)
    edit_labels(indexed, green, LabelEdit(rating=0, favourite=False))
    assert now() == (0, False)
    edit_labels(indexed, green, LabelEdit(without_rating=True))
    assert now() == (None, False)
    assert rows(indexed, "SELECT DISTINCT source, rating FROM ratings") == [("user", 2)]


def test_the_users_rating_counts_before_that_of_xmp_which_is_kept(indexed: Gallery, photos: Path) -> None:
    (photos / "green.jpg.xmp").write_bytes(packet(rating=3))
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(rating=5))
    assert import_xmp(indexed).changed == 1
    assert import_xmp(indexed).changed == 0, "the user's rating is no news of XMP"
    with indexed.reader() as reader:
        (labels,) = labels_of(reader, find_images(reader, [photos / "green.jpg"]))
        assert labels.ratings == {"user": 5, "xmp": 3} and labels.rating == 5
        for where, count in ((Filter(rating="5"), 1), (Filter(rating=3), 0), (Filter(min_rating=4), 1)):
            assert len(reader.select(where)) == count
    edit_labels(indexed, [photos / "green.jpg"], LabelEdit(without_rating=True))
    with indexed.reader() as reader:
        assert len(reader.select(Filter(rating="3"))) == 1 and len(reader.select(Filter(no_rating="0"))) == 1


@pytest.mark.parametrize(
    ("text", "read"), [("4", (4, False)), ("-1", (-1, False)), (" Rejected", (-1, False)), ("REMOVE", (None, True))]
)
def test_ratings_as_people_type_them(text: str, read: tuple[int | None, bool]) -> None:
    assert parse_rating(text) == read


@pytest.mark.parametrize("text", ["6", "-2", "", "four", "4.5", "²", "--1"])
def test_what_is_no_rating(text: str) -> None:
    with pytest.raises(QueryError, match="no rating"):
        parse_rating(text)


def test_only_the_users_own_tags_can_be_taken_away(
    indexed: Gallery, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with indexed.writer() as catalog, catalog.transaction() as transaction:
        transaction.connection.exec_driver_sql("INSERT INTO tags (image_id, tag, source) VALUES (1, 'sea', 'xmp')")
    with caplog.at_level(logging.WARNING, "photoseek"):
        report = edit_labels(indexed, ["id:1"], LabelEdit(without_tags=("sea", "zoo")))
    assert report.tags_removed == 0
    assert "XMP" in caplog.messages[0] and "'zoo'" in caplog.messages[1]
    assert rows(indexed, "SELECT tag, source FROM tags") == [("sea", "xmp")]


def test_there_must_be_a_gallery(gallery: Gallery) -> None:
    with pytest.raises(GalleryNotFound):
        edit_labels(gallery, ["id:1"], LabelEdit(tags=("x",)))
    assert not gallery.path.exists()


def test_labels_outlive_indexing_moves_edits_and_an_absence(
    labelled: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    Indexer(labelled, encoder).run(photos)
    (photos / "red-1.jpg").rename(photos / "trip" / "renamed.jpg")
    replace_picture(photos / "green.jpg", "green", seed=50)
    (photos / "trip" / "blue-1.jpg").rename(photos.parent / "aside.jpg")
    Indexer(labelled, encoder).run(photos)
    expected = {"renamed.jpg": (["red"], ["red!"]), "green.jpg": (["green"], ["green!"])}
    assert said(labelled) == expected
    with labelled.reader() as reader:
        assert (sorted(tag_counts(reader)), caption_count(reader)) == (["green", "red"], 2)
    (photos.parent / "aside.jpg").rename(photos / "trip" / "back.jpg")
    Indexer(labelled, encoder).run(photos)
    assert said(labelled) == {**expected, "back.jpg": (["blue"], ["blue!"])}


@pytest.mark.parametrize("commits", [256, 1])
@pytest.mark.parametrize("order", list(permutations(FILES.values())))
def test_pictures_that_change_places_take_their_labels_along(
    labelled: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch,
    order: tuple[str, ...], commits: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(indexer_module, "COMMIT_IMAGES", commits)
    contents = {name: (photos / name).read_bytes() for name in FILES.values()}
    for number, (name, source) in enumerate(zip(FILES.values(), order, strict=True)):
        if name != source:
            (photos / name).write_bytes(contents[source])
            os.utime(photos / name, (2_000_000_000 + number, 2_000_000_000 + number))
    Indexer(labelled, encoder).run(photos)
    colour = {name: colour for colour, name in FILES.items()}
    assert said(labelled) == {
        os.path.basename(name): ([colour[source]], [f"{colour[source]}!"])
        for name, source in zip(FILES.values(), order, strict=True)
    }


@pytest.mark.parametrize("commits", [256, 1])
@pytest.mark.parametrize("new", ["a-red-1.jpg", "zzz.jpg"])
def test_a_series_that_is_renumbered_keeps_its_labels(
    labelled: Gallery, photos: Path, encoder: ColourEncoder, monkeypatch: pytest.MonkeyPatch, new: str, commits: int
) -> None:
    """A new picture comes first and every other one moves on by a name; the last gets a name that nobody had."""
    monkeypatch.setattr(indexer_module, "COMMIT_IMAGES", commits)
    (photos / "green.jpg").rename(photos / new)
    (photos / "red-1.jpg").rename(photos / "green.jpg")
    save_picture(photos / "red-1.jpg", "white", seed=60)
    os.utime(photos / "red-1.jpg", (2_000_000_000, 2_000_000_000))
    Indexer(labelled, encoder).run(photos)
    found = said(labelled)
    assert found.pop("blue-1.jpg") == (["blue"], ["blue!"])
    assert found == {new: (["green"], ["green!"]), "green.jpg": (["red"], ["red!"])}


def test_a_copy_over_a_labelled_picture_takes_no_labels_and_leaves_none(
    labelled: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    (photos / "green.jpg").write_bytes((photos / "red-1.jpg").read_bytes())
    Indexer(labelled, encoder).run(photos)
    assert said(labelled) == {"red-1.jpg": (["red"], ["red!"]), "blue-1.jpg": (["blue"], ["blue!"])}


def test_another_picture_where_one_was_deleted_is_not_labelled_but_one_that_could_not_be_read_is(
    labelled: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    (photos / "red-1.jpg").unlink()
    (photos / "green.jpg").write_bytes(b"\xff\xd8\xff half a picture")
    Indexer(labelled, encoder).run(photos)
    assert said(labelled).keys() == {"blue-1.jpg"}
    save_picture(photos / "red-1.jpg", "yellow", seed=61)
    save_picture(photos / "green.jpg", "green", seed=62)
    Indexer(labelled, encoder).run(photos)
    assert said(labelled).keys() == {"blue-1.jpg", "green.jpg"}


def test_what_is_said_outlives_forgetting_and_comes_back_with_the_content(
    labelled: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before = said(labelled)
    forget_paths(labelled, [photos / "trip"])
    assert said(labelled).keys() == {"red-1.jpg", "green.jpg"}
    Indexer(labelled, encoder).run(photos)
    assert said(labelled).keys() == {"red-1.jpg", "green.jpg"}, "left out of the folder above"
    shutil.copytree(photos / "trip", photos.parent / "elsewhere")
    Indexer(labelled, encoder).run(photos.parent / "elsewhere")
    assert said(labelled) == before, "the content is indexed again, at another place"
    forget_paths(labelled, [photos.parent / "elsewhere"])
    Indexer(labelled, encoder).run(photos / "trip")
    assert said(labelled) == before


def test_what_is_said_outlives_another_picture_at_the_same_path(
    labelled: Gallery, photos: Path, encoder: ColourEncoder
) -> None:
    before = said(labelled)
    aside = move(photos / "red-1.jpg", photos.parent / "aside.jpg")
    Indexer(labelled, encoder).run(photos)
    save_picture(photos / "red-1.jpg", "yellow", seed=61)
    Indexer(labelled, encoder).run(photos)
    assert "red-1.jpg" not in said(labelled)
    move(aside, photos / "back.jpg")
    Indexer(labelled, encoder).run(photos)
    assert said(labelled)["back.jpg"] == before["red-1.jpg"]


def test_purging_deletes_what_is_said(labelled: Gallery, photos: Path, encoder: ColourEncoder) -> None:
    tag_gallery(labelled, ["red", "blue"], ["{}"], encoder=encoder, min_probability=0)
    forget_paths(labelled, [photos / "trip"], purge=True)
    shutil.copytree(photos / "trip", photos.parent / "elsewhere")
    Indexer(labelled, encoder).run([photos, photos.parent / "elsewhere"])
    assert said(labelled).keys() == {"red-1.jpg", "green.jpg"}
    assert rows(labelled, "SELECT count(*) FROM predicted_tags") == [(6,)]
    assert rows(labelled, "SELECT count(*) FROM kept_labels") == [(0,)]


@pytest.mark.parametrize(("gone", "left"), [("images", (0, 0, 0)), ("encoders", (1, 1, 0))])
def test_what_is_said_goes_with_the_row_that_it_is_about(tmp_path: Path, gone: str, left: tuple[int, int, int]) -> None:
    catalog, folder, encoder = filled(tmp_path / "catalog.sqlite", ["a.jpg"])
    catalog.commit(Batch(indexed=[image(folder, "b.jpg")]), encoder)
    with catalog.transaction() as transaction:
        transaction.connection.exec_driver_sql("INSERT INTO tags (image_id, tag, source) VALUES (1, 'x', 'user')")
        transaction.connection.exec_driver_sql("INSERT INTO captions (image_id, text, source) VALUES (1, 'x', 'user')")
        transaction.connection.exec_driver_sql(
            "INSERT INTO predicted_tags (image_id, encoder_id, tag, probability) VALUES (1, 1, 'x', 0.5)"
        )
    with catalog.transaction() as transaction:
        transaction.connection.exec_driver_sql("DELETE FROM embeddings")
        if gone == "encoders":
            transaction.connection.exec_driver_sql("UPDATE state SET active_encoder_id = NULL")
        transaction.connection.exec_driver_sql(f"DELETE FROM {gone} WHERE id = 1")
    with catalog.transaction() as transaction:
        counts = tuple(
            transaction.connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("tags", "captions", "predicted_tags")
        )
    catalog.close()
    assert counts == left

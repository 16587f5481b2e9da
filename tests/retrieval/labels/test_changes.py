"""Changes of labels and albums that are taken back, and what was said in between stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from indexes.base import Vectors
from retrieval.catalog.albums import album_named, album_with_id, all_albums, pictures_in
from retrieval.catalog.changes import Change, Snapshot, TakenBack, album_states, take_back
from retrieval.catalog.transaction import Transaction
from retrieval.encoders.base import Pixels
from retrieval.errors import UnknownAlbum
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels import albums
from retrieval.labels.labelling import LabelEdit, apply_edit, edit_labels
from retrieval.labels.reading import labels_of
from tests.fakes import ColourEncoder
from tests.pictures import save_picture
from tests.retrieval.states import rows


def said(gallery: Gallery) -> list[tuple[object, ...]]:
    """Everything that people say in a gallery: every row of it but the rows' own numbers."""
    tables = ("tags", "captions", "ratings", "favourites", "hidden", "memberships")
    sql = "SELECT '{0}', image_id, {1}, source FROM {0} ORDER BY 2, 3, 4"
    columns = {"captions": "text", "memberships": "entry_id", "hidden": "hidden"}
    found = [row for table in tables for row in rows(gallery, sql.format(table, columns.get(table, table[:-1])))]
    return [*found, *rows(gallery, "SELECT id, album_id, position FROM album_entries ORDER BY 1"),
            *rows(gallery, "SELECT id, name, cover, deleted_at IS NULL FROM albums ORDER BY 1")]  # fmt: skip


def edited(gallery: Gallery, ids: list[int], edit: LabelEdit) -> Change:
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        before = Snapshot(transaction, edit.kinds, ids)
        apply_edit(transaction, ids, edit)
        return before.change()


def with_album(gallery: Gallery, album_id: int, ids: list[int], do: Callable[[Transaction], object]) -> Change:
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        before = Snapshot(transaction, ["memberships"], ids, [album_id])
        do(transaction)
        return before.change()


def taken_back(gallery: Gallery, change: Change) -> TakenBack:
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        return take_back(transaction, change)


@pytest.fixture
def ids(indexed: Gallery, photos: Path) -> list[int]:
    """Of six pictures; the first is tagged and captioned, the second has been rated by another program."""
    with indexed.reader() as reader:
        found: list[int] = reader.select(Filter()).tolist()
    edit_labels(indexed, [found[0]], LabelEdit(tags=("sea", "Straße"), caption="At the sea.", rating=2))
    with indexed.writer() as catalog, catalog.transaction() as transaction:
        transaction.run("INSERT INTO ratings (image_id, rating, source) VALUES (:id, 4, 'xmp')", {"id": found[1]})
    return found


EDITS = [
    LabelEdit(tags=("beach", "STRASSE")),
    LabelEdit(without_tags=("sea",)),
    LabelEdit(caption="Another."),
    LabelEdit(without_caption=True),
    LabelEdit(rating=5),
    LabelEdit(rating=-1),
    LabelEdit(without_rating=True),
    LabelEdit(favourite=True),
    LabelEdit(hidden=True),
    LabelEdit(tags=("x",), caption="y", rating=0, favourite=True, hidden=True),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: "-".join(edit.kinds))
def test_an_edit_is_taken_back_exactly_and_made_again(indexed: Gallery, ids: list[int], edit: LabelEdit) -> None:
    before = said(indexed)
    change = edited(indexed, ids, edit)
    after = said(indexed)
    assert after != before and change.pictures <= set(ids)
    undone = taken_back(indexed, change)
    assert said(indexed) == before and not undone.pictures and not undone.albums
    redone = taken_back(indexed, undone.change)
    assert said(indexed) == after and not redone.pictures
    taken_back(indexed, redone.change)
    assert said(indexed) == before


def test_what_was_said_since_is_left_and_told(indexed: Gallery, ids: list[int]) -> None:
    change = edited(indexed, ids[:3], LabelEdit(rating=5, caption="New.", tags=("mine",)))
    edit_labels(indexed, [ids[0]], LabelEdit(rating=1))
    edit_labels(indexed, [ids[1]], LabelEdit(without_tags=("mine",), tags=("further",)))
    undone = taken_back(indexed, change)
    assert undone.pictures == [ids[0], ids[1]]
    with indexed.reader() as reader:
        first, second, third = labels_of(reader, ids[:3])
    assert first.ratings == {"user": 1}, "the newer rating stays"
    assert ([c.text for c in first.captions], {t.text for t in first.tags}) == (["At the sea."], {"sea", "straße"})
    assert ({t.text for t in second.tags}, second.ratings, second.captions) == ({"further"}, {"xmp": 4}, [])
    assert (third.tags, third.ratings, third.captions) == ([], {}, [])


def test_a_further_tag_is_no_conflict(indexed: Gallery, ids: list[int]) -> None:
    change = edited(indexed, ids, LabelEdit(tags=("mine",)))
    edit_labels(indexed, ids, LabelEdit(tags=("yours",)))
    assert not taken_back(indexed, change).pictures
    with indexed.reader() as reader:
        assert {tag.text for tag in labels_of(reader, [ids[3]])[0].tags} == {"yours"}


def test_a_purged_picture_is_left(indexed: Gallery, ids: list[int], photos: Path) -> None:
    from retrieval.indexing.forgetting import forget_paths

    change = edited(indexed, ids, LabelEdit(without_tags=("sea",), favourite=True))
    with indexed.reader() as reader:
        path = reader.records([ids[0]])[0].path
    forget_paths(indexed, [Path(path)], purge=True)
    assert taken_back(indexed, change).pictures == [ids[0]]
    assert [row for row in said(indexed) if row[0] == "favourites"] == []


def test_albums_are_put_back_with_their_order_cover_and_name(indexed: Gallery, ids: list[int]) -> None:
    albums.create_album(indexed, "Trip", ids[:4])
    with indexed.reader() as reader:
        trip = album_named(reader, "trip").id
    with_row = {
        "put in": (ids[4:], lambda t: albums.append(t, album_with_id(t, trip), ids[3:])),
        "taken out": (ids[:2], lambda t: albums.take_out(t, album_with_id(t, trip), ids[1:3])),
        "ordered": ([], lambda t: albums.put_first(t, album_with_id(t, trip), [ids[3], ids[0]])),
        "cover": ([], lambda t: albums.set_cover(t, album_with_id(t, trip), ids[4])),
        "renamed": ([], lambda t: albums.rename(t, album_with_id(t, trip), "Journey")),
    }
    for name, (_, do) in with_row.items():
        before = said(indexed)
        change = with_album(indexed, trip, ids, do)
        after = said(indexed)
        assert after != before, name
        undone = taken_back(indexed, change)
        assert said(indexed) == before and not undone.albums and not undone.pictures, name
        taken_back(indexed, undone.change)
        assert said(indexed)[-1] == after[-1], name
    with indexed.reader() as reader:
        assert pictures_in(reader, trip) == [ids[3], ids[0], ids[4], ids[5]]
        assert album_named(reader, "Journey").cover == ids[4]


def test_an_album_that_changed_since_is_left(indexed: Gallery, ids: list[int]) -> None:
    with indexed.labeller() as catalog, catalog.transaction() as transaction:
        made = albums.insert_album(transaction, "New", ids[:2])
        state = album_states(transaction, [made])[made]
        creation = Change(albums=((state._replace(deleted_at="now"), state),))
    renaming = with_album(indexed, made, [], lambda t: albums.rename(t, album_with_id(t, made), "Newer"))
    albums.add_to_album(indexed, "Newer", [ids[2]])
    assert taken_back(indexed, creation).albums == ["Newer"]
    assert taken_back(indexed, renaming).albums == []
    assert taken_back(indexed, creation).albums == ["New"], "it holds a further picture"
    albums.remove_from_album(indexed, "New", [ids[2]])
    deleted = taken_back(indexed, creation)
    with indexed.reader() as reader:
        assert not all_albums(reader)
        with pytest.raises(UnknownAlbum):
            album_with_id(reader, made)
    albums.create_album(indexed, "new")
    assert taken_back(indexed, deleted.change).albums == ["New"], "its name is taken"
    albums.rename_album(indexed, "new", "other")
    assert taken_back(indexed, deleted.change).albums == []
    with indexed.reader() as reader:
        assert pictures_in(reader, made) == ids[:2]


class Labelling(ColourEncoder):
    """Somebody labels pictures whenever a batch is being encoded: the run holds the gallery then."""

    def __init__(self, gallery: Gallery, ids: list[int]) -> None:
        super().__init__()
        self.gallery, self.ids, self.times = gallery, ids, 0

    def encode_images(self, pixels: Pixels) -> Vectors:
        self.times += 1
        edit_labels(self.gallery, self.ids, LabelEdit(tags=(f"during-{self.times}",), rating=self.times % 6))
        albums.create_album(self.gallery, f"album {self.times}", self.ids[:1])
        return super().encode_images(pixels)


def test_labels_are_written_while_a_run_indexes(indexed: Gallery, ids: list[int], photos: Path) -> None:
    for seed in range(3):
        save_picture(photos / f"new-{seed}.png", "blue", seed=100 + seed)
    encoder = Labelling(indexed, ids)
    report = Indexer(indexed, encoder).run(photos)
    assert report.encoded == 3 and encoder.times
    with indexed.reader() as reader:
        for labels in labels_of(reader, ids):
            tags = {tag.text for tag in labels.tags}
            assert {f"during-{n}" for n in range(1, encoder.times + 1)} <= tags
            assert labels.ratings["user"] == encoder.times % 6
        assert len(all_albums(reader)) == encoder.times

"""Albums of the gallery: creating, filling, ordering, renaming, deleting and restoring them.

Membership in an album is stored for pictures like a tag: it moves with them, outlives `forget`, and is merged into the
copy that is kept of duplicates. The album of a saved search contains the results of that search, see
``search/saved_search.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog import albums
from retrieval.catalog.albums import AlbumRow, album_named, deleted_album, is_album, pictures_in
from retrieval.catalog.labels import add_said
from retrieval.errors import QueryError
from retrieval.labels.labelling import find_images
from retrieval.labels.reading import USER
from retrieval.tag_text import clean_album
from retrieval.undone import Refused

if TYPE_CHECKING:
    from retrieval.catalog.access import Rows
    from retrieval.catalog.transaction import Transaction
    from retrieval.gallery import Gallery

Target = str | Path | int
"""A picture, a folder, an id, or ``id:12``; see ``labelling.find_images``."""


@dataclass(frozen=True)
class AlbumEdit:
    """The result of an edit: the album's name, the number of pictures named, and how many were added or removed."""

    name: str
    pictures: int
    changed: int


def create_album(
    gallery: Gallery,
    name: str,
    targets: Sequence[Target] = (),
    *,
    recipe: str | None = None,
    refused: Refused | None = None,
) -> AlbumEdit:
    """Create an album, with pictures in it or from a saved search.

    Args:
        targets, refused: see ``labelling.find_images``.
        recipe: of a saved search, see ``search.saved_search.SavedSearch.to_text``.

    Raises:
        QueryError: the name is invalid, or an album has it, ignoring case.
        UnknownImage: the gallery does not hold a picture; no album is created then.
        GalleryNotFound, GalleryLocked: there is no gallery; see ``Gallery.labeller``.
    """
    name, ids = clean_album(name), _found(gallery, targets, refused)
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        insert_album(transaction, name, ids, recipe)
    return AlbumEdit(name, len(ids), len(ids))


def insert_album(transaction: Transaction, name: str, ids: Sequence[int] = (), recipe: str | None = None) -> int:
    """The same in a transaction, with ids of the gallery; the album's id."""
    name = clean_album(name)
    _refuse_taken(transaction, name)
    album_id = albums.insert_album(transaction, name, recipe)
    _put_in(transaction, album_id, ids)
    return album_id


def add_to_album(gallery: Gallery, name: str, targets: Sequence[Target], refused: Refused | None = None) -> AlbumEdit:
    """Add pictures to the end of an album, in the order in which they are named; those already in it keep their place.

    Raises:
        QueryError: there is no such album, or it is a saved search.
        UnknownImage: see ``labelling.find_images``; nothing is changed then.
    """
    ids = _found(gallery, targets, refused)
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        album = album_named(transaction, name)
        added = append(transaction, album, ids)
    return AlbumEdit(album.name, len(ids), added)


def append(transaction: Transaction, album: AlbumRow, ids: Sequence[int]) -> int:
    """The same in a transaction, with ids of the gallery; how many were added."""
    _refuse_search(album)
    known = set(pictures_in(transaction, album.id))
    new = [id_ for id_ in ids if id_ not in known]
    _put_in(transaction, album.id, new)
    return len(new)


def remove_from_album(
    gallery: Gallery, name: str, targets: Sequence[Target], refused: Refused | None = None
) -> AlbumEdit:
    """Remove pictures from an album; raises as :func:`add_to_album`."""
    ids = _found(gallery, targets, refused)
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        album = album_named(transaction, name)
        gone = take_out(transaction, album, ids)
    return AlbumEdit(album.name, len(ids), gone)


def take_out(transaction: Transaction, album: AlbumRow, ids: Sequence[int]) -> int:
    """The same in a transaction, with ids of the gallery; how many were removed."""
    _refuse_search(album)
    return albums.take_out(transaction, album.id, ids)


def order_album(gallery: Gallery, name: str, targets: Sequence[Target]) -> None:
    """Put these pictures first in an album, in the order in which they are named; the others follow as before.

    Raises:
        QueryError: as :func:`add_to_album`; a picture that is not in the album.
    """
    ids = _found(gallery, targets)
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        put_first(transaction, album_named(transaction, name), ids)


def put_first(transaction: Transaction, album: AlbumRow, ids: Sequence[int]) -> None:
    """The same in a transaction, with ids of the gallery."""
    _refuse_search(album)
    first = [_entry(transaction, album, id_) for id_ in ids]
    moved = set(first)
    rest = [entry for entry, _ in albums.entries_of(transaction, album.id) if entry not in moved]
    albums.put_in_order(transaction, [*first, *rest], behind=0)


def choose_cover(gallery: Gallery, name: str, target: Target) -> None:
    """Make a picture of an album its cover; raises as :func:`order_album`."""
    ids = _found(gallery, [target])
    if len(ids) != 1:
        raise QueryError(f"{target} is a folder", "name one picture")
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        set_cover(transaction, album_named(transaction, name), ids[0])


def set_cover(transaction: Transaction, album: AlbumRow, image_id: int) -> None:
    """The same in a transaction, with an id of the gallery."""
    _refuse_search(album)
    albums.set_cover(transaction, album.id, _entry(transaction, album, image_id))


def rename_album(gallery: Gallery, name: str, new: str) -> tuple[str, str]:
    """Give an album another name; the old and the new one as they are stored.

    Raises:
        QueryError: there is no such album, or another one has the new name.
    """
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        album = album_named(transaction, name)
        return album.name, rename(transaction, album, new)


def rename(transaction: Transaction, album: AlbumRow, new: str) -> str:
    """The same in a transaction; the new name as it is stored."""
    new = clean_album(new)
    _refuse_taken(transaction, new, but=album.id)
    albums.rename(transaction, album.id, new)
    return new


def delete_album(gallery: Gallery, name: str) -> AlbumRow:
    """Delete an album, not its pictures; :func:`undelete_album` restores it unchanged.

    Raises:
        QueryError: there is no such album.
    """
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        album = album_named(transaction, name)
        albums.set_deleted(transaction, album.id, deleted=True)
    return album


def undelete_album(gallery: Gallery, name: str) -> AlbumRow:
    """Restore the most recently deleted album of this name.

    Raises:
        QueryError: none was deleted, or another one has its name now.
    """
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        album = deleted_album(transaction, name)
        _refuse_taken(transaction, album.name)
        albums.set_deleted(transaction, album.id, deleted=False)
    return album


def _found(gallery: Gallery, targets: Sequence[Target], refused: Refused | None = None) -> list[int]:
    with gallery.reader() as reader:
        return find_images(reader, targets, refused)


def _put_in(transaction: Transaction, album_id: int, ids: Sequence[int]) -> None:
    entries = albums.new_entries(transaction, album_id, len(ids))
    add_said(transaction, "memberships", [(id_, entry, USER) for id_, entry in zip(ids, entries, strict=True)])


def _refuse_search(album: AlbumRow) -> None:
    if album.recipe is not None:
        raise QueryError(f"the album {album.name!r} is a saved search", "its pictures are what that finds")


def _entry(rows: Rows, album: AlbumRow, image_id: int) -> int:
    entry = albums.entry_of(rows, album.id, image_id)
    if entry is None:
        raise QueryError(f"picture id:{image_id} is not in the album {album.name!r}", "add it first")
    return entry


def _refuse_taken(rows: Rows, name: str, but: int | None = None) -> None:
    if is_album(rows, name) and (known := album_named(rows, name)).id != but:
        raise QueryError(f"there is an album {known.name!r} already", "choose another name, or rename that one")

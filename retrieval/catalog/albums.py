"""The tables of albums: their names, order and saved searches. Membership is stored like a tag.

An album has entries, which define its order. A picture is at an entry by a row of ``memberships``, which
``catalog/labels.py`` keeps and moves with the picture like everything else that people say about it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.records import utc_now
from retrieval.errors import QueryError, UnknownAlbum
from retrieval.filters.conditions import NAMED
from retrieval.folding import fold
from retrieval.paths import is_below

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


class AlbumRow(NamedTuple):
    """An album.

    Attributes:
        recipe: JSON of the saved search that the album is, see ``search/saved_search.py``; None: filled by hand.
        pictures: how many present pictures are in it, hidden ones left out; 0 for a saved search.
        cover: id of the picture shown for the album; None: it has none.
        created_at, deleted_at: UTC, ISO 8601; a deleted album can be restored.
    """

    id: int
    name: str
    recipe: str | None
    pictures: int
    cover: int | None
    created_at: str
    deleted_at: str | None


_MEMBERS = """memberships AS m JOIN album_entries AS e ON e.id = m.entry_id
    JOIN images AS i ON i.id = m.image_id AND NOT i.is_retired"""

_SHOWN = f"{_MEMBERS} AND i.id NOT IN (SELECT image_id FROM hidden)"

_ALBUM = f"""SELECT a.id, a.name, a.recipe,
    (SELECT count(DISTINCT m.image_id) FROM {_SHOWN} WHERE e.album_id = a.id),
    coalesce((SELECT min(m.image_id) FROM {_SHOWN} WHERE e.id = a.cover),
             (SELECT m.image_id FROM {_SHOWN} WHERE e.album_id = a.id ORDER BY e.position, m.image_id LIMIT 1)),
    a.created_at, a.deleted_at FROM albums AS a"""


# Reading


def all_albums(rows: Rows, *, deleted: bool = False) -> list[AlbumRow]:
    """The albums by name, or the deleted ones, the last deleted first."""
    which = "a.deleted_at IS NOT NULL ORDER BY a.deleted_at DESC, a.id DESC" if deleted else "a.deleted_at IS NULL"
    order = "" if deleted else " ORDER BY a.name_key"
    return [AlbumRow(*row) for row in rows.rows(f"{_ALBUM} WHERE {which}{order}")]


def album_named(rows: Rows, name: str) -> AlbumRow:
    """The album of this name, ignoring case.

    Raises:
        QueryError: there is none; the hint offers similar names.
    """
    found = rows.rows(f"{_ALBUM} WHERE a.deleted_at IS NULL AND a.name_key = :key", {"key": fold(name)})
    if found:
        return AlbumRow(*found[0])
    known = {fold(row[0]): row[0] for row in rows.rows("SELECT name FROM albums WHERE deleted_at IS NULL")}
    near = [known[key] for key in get_close_matches(fold(name), known, n=3, cutoff=0.6)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"there are: {', '.join(list(known.values())[:6])}" if known else "make it: photoseek album create NAME"
    raise QueryError(f"there is no album {name!r}", hint)


def album_with_id(rows: Rows, album_id: int) -> AlbumRow:
    """The album with this id, which is not deleted.

    Raises:
        UnknownAlbum: there is none.
    """
    found = rows.rows(f"{_ALBUM} WHERE a.deleted_at IS NULL AND a.id = :album", {"album": album_id})
    if not found:
        raise UnknownAlbum(f"there is no album with the id {album_id}", "it may have been deleted; ask for /albums")
    return AlbumRow(*found[0])


def deleted_album(rows: Rows, name: str) -> AlbumRow:
    """The most recently deleted album of this name.

    Raises:
        QueryError: no album of this name was deleted.
    """
    sql = f"{_ALBUM} WHERE a.deleted_at IS NOT NULL AND a.name_key = :key ORDER BY a.deleted_at DESC, a.id DESC LIMIT 1"
    found = rows.rows(sql, {"key": fold(name)})
    if not found:
        raise QueryError(f"no album {name!r} was deleted", "list those that were: photoseek album list --deleted")
    return AlbumRow(*found[0])


def is_album(rows: Rows, name: str) -> bool:
    """Whether there is an album of this name, ignoring case."""
    sql = "SELECT 1 FROM albums WHERE deleted_at IS NULL AND name_key = :key"
    return bool(rows.rows(sql, {"key": fold(name)}))


def pictures_in(rows: Rows, album_id: int, *, for_list: bool = False) -> list[int]:
    """The present pictures that people put into an album, each once, in its order.

    Args:
        for_list: for people to look at: without hidden ones.
    """
    members = _SHOWN if for_list else _MEMBERS
    sql = f"SELECT m.image_id, min(e.position) FROM {members} WHERE e.album_id = :album GROUP BY 1 ORDER BY 2, 1"
    return [row[0] for row in rows.rows(sql, {"album": album_id})]


def albums_of(rows: Rows, ids: Sequence[int]) -> list[tuple[int, str]]:
    """(image id, name) of the albums that people put images into, by name; saved searches are not evaluated."""
    return [
        (row[0], row[1])
        for names, values in id_lists(ids)
        for row in rows.rows(
            f"""SELECT DISTINCT m.image_id, a.name, a.name_key FROM memberships AS m
                JOIN album_entries AS e ON e.id = m.entry_id
                JOIN albums AS a ON a.id = e.album_id AND a.deleted_at IS NULL
                WHERE m.image_id IN ({names}) ORDER BY 1, 3""",
            values,
        )
    ]


def album_pairs(rows: Rows) -> list[tuple[int, str]]:
    """(image id, album) for all that people put into albums, each pair once, retired pictures included."""
    return rows.rows(
        """SELECT DISTINCT m.image_id, a.name FROM memberships AS m JOIN album_entries AS e ON e.id = m.entry_id
           JOIN albums AS a ON a.id = e.album_id AND a.deleted_at IS NULL"""
    )


# Writing


def insert_album(transaction: Transaction, name: str, recipe: str | None) -> int:
    """Create an album with an unused name; its id."""
    return transaction.insert(
        "INSERT INTO albums (name, name_key, recipe, created_at) VALUES (:name, :key, :recipe, :now)",
        {"name": name, "key": fold(name), "recipe": recipe, "now": utc_now()},
    )


def rename(transaction: Transaction, album_id: int, name: str) -> None:
    """Give an album an unused name."""
    sql = "UPDATE albums SET name = :name, name_key = :key WHERE id = :album"
    transaction.run(sql, {"name": name, "key": fold(name), "album": album_id})


def set_deleted(transaction: Transaction, album_id: int, *, deleted: bool) -> None:
    """Mark an album as deleted, keeping all its contents, or restore it."""
    sql = "UPDATE albums SET deleted_at = :at WHERE id = :album"
    transaction.run(sql, {"at": utc_now() if deleted else None, "album": album_id})


def new_entries(transaction: Transaction, album_id: int, count: int) -> list[int]:
    """New entries after the last one of an album; their ids."""
    sql = "SELECT coalesce(max(position), 0) FROM album_entries WHERE album_id = :album"
    last = transaction.rows(sql, {"album": album_id})[0][0]
    sql = "INSERT INTO album_entries (album_id, position) VALUES (:album, :position)"
    return [transaction.insert(sql, {"album": album_id, "position": last + at}) for at in range(1, count + 1)]


def take_out(transaction: Transaction, album_id: int, ids: Sequence[int]) -> int:
    """Remove images from an album, whoever put them in; how many were in it. Unused entries are deleted too."""
    gone = sum(
        transaction.run(
            """DELETE FROM memberships WHERE image_id = :image
               AND entry_id IN (SELECT id FROM album_entries WHERE album_id = :album)""",
            {"image": id_, "album": album_id},
        )
        > 0
        for id_ in ids
    )
    drop_unused_entries(transaction, album_id)
    return gone


def drop_unused_entries(transaction: Transaction, album_id: int) -> None:
    """Delete the entries of an album that hold no picture, not even one that is gone and may return."""
    transaction.run(
        """DELETE FROM album_entries WHERE album_id = :album AND id NOT IN (SELECT entry_id FROM memberships)
           AND id NOT IN (SELECT CAST(text AS INTEGER) FROM kept_labels WHERE kind = 'membership')""",
        {"album": album_id},
    )


def entry_of(rows: Rows, album_id: int, image_id: int) -> int | None:
    """The first entry of an album that holds an image; None: it is not in the album."""
    sql = """SELECT e.id FROM memberships AS m JOIN album_entries AS e ON e.id = m.entry_id
             WHERE e.album_id = :album AND m.image_id = :image ORDER BY e.position LIMIT 1"""
    found = rows.rows(sql, {"album": album_id, "image": image_id})
    return found[0][0] if found else None


def set_cover(transaction: Transaction, album_id: int, entry_id: int) -> None:
    """Make the picture at an entry the album's cover."""
    sql = "UPDATE albums SET cover = :entry WHERE id = :album"
    transaction.run(sql, {"entry": entry_id, "album": album_id})


def put_in_order(transaction: Transaction, entries: Sequence[int], *, behind: int) -> None:
    """Put entries in this order, at the positions after ``behind``."""
    moved = [{"position": behind + at, "entry": entry} for at, entry in enumerate(entries, 1)]
    transaction.run("UPDATE album_entries SET position = :position WHERE id = :entry", moved)


def entries_of(rows: Rows, album_id: int) -> list[tuple[int, int | None]]:
    """(entry, a present image there) of an album in its order; None where no image is present."""
    sql = """SELECT e.id, (SELECT m.image_id FROM memberships AS m JOIN images AS i ON i.id = m.image_id
             WHERE m.entry_id = e.id AND NOT i.is_retired ORDER BY m.image_id LIMIT 1)
             FROM album_entries AS e WHERE e.album_id = :album ORDER BY e.position, e.id"""
    return [(row[0], row[1]) for row in rows.rows(sql, {"album": album_id})]


PURGED = "(purged)"
"""Replaces the name of a purged folder or file in a saved search, which then finds nothing there, as before."""


def hide_in_searches(transaction: Transaction, path: str) -> tuple[str, ...]:
    """Remove a purged path from the conditions of all saved searches, deleted ones included.

    Folders at or below it, and its name in patterns, are replaced by :data:`PURGED`: without the condition, the search
    would find more than before. The words of a query are left as they are.

    Returns:
        The names of the albums that were changed.
    """
    changed = []
    for id_, name, recipe in transaction.rows("SELECT id, name, recipe FROM albums WHERE recipe IS NOT NULL"):
        try:
            told = json.loads(recipe)
            conditions = told["filter"]
            kept = {field: _hidden(field, value, path) for field, value in conditions.items()}
        except (ValueError, TypeError, KeyError, AttributeError):  # damaged, or without conditions
            continue
        if kept != conditions:
            text = json.dumps(told | {"filter": kept})
            transaction.run("UPDATE albums SET recipe = :recipe WHERE id = :id", {"recipe": text, "id": id_})
            changed.append(str(name))
    return tuple(changed)


def _hidden(field: str, value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_hidden(field, each, path) for each in value]
    condition = NAMED.get(field.removeprefix("no_"))
    if not isinstance(value, str) or condition is None:
        return value
    if condition.kind == "folder":
        return f"/{PURGED}" if is_below(value, path) else value
    if condition.kind == "pattern":
        own = fold(os.path.basename(path))
        return "/".join(PURGED if fold(part) == own else part for part in value.split("/"))
    return value

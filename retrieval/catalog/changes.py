"""What a change of labels and albums did to their rows, and taking exactly that back.

A change is found by reading the rows in question before and after it, in the same transaction. Taking it back checks
first that the rows are still as the change left them: what somebody else said since is never overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.albums import drop_unused_entries
from retrieval.catalog.images import known_ids
from retrieval.catalog.labels import Kind, add_said, put_said, remove_said, said_of

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

_SINGLE: tuple[Kind, ...] = ("captions", "ratings")
"""Kinds of which a person says one value at a time: a newer one is a conflict, whereas a further tag is none."""


class LabelRow(NamedTuple):
    """One row of a label table: a text or a number that a source gives an image."""

    kind: Kind
    image_id: int
    value: str | int
    source: str


class AlbumState(NamedTuple):
    """An album as a change leaves it. ``pictures`` counts its rows of memberships, retired pictures included."""

    id: int
    name: str
    name_key: str
    cover: int | None
    deleted_at: str | None
    pictures: int


class EntryRow(NamedTuple):
    """A position in the order of an album."""

    id: int
    album_id: int
    position: int


@dataclass(frozen=True)
class Change:
    """The rows that a change removed and added; of albums and entries their state before and after.

    Of a caption or a rating, ``removed`` and ``added`` hold all rows of the image before and after.
    """

    removed: tuple[LabelRow, ...] = ()
    added: tuple[LabelRow, ...] = ()
    albums: tuple[tuple[AlbumState, AlbumState], ...] = ()
    entries: tuple[tuple[EntryRow | None, EntryRow | None], ...] = ()

    def __len__(self) -> int:
        """The number of rows that it holds."""
        return len(self.removed) + len(self.added) + len(self.albums) + len(self.entries)

    @property
    def pictures(self) -> set[int]:
        """The ids of the images whose labels it changed."""
        return {row.image_id for row in (*self.removed, *self.added)}


@dataclass
class TakenBack:
    """The result of taking a change back.

    Attributes:
        change: what that did, so that it can be taken back in turn.
        pictures: ids of images that were left as they are, because they were changed since.
        albums: names of albums for which the same holds.
    """

    change: Change
    pictures: list[int] = field(default_factory=list)
    albums: list[str] = field(default_factory=list)


class Snapshot:
    """The rows that a change may touch, as they are before it.

    Args:
        kinds, ids: the labels of these images.
        albums: ids of albums: their name, cover and order.
    """

    def __init__(
        self, transaction: Transaction, kinds: Sequence[Kind] = (), ids: Sequence[int] = (), albums: Sequence[int] = ()
    ) -> None:
        self._transaction, self._kinds, self._ids, self._albums = transaction, kinds, ids, albums
        self._labels, self._states, self._entries = self._read()

    def change(self) -> Change:
        """What has happened to these rows since."""
        labels, states, entries = self._read()
        changed = {(row.kind, row.image_id) for row in labels ^ self._labels if row.kind in _SINGLE}
        kept = {row for row in labels & self._labels if (row.kind, row.image_id) in changed}
        return Change(
            tuple(sorted((self._labels - labels) | kept, key=_order)),
            tuple(sorted((labels - self._labels) | kept, key=_order)),
            tuple((before, states[id_]) for id_, before in self._states.items() if states[id_] != before),
            tuple(
                (self._entries.get(id_), entries.get(id_))
                for id_ in sorted(self._entries.keys() | entries.keys())
                if self._entries.get(id_) != entries.get(id_)
            ),
        )

    def _read(self) -> tuple[set[LabelRow], dict[int, AlbumState], dict[int, EntryRow]]:
        labels = {
            LabelRow(kind, *row) for kind in self._kinds for row in said_of(self._transaction, kind, self._ids)
        }  # fmt: skip
        states = album_states(self._transaction, self._albums)
        return labels, states, {entry.id: entry for entry in _entries(self._transaction, self._albums)}


def album_states(rows: Rows, ids: Sequence[int]) -> dict[int, AlbumState]:
    """Id -> state of albums, deleted ones included."""
    sql = """SELECT a.id, a.name, a.name_key, a.cover, a.deleted_at,
             (SELECT count(*) FROM memberships AS m JOIN album_entries AS e ON e.id = m.entry_id
              WHERE e.album_id = a.id) FROM albums AS a WHERE a.id IN ({})"""
    found = [AlbumState(*row) for names, values in id_lists(ids) for row in rows.rows(sql.format(names), values)]
    return {state.id: state for state in found}


def _entries(rows: Rows, albums: Sequence[int]) -> list[EntryRow]:
    sql = "SELECT id, album_id, position FROM album_entries WHERE album_id IN ({})"
    return [EntryRow(*row) for names, values in id_lists(albums) for row in rows.rows(sql.format(names), values)]


def take_back(transaction: Transaction, change: Change) -> TakenBack:
    """Put the rows of a change back as they were before it, except those that were changed since.

    Labels are decided picture by picture and kind by kind; an album's name, cover or order as a whole.
    """
    kinds = {row.kind for row in (*change.removed, *change.added)}
    ids = sorted(change.pictures)
    albums = {state.id for _, state in change.albums}
    albums |= {entry.album_id for pair in change.entries for entry in pair if entry is not None}
    before = Snapshot(transaction, sorted(kinds), ids, sorted(albums))
    refused = _put_albums(transaction, change)
    _put_entries(transaction, change)
    conflicts = _put_labels(transaction, change, sorted(kinds), ids)
    for album_id in sorted(albums):
        drop_unused_entries(transaction, album_id)
    return TakenBack(before.change(), conflicts, refused)


def _put_labels(transaction: Transaction, change: Change, kinds: Sequence[Kind], ids: Sequence[int]) -> list[int]:
    """Ids of images that were changed since."""
    now: dict[tuple[Kind, int], set[LabelRow]] = {}
    for kind in kinds:
        for row in said_of(transaction, kind, ids):
            now.setdefault((kind, row.image_id), set()).add(LabelRow(kind, *row))
    removed, added = _by_picture(change.removed), _by_picture(change.added)
    there = known_ids(transaction, ids)
    conflicts: set[int] = set()
    going: list[LabelRow] = []
    coming: list[LabelRow] = []
    for key in removed.keys() | added.keys():
        kind, image_id = key
        was, left, current = removed.get(key, set()), added.get(key, set()), now.get(key, set())
        is_untouched = current == left if kind in _SINGLE else left <= current and not was & current
        if image_id not in there or not is_untouched:
            conflicts.add(image_id)
            continue
        going += left - was
        coming += was - left
    for (kind, source, value), image_ids in _grouped(going).items():
        remove_said(transaction, kind, image_ids, [source], value=value)
    for kind in kinds:
        rows = [(row.image_id, row.value, row.source) for row in sorted(coming, key=_order) if row.kind == kind]
        (add_said if kind == "tags" else put_said)(transaction, kind, rows)
    return sorted(conflicts)


def _put_albums(transaction: Transaction, change: Change) -> list[str]:
    """Names of albums that were changed since."""
    now = album_states(transaction, [after.id for _, after in change.albums])
    refused = []
    for before, after in change.albums:
        current = now.get(after.id)
        # To delete an album again that got further pictures since would take these away.
        counted = before.deleted_at is not None and after.deleted_at is None
        same = current if counted or current is None else current._replace(pictures=after.pictures)
        if same != after or (before.deleted_at is None and _is_taken(transaction, before)):
            refused.append(after.name if current is None else current.name)
            continue
        sql = """UPDATE albums SET name = :name, name_key = :name_key, cover = :cover, deleted_at = :deleted_at
                 WHERE id = :id"""
        transaction.run(sql, before._asdict())
    orders = {after.album_id for was, after in change.entries if was is not None and after is not None}
    entries = {entry.id: entry for entry in _entries(transaction, sorted(orders))}
    for album_id in sorted(orders):
        moved = [(was, after) for was, after in change.entries if was and after and after.album_id == album_id]
        if any(entries.get(after.id) != after for _, after in moved):
            refused += [state.name for state in album_states(transaction, [album_id]).values()]
            continue
        sql = "UPDATE album_entries SET position = :position WHERE id = :id"
        transaction.run(sql, [was._asdict() for was, _ in moved])
    return refused


def _is_taken(rows: Rows, state: AlbumState) -> bool:
    sql = "SELECT 1 FROM albums WHERE deleted_at IS NULL AND name_key = :name_key AND id <> :id"
    return bool(rows.rows(sql, {"name_key": state.name_key, "id": state.id}))


def _put_entries(transaction: Transaction, change: Change) -> None:
    """Make the entries again that the change removed; those that it made are dropped with their last picture."""
    transaction.run(
        "INSERT INTO album_entries (id, album_id, position) VALUES (:id, :album_id, :position) ON CONFLICT DO NOTHING",
        [was._asdict() for was, after in change.entries if was is not None and after is None],
    )


def _by_picture(rows: Iterable[LabelRow]) -> dict[tuple[Kind, int], set[LabelRow]]:
    found: dict[tuple[Kind, int], set[LabelRow]] = {}
    for row in rows:
        found.setdefault((row.kind, row.image_id), set()).add(row)
    return found


def _grouped(rows: Iterable[LabelRow]) -> dict[tuple[Kind, str, str | int], list[int]]:
    found: dict[tuple[Kind, str, str | int], list[int]] = {}
    for row in rows:
        found.setdefault((row.kind, row.source, row.value), []).append(row.image_id)
    return found


def _order(row: LabelRow) -> tuple[str, int, str, str]:
    return row.kind, row.image_id, row.source, str(row.value)

"""Keep labels with their picture when files move.

A moved file keeps its row and everything that hangs on it. But renaming a numbered series (1 to 2, 2 to 3, ...) leaves
each path with another known picture, and tags that stayed with the path would all be wrong.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from retrieval.paths import decode_path, is_below
from retrieval.regular_files import digest_of, open_regular

if TYPE_CHECKING:
    from sqlalchemy import Connection

_TABLES = (("tags", "tag"), ("captions", "text"), ("ratings", "rating"))
_KINDS = ("tag", "caption", "rating")


class _Labels(NamedTuple):
    """Rows of (text or number, source)."""

    tags: list[tuple[str, str]]
    captions: list[tuple[str, str]]
    ratings: list[tuple[int, str]]


@dataclass
class _Displaced:
    """What was said about a picture that a path showed until this run, and whether that row still carries it."""

    image_id: int
    labels: _Labels
    is_still_there: bool


class LabelMoves:
    """Moves labels from row to row as pictures turn up at other paths; one for each run."""

    def __init__(self) -> None:
        self._displaced: dict[bytes, _Displaced] = {}
        self._is_needed = True

    def begin(self, connection: Connection) -> None:
        """Before a transaction's rows: a gallery in which nobody has labelled anything pays one statement for all."""
        tables = [*(table for table, _ in _TABLES), "kept_labels"]
        any_label = " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables)
        found = connection.exec_driver_sql(f"SELECT {any_label}")
        self._is_needed = bool(self._displaced) or bool(found.scalar_one())

    def follow(
        self,
        connection: Connection,
        image_id: int,
        new: bytes,
        *,
        old: bytes | None,
        is_edit: bool,
        unplugged: Sequence[str],
    ) -> None:
        """A row shows another picture than before, or is new; called when it has its new content hash.

        A picture that the catalog knew from another file, which no longer shows it, brings its labels along. One that
        nobody knew is an edit of what was there before and keeps the labels, if ``is_edit``. Labels that are left
        without a row are kept by the content that they belong to, and come back with it.

        Args:
            old, new: content hashes; ``old`` is None for a new row.
            unplugged: mount points that are not mounted now; a file below one still shows what it did.
        """
        if not self._is_needed:
            return
        before = _read(connection, image_id) if old is not None else _Labels([], [], [])
        is_known, brought = self._brought(connection, image_id, new, unplugged)
        keeps = is_edit and not is_known
        if old is not None and any(before):
            self._displaced[old] = _Displaced(image_id, before, keeps)
        if old is not None and not keeps:
            _keep(connection, old, before)
            _clear(connection, image_id)
        if brought is not None:
            _write(connection, image_id, brought)

    def _brought(
        self, connection: Connection, image_id: int, new: bytes, unplugged: Sequence[str]
    ) -> tuple[bool, _Labels | None]:
        """Whether the picture was known before, and the labels that it takes along from where it was."""
        displaced = self._displaced.pop(new, None)
        kept = _taken_out(connection, new)
        if displaced is not None:
            if displaced.is_still_there:
                _clear(connection, displaced.image_id)
            return True, displaced.labels
        others = connection.exec_driver_sql(
            """SELECT i.id, f.path, i.name, i.size, i.mtime_ns, i.is_retired FROM images AS i
               JOIN folders AS f ON f.id = i.folder_id WHERE i.content_hash = ? AND i.id <> ? ORDER BY i.id""",
            (new, image_id),
        ).fetchall()
        for other, folder, name, size, mtime_ns, is_retired in others:
            path = os.path.join(decode_path(folder), decode_path(name))
            labels = _read(connection, other)
            if not any(labels):
                continue
            if not _shows_still(path, size, mtime_ns, new, unplugged):
                _clear(connection, other)
            elif not is_retired:
                continue
            # What was forgotten keeps its labels where it lies, too, in case that folder comes back.
            return True, _Labels(
                labels.tags + kept.tags, labels.captions + kept.captions, labels.ratings + kept.ratings
            )
        return bool(others) or any(kept), kept if any(kept) else None


def _shows_still(path: str, size: int, mtime_ns: int, digest: bytes, unplugged: Sequence[str]) -> bool:
    if any(is_below(path, mount) for mount in unplugged):
        return True
    try:
        found = os.stat(path)
        if found.st_size != size:
            return False
        if found.st_mtime_ns == mtime_ns:
            return True
        with open_regular(path) as file:
            return digest_of(file) == digest
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # out of reach says nothing
        return True


def _read(connection: Connection, image_id: int) -> _Labels:
    found = [
        connection.exec_driver_sql(f"SELECT {column}, source FROM {table} WHERE image_id = ?", (image_id,)).fetchall()
        for table, column in _TABLES
    ]
    return _Labels(*([(row[0], row[1]) for row in rows] for rows in found))


def _clear(connection: Connection, image_id: int) -> None:
    for table, _ in _TABLES:
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE image_id = ?", (image_id,))


def _write(connection: Connection, image_id: int, labels: _Labels) -> None:
    said: Sequence[Sequence[tuple[str | int, str]]] = labels
    for (table, column), rows in zip(_TABLES, said, strict=True):
        if rows:
            connection.exec_driver_sql(
                f"INSERT OR IGNORE INTO {table} (image_id, {column}, source) VALUES (?, ?, ?)",
                [(image_id, text, source) for text, source in rows],
            )


def _keep(connection: Connection, content_hash: bytes, labels: _Labels) -> None:
    """Remember labels by the content of their picture."""
    said: Sequence[Sequence[tuple[str | int, str]]] = labels
    rows = [(content_hash, kind, str(row[0]), row[1]) for kind, each in zip(_KINDS, said, strict=True) for row in each]
    if rows:
        connection.exec_driver_sql(
            "INSERT OR IGNORE INTO kept_labels (content_hash, kind, text, source) VALUES (?, ?, ?, ?)", rows
        )


def _taken_out(connection: Connection, content_hash: bytes) -> _Labels:
    """The labels that are kept for a content, which from now on a row has."""
    rows = connection.exec_driver_sql(
        "SELECT kind, text, source FROM kept_labels WHERE content_hash = ?", (content_hash,)
    ).fetchall()
    if rows:
        connection.exec_driver_sql("DELETE FROM kept_labels WHERE content_hash = ?", (content_hash,))
    tags, captions, ratings = ([(text, source) for kind, text, source in rows if kind == wanted] for wanted in _KINDS)
    return _Labels(tags, captions, [(int(text), source) for text, source in ratings])

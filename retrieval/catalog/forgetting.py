"""Take folders and files out of a catalog: so that they can come back, or for good."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrieval.catalog.exclusions import SELECT_EXCLUSIONS, Exclusion, Exclusions, fingerprint, stored_exclusions
from retrieval.paths import decode_path, encode_path, is_below

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LABELS = ("tags", "captions", "ratings", "predicted_tags")


@dataclass
class Forgotten:
    """What became of one path.

    Attributes:
        path: as the catalog knew it.
        images: how many that were present left the gallery.
        purged: how many rows of images were deleted, those that had been gone before included.
        labelled: how many of the images have tags or captions by people, which are kept.
        left_out_of: the folder that is still indexed and from now on leaves this path out; None if there is none.
        is_folder: False for a single file.
    """

    path: str
    images: int = 0
    purged: int = 0
    labelled: int = 0
    left_out_of: str | None = None
    is_folder: bool = True


def forget(connection: Connection, paths: Sequence[str], *, purge: bool, leave_out: bool = True) -> Forgotten | None:
    """Take out what lies at or below a path; what people said about it stays with its content.

    Args:
        paths: spellings of one path; the first that the catalog knows is meant.
        leave_out: a folder above it that is still indexed leaves it out from now on.
        purge: delete rows, names, embeddings and labels instead, and whatever else holds a name.

    Returns:
        None if the catalog holds nothing of it.
    """
    if purge:
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # of this connection: freed bytes are overwritten
    for path in paths:
        folders = _folders_below(connection, path)
        found = _Found(path, [], [], folders, True) if folders else _file_at(connection, path)
        if found is None:
            continue
        if found.is_folder:
            for folder_id in folders:
                found.take(connection, "folder_id = ?", folder_id)
        known = found.images or found.folders if purge else found.present or any(folders.values())
        if known or found.failures:
            return _forget(connection, found, purge, leave_out)
    return None


@dataclass
class _Found:
    path: str
    images: list[tuple[int, bool, bytes]]  # id, is retired, content hash
    failures: list[int]
    folders: dict[int, bool]  # id -> is a root; empty for a file
    is_folder: bool

    @property
    def present(self) -> list[int]:
        return [id_ for id_, is_retired, _ in self.images if not is_retired]

    def take(self, connection: Connection, where: str, *values: Any) -> None:
        sql = f"SELECT id, is_retired, content_hash FROM images WHERE {where}"
        self.images += [(row[0], bool(row[1]), row[2]) for row in connection.exec_driver_sql(sql, values)]
        sql = f"SELECT id FROM failures WHERE {where}"
        self.failures += [row[0] for row in connection.exec_driver_sql(sql, values)]


def _folders_below(connection: Connection, path: str) -> dict[int, bool]:
    rows = connection.exec_driver_sql("SELECT id, path, is_root FROM folders").fetchall()
    return {row[0]: bool(row[2]) for row in rows if is_below(decode_path(row[1]), path)}


def _file_at(connection: Connection, path: str) -> _Found | None:
    folder, name = os.path.split(path)
    row = connection.exec_driver_sql("SELECT id FROM folders WHERE path = ?", (encode_path(folder),)).first()
    if row is None:
        return None
    found = _Found(path, [], [], {}, False)
    found.take(connection, "folder_id = ? AND name = ?", row[0], encode_path(name))
    return found


def _forget(connection: Connection, found: _Found, purge: bool, leave_out: bool) -> Forgotten:
    change = int(connection.exec_driver_sql("SELECT change FROM state").scalar_one()) + 1
    connection.exec_driver_sql("UPDATE state SET change = ?", (change,))
    done = Forgotten(found.path, images=len(found.present), is_folder=found.is_folder)
    _each(connection, "DELETE FROM failures WHERE id = ?", found.failures)
    _each(connection, "UPDATE folders SET is_root = 0, is_mount = 0 WHERE id = ?", found.folders)
    if purge:
        done.purged = len(found.images)
        _purge(connection, found, change)
    else:
        done.labelled = sum(_is_labelled(connection, id_) for id_ in found.present)
        marks = [(change, id_) for id_ in found.present]
        if marks:
            connection.exec_driver_sql("UPDATE images SET is_retired = 1, change = ? WHERE id = ?", marks)
    if leave_out:
        done.left_out_of = _leave_out(connection, found.path, purge)
    return done


def _is_labelled(connection: Connection, image_id: int) -> bool:
    sql = """SELECT EXISTS (SELECT 1 FROM tags WHERE image_id = ?)
             OR EXISTS (SELECT 1 FROM captions WHERE image_id = ?)"""
    return bool(connection.exec_driver_sql(sql, (image_id, image_id)).scalar_one())


def _purge(connection: Connection, found: _Found, change: int) -> None:
    ids = [id_ for id_, *_ in found.images]
    for table in (*_LABELS, "embeddings"):
        _each(connection, f"DELETE FROM {table} WHERE image_id = ?", ids)
    _each(connection, "DELETE FROM images WHERE id = ?", ids)
    _each(connection, "DELETE FROM kept_labels WHERE content_hash = ?", [digest for *_, digest in found.images])
    if ids:
        connection.exec_driver_sql("INSERT INTO purged_images (id, change) VALUES (?, ?)", [(i, change) for i in ids])
    _each(connection, "DELETE FROM folders WHERE id = ?", found.folders)
    connection.exec_driver_sql(
        """DELETE FROM tag_spellings WHERE tag NOT IN (SELECT tag FROM tags UNION SELECT tag FROM predicted_tags
           UNION SELECT text FROM kept_labels WHERE kind = 'tag')"""
    )
    # Endings of names, until the next walk counts them again.
    connection.exec_driver_sql("UPDATE folders SET passed_over = NULL")
    for id_, roots, report in connection.exec_driver_sql("SELECT id, roots, report FROM runs").fetchall():
        told = (_without(json.loads(roots), found.path), None if report is None else json.loads(report))
        if told[1] is not None and "problems" in told[1]:
            told[1]["problems"] = [p for p in told[1]["problems"] if not is_below(p.get("path", ""), found.path)]
        texts = (json.dumps(told[0]), None if told[1] is None else json.dumps(told[1]))
        if texts != (roots, report):
            connection.exec_driver_sql("UPDATE runs SET roots = ?, report = ? WHERE id = ?", (*texts, id_))


def _without(paths: list[str], purged: str) -> list[str]:
    return [path for path in paths if not is_below(path, purged)]


def _leave_out(connection: Connection, path: str, purge: bool) -> str | None:
    """Remember that a folder which is still indexed leaves this path out; which folder, if there is one."""
    rows = connection.exec_driver_sql("SELECT path FROM folders WHERE is_root").fetchall()
    above = [root for root in (decode_path(row[0]) for row in rows) if is_below(path, root)]
    before = exclusions(connection)
    kept = [row for row in before.rows if row not in before.below(path)]
    if purge:
        kept = [row for row in kept if row.fingerprint != fingerprint(path)]
    if above:
        kept.append(Exclusion(None, None, fingerprint(path)) if purge else Exclusion(path))
    replace_exclusions(connection, kept)
    return max(above, key=len) if above else None


def exclusions(connection: Connection) -> Exclusions:
    """What is left out for good, as a transaction sees it."""
    rows = connection.exec_driver_sql(SELECT_EXCLUSIONS).fetchall()
    return stored_exclusions(rows)


def replace_exclusions(connection: Connection, rows: Sequence[Exclusion]) -> None:
    """Write what is left out from now on."""
    if tuple(rows) == exclusions(connection).rows:
        return
    connection.exec_driver_sql("DELETE FROM exclusions")
    stored = [
        (*(None if text is None else encode_path(text) for text in (row.path, row.pattern)), row.fingerprint)
        for row in rows
    ]
    if stored:
        connection.exec_driver_sql("INSERT INTO exclusions (path, pattern, fingerprint) VALUES (?, ?, ?)", stored)


def _each(connection: Connection, sql: str, keys: Any) -> None:
    rows = [(key,) for key in keys]
    if rows:
        connection.exec_driver_sql(sql, rows)

"""Small copies of what people said about pictures, which cannot be computed again, and the way back.

A copy is a SQLite file: ``said`` (content hash, kind, value, source), as the catalog keeps labels of pictures without a
row; ``albums`` with their ``entries``; persons and what was said of faces (see ``people_copies.py``); and ``manifests``
of the trash, which tell where files were.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.access import Rows
from retrieval.catalog.labels import KINDS, keep_said, put_said, said_by_content
from retrieval.catalog.people_copies import TABLES, Contents, people_of, put_people_back
from retrieval.catalog.whole_file import faults_of
from retrieval.errors import GalleryError
from retrieval.foreign_databases import harden, refuse_foreign
from retrieval.regular_files import sync_folder
from retrieval.system_errors import of_sqlite

if TYPE_CHECKING:
    from retrieval.catalog.labels import Kind
    from retrieval.catalog.transaction import Transaction

_FORMAT = 2  # 1: without persons
_TABLES = f"""
CREATE TABLE about (format INTEGER NOT NULL, digest TEXT NOT NULL);
CREATE TABLE said (hash BLOB NOT NULL, kind TEXT NOT NULL, value, source TEXT NOT NULL);
CREATE TABLE albums (id INTEGER PRIMARY KEY, name TEXT NOT NULL, name_key TEXT NOT NULL, recipe TEXT, cover INTEGER,
    created_at TEXT NOT NULL, deleted_at TEXT);
CREATE TABLE entries (id INTEGER PRIMARY KEY, album_id INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE TABLE manifests (name TEXT PRIMARY KEY, content BLOB NOT NULL);
{TABLES}
"""
_ALBUMS = "SELECT id, name, name_key, recipe, cover, created_at, deleted_at FROM albums ORDER BY id"
_ENTRIES = "SELECT id, album_id, position FROM album_entries ORDER BY id"

_PEOPLE = ("people", "people_faces")


def contents_of(rows: Rows) -> Contents:
    """Everything that people said, of a catalog."""
    return {
        "said": said_by_content(rows),
        "albums": [tuple(row) for row in rows.rows(_ALBUMS)],
        "entries": [tuple(row) for row in rows.rows(_ENTRIES)],
        **people_of(rows),
    }


def digest_of_contents(contents: Contents) -> str:
    """The same for the same contents."""
    return hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()


def digest_of_copy(path: Path) -> str | None:
    """The digest of a copy's contents when it was written; None if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as copy:
            harden(copy)
            found = copy.execute("SELECT digest FROM about").fetchone()
    except sqlite3.Error:
        return None
    return None if found is None else str(found[0])


def write_copy(contents: Contents, path: Path) -> None:
    """Write a copy, completely or not at all.

    Raises:
        RetrievalError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(part)) as copy, copy:
            copy.executescript(_TABLES)
            copy.execute("INSERT INTO about VALUES (?, ?)", (_FORMAT, digest_of_contents(contents)))
            for table, values in contents.items():
                marks = ", ".join("?" * len(values[0])) if values else ""
                copy.executemany(f"INSERT INTO {table} VALUES ({marks})", values) if values else None
    except sqlite3.Error as error:
        part.unlink(missing_ok=True)
        raise of_sqlite(error, part, "write") from error
    part.replace(path)
    sync_folder(path.parent)


def read_copy(path: Path) -> Contents:
    """The contents of a copy.

    Raises:
        GalleryError: it is none, or damaged, or of a newer version.
    """
    damaged = GalleryError(f"{path} is no copy of labels, or damaged", "take another one")
    if not path.is_file() or faults_of(path):
        raise damaged
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as copy:
            harden(copy)
            refuse_foreign(copy)
            written_in = copy.execute("SELECT format FROM about").fetchone()
            if written_in not in ((1,), (_FORMAT,)):
                raise GalleryError(f"{path} was written by a newer photoseek", "upgrade photoseek")
            found: Contents = {
                name: copy.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall()
                for name in ("said", "albums", "entries", "manifests", *(_PEOPLE if written_in != (1,) else ()))
            }
    except sqlite3.Error as error:
        raise damaged from error
    if not all(isinstance(row[0], bytes) and row[1] in KINDS for row in found["said"]):
        raise damaged
    return {name: [] for name in _PEOPLE} | found


def drop_people(path: Path) -> None:
    """Write a copy again without persons and faces; its time stays. A copy that cannot be read is deleted.

    Raises:
        RetrievalError: it cannot be written.
    """
    times = path.stat()
    try:
        contents = read_copy(path)
    except GalleryError:
        path.unlink()
        return
    if any(contents[name] for name in _PEOPLE):
        write_copy(contents | {name: [] for name in _PEOPLE}, path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def put_back(transaction: Transaction, contents: Contents) -> int:
    """Add what the catalog lacks of a copy; nothing that it has is changed. How many labels were put back.

    Labels of pictures that the catalog does not know are kept by content until they are indexed.
    """
    entries = _put_albums_back(transaction, contents)
    added = put_people_back(transaction, contents)
    by_hash: dict[bytes, list[tuple[Kind, str | int, str]]] = {}
    for digest, kind, value, source in contents["said"]:
        if kind == "memberships":
            if value not in entries:
                continue
            value = entries[value]
        by_hash.setdefault(digest, []).append((kind, value, source))
    for digest, said in by_hash.items():
        ids = [row[0] for row in transaction.rows("SELECT id FROM images WHERE content_hash = :hash", {"hash": digest})]
        for kind, value, source in said:
            if ids:
                added += put_said(transaction, kind, [(id_, value, source) for id_ in ids])
            else:
                added += keep_said(transaction, digest, kind, [(value, source)])
    return added


def _put_albums_back(transaction: Transaction, contents: Contents) -> dict[int, int]:
    """Entry in the copy -> entry in the catalog, after adding the albums and the positions that it lacks."""
    present = {row[0]: row[1] for row in transaction.rows("SELECT name_key, id FROM albums WHERE deleted_at IS NULL")}
    known = {(row[0], row[1]): row[2] for row in transaction.rows("SELECT album_id, position, id FROM album_entries")}
    albums: dict[int, int] = {}
    for id_, name, name_key, recipe, _, created_at, deleted_at in contents["albums"]:
        if deleted_at is not None:
            continue
        if name_key not in present:
            present[name_key] = transaction.insert(
                """INSERT INTO albums (name, name_key, recipe, created_at)
                   VALUES (:name, :key, :recipe, :created)""",
                {"name": name, "key": name_key, "recipe": recipe, "created": created_at},
            )
        albums[id_] = present[name_key]
    entries: dict[int, int] = {}
    for id_, album_id, position in contents["entries"]:
        if album_id not in albums:
            continue
        place = albums[album_id], position
        if place not in known:
            known[place] = transaction.insert(
                "INSERT INTO album_entries (album_id, position) VALUES (:album, :position)",
                {"album": place[0], "position": position},
            )
        entries[id_] = known[place]
    return entries

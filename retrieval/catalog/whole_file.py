"""The catalog as a file: check that it is sound, copy it at one moment, move it aside together with its log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from retrieval.catalog.connect import connect, unreadable
from retrieval.errors import GalleryError
from retrieval.system_errors import of_sqlite

MOST_FAULTS = 20
_ENDS = ("", "-wal", "-shm")
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def faults_of(path: Path) -> list[str]:
    """The faults of a SQLite file, up to :data:`MOST_FAULTS` lines; empty if it is sound.

    Reads every page: about 1 GB/s from the page cache.

    Raises:
        RetrievalError: it cannot be read for another reason than damage (rights, memory, the disk).
    """
    try:
        with closing(connect(path)) as connection:
            found = [row[0] for row in connection.execute(f"PRAGMA integrity_check({MOST_FAULTS})")]
            faults = [] if found == ["ok"] else [str(line) for line in found]
            for table, rows in connection.execute(
                'SELECT "table", count(*) FROM pragma_foreign_key_check GROUP BY "table"'
            ):
                faults.append(f"{rows:,} rows of {table} belong to rows that are not there")
    except sqlite3.DatabaseError as error:
        if not isinstance(unreadable(path, error), GalleryError):
            raise unreadable(path, error) from error
        return [str(error)]
    except GalleryError as error:
        return [error.message]
    return faults


def copy_catalog(path: Path, target: Path) -> None:
    """Copy a catalog as it is at one moment, even while another process writes it; the target is one file.

    Raises:
        RetrievalError: the catalog cannot be read, or the copy cannot be written.
    """
    with closing(connect(path)) as source:
        try:
            with closing(sqlite3.connect(target)) as copy:
                # All pages in one step: with a write-ahead log that is one snapshot, and no writer waits for it.
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            is_damage = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _DAMAGE
            raise unreadable(path, error) if is_damage else of_sqlite(error, target, "write") from error


def file_moment() -> str:
    """The present moment, UTC, as a part of file names."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")


def move_aside(path: Path, why: str) -> list[Path]:
    """Rename a database to ``WHY-MOMENT.sqlite``, together with its write-ahead log; the new paths, its own first."""
    target = path.with_name(f"{why}-{file_moment()}.sqlite")
    moved = []
    for end in _ENDS:
        old = path.with_name(path.name + end)
        if old.exists():
            moved.append(old.rename(target.with_name(target.name + end)))
    return moved


def remove_database(path: Path) -> None:
    """Delete a database and its write-ahead log, if they exist."""
    for end in _ENDS:
        path.with_name(path.name + end).unlink(missing_ok=True)

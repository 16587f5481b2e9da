"""The catalog as a file: check that it is sound, copy it at one moment, exchange it together with its log."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from retrieval.catalog.connect import connect, unreadable
from retrieval.catalog.triggers import TRIGGERS, VIRTUAL
from retrieval.errors import GalleryError
from retrieval.foreign_databases import foreign_part
from retrieval.regular_files import sync_folder
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
            if (part := foreign_part(connection, TRIGGERS, VIRTUAL)) is not None:
                faults.append(f"it has {part}")
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


def exchange(path: Path, made: Path, why: str) -> list[Path]:
    """Put the complete database ``made`` in the place of another one, which is kept as ``WHY-MOMENT.sqlite``.

    At each moment there is a whole database at ``path``: the process may be killed, or the power fail. Nobody else may
    write meanwhile.

    Args:
        path: the database that is replaced, with its write-ahead log; it may be missing or damaged.

    Returns:
        The new paths of what was there, the database first; empty if there was none.

    Raises:
        OSError: the disk refuses; the old database is in its place.
    """
    kept = _named_also(path, why)
    # The log before the file: a log left beside another database would be applied to it.
    for end in _ENDS[1:]:
        path.with_name(path.name + end).unlink(missing_ok=True)
    made.replace(path)
    sync_folder(path.parent)
    return kept


def set_aside(path: Path, why: str) -> Path:
    """Keep a database as ``WHY-MOMENT.sqlite``, and only there; its new path. Nobody may write meanwhile.

    Raises:
        OSError: the disk refuses; the database is in its place.
    """
    kept = _named_also(path, why)
    path.unlink()
    for end in _ENDS[1:]:
        path.with_name(path.name + end).unlink(missing_ok=True)
    sync_folder(path.parent)
    return kept[0]


def _named_also(path: Path, why: str) -> list[Path]:
    """Other names of a database and of its log, if it has one."""
    _empty_log(path)
    target, kept = free_name(path, why), []
    for end in ("", "-wal"):
        old, other = path.with_name(path.name + end), target.with_name(target.name + end)
        if old.exists() and (not end or old.stat().st_size):
            _name_also(old, other)
            kept.append(other)
    sync_folder(path.parent)
    return kept


def _empty_log(path: Path) -> None:
    """Write what the log holds into the database; a damaged one keeps its log."""
    if not path.is_file():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=5.0)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def free_name(path: Path, why: str) -> Path:
    """``WHY-MOMENT`` beside a file, with its ending, where nothing is yet."""
    moment = file_moment()
    names = [f"{why}-{moment}{path.suffix}", *(f"{why}-{moment}-{number}{path.suffix}" for number in range(2, 1000))]
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def _name_also(old: Path, new: Path) -> None:
    try:
        new.hardlink_to(old)
    except OSError:  # a file system without hard links
        try:
            shutil.copy2(old, new)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def remove_database(path: Path) -> None:
    """Delete a database and its write-ahead log, if they exist."""
    for end in _ENDS:
        path.with_name(path.name + end).unlink(missing_ok=True)

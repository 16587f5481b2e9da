"""Open a catalog for reading, also on a full disk and in a read-only folder.

A database with a write-ahead log is read through a file of 32 KiB that all its readers and its writer share
(``catalog.sqlite-shm``). If it cannot be created, reading falls back to the safest remaining way.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from retrieval.errors import GalleryError, RetrievalError
from retrieval.foreign_databases import harden

logger = logging.getLogger("photoseek")

_NO_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)

_OF_VALUES = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, AssertionError, RecursionError)
"""Errors caused by values that the catalog never wrote: a number for a text, NULL for a value, text for JSON."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that reads ``path``.

    Raises:
        RetrievalError: it cannot be read; the message says whether the cause is the disk, permissions or damage.
    """
    uri = path.resolve().as_uri()
    try:
        return _opened(f"{uri}?mode=ro")
    except sqlite3.Error as error:
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF not in _NO_ROOM:
            raise unreadable(path, error) from error
        first = error
    try:
        return _without_sharing(path, uri)
    except sqlite3.Error:
        raise unreadable(path, first) from first


def unreadable(path: Path, error: sqlite3.Error) -> RetrievalError:
    """An error while reading a catalog, as an error that a person understands."""
    from retrieval.system_errors import of_sqlite

    return of_sqlite(error, path, "read")


def _without_sharing(path: Path, uri: str) -> sqlite3.Connection:
    log, shared = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    try:
        _make_empty(shared, like=path)  # takes no space; SQLite then indexes the log in its own memory
    except OSError:
        pass
    else:
        try:
            return _opened(f"{uri}?mode=ro&readonly_shm=1", alone=True)
        except sqlite3.Error:
            pass
    if not log.exists() or log.stat().st_size == 0:  # all is in the file; a writer would have a log
        return _opened(f"{uri}?mode=ro&immutable=1", alone=True)
    return _of_a_copy(path, log)


def _make_empty(file: Path, *, like: Path) -> None:
    """Create it as SQLite creates the files beside a database: with the database's owner and permissions."""
    if file.exists():
        return
    found = like.stat()
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, stat.S_IMODE(found.st_mode)))
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(file, found.st_uid, found.st_gid)


def _of_a_copy(path: Path, log: Path) -> sqlite3.Connection:
    """The last run was interrupted, and its log cannot be read in place: without it the file may be inconsistent."""
    import shutil
    from tempfile import TemporaryDirectory

    logger.warning("reading a copy of %s: its folder cannot be written, and its last writer was cut off", path)
    try:
        with TemporaryDirectory(prefix="photoseek-") as folder:
            copy = Path(folder) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy.with_name(log.name))
            # While it is open, its files stay usable without a name.
            return _opened(f"{copy.as_uri()}?mode=ro", alone=True)
    except OSError as error:
        from retrieval.system_errors import of_os

        raise of_os(error) from error


def _opened(uri: str, *, alone: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=30.0, check_same_thread=False)
    try:
        if alone:
            connection.execute("PRAGMA temp_store = MEMORY")  # no space to sort on disk either
        harden(connection)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def told_as_damage(path: Path) -> Iterator[None]:
    """Around work with a catalog: an error over values is reported as damage if the database is damaged.

    Pages that a disk lost or swapped may be read without an error; their values have other types and other columns.
    The whole database is checked only after such an error, so that work without one costs nothing.

    Raises:
        GalleryError: the catalog is damaged. Otherwise the original error is raised.
    """
    try:
        yield
    except _OF_VALUES as error:
        found = _damage(path)
        if found is None:
            raise
        raise found from error


def _damage(path: Path) -> GalleryError | None:
    from retrieval.system_errors import damaged

    try:
        with closing(connect(path)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if said == "ok" and connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                said = "rows belong to others that are not there"
    except sqlite3.Error as error:
        said = str(error)
    except RetrievalError as error:
        return error if isinstance(error, GalleryError) else None
    return None if said == "ok" else damaged(path, said)

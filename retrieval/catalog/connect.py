"""Open a catalog for reading, also on a full disk and in a read-only folder.

A database with a write-ahead log is read through a file of 32 KiB that all its readers and its writer share
(``catalog.sqlite-shm``). Where that cannot be made, reading goes on in the safest of the ways that are left.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from retrieval.errors import RetrievalError

logger = logging.getLogger("photoseek")

_NO_ROOM = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def connect(path: Path) -> sqlite3.Connection:
    """A connection that reads ``path``.

    Raises:
        RetrievalError: it cannot be read; the message says whether the disk, a right or damage is in the way.
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
    """What an error while reading a catalog means to a person."""
    from retrieval.system_errors import of_sqlite

    return of_sqlite(error, path, "read")


def _without_sharing(path: Path, uri: str) -> sqlite3.Connection:
    log, shared = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    try:
        _make_empty(shared, like=path)  # takes no room, and with it SQLite reads the log by an index in its own memory
    except OSError:
        pass
    else:
        try:
            return _opened(f"{uri}?mode=ro&readonly_shm=1", alone=True)
        except sqlite3.Error:
            pass
    if not log.exists() or log.stat().st_size == 0:  # everything is in the file itself, and who writes needs a log
        return _opened(f"{uri}?mode=ro&immutable=1", alone=True)
    return _of_a_copy(path, log)


def _make_empty(file: Path, *, like: Path) -> None:
    """As SQLite makes the files beside a database: with its owner and permissions."""
    if file.exists():
        return
    found = like.stat()
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, stat.S_IMODE(found.st_mode)))
    if hasattr(os, "chown"):
        with suppress(OSError):
            os.chown(file, found.st_uid, found.st_gid)


def _of_a_copy(path: Path, log: Path) -> sqlite3.Connection:
    """The last run was cut off, and its log cannot be read where it lies: without it the file may be torn."""
    import shutil
    from tempfile import TemporaryDirectory

    logger.warning("reading a copy of %s: its folder cannot be written, and its last writer was cut off", path)
    try:
        with TemporaryDirectory(prefix="photoseek-") as folder:
            copy = Path(folder) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy.with_name(log.name))
            # Kept open, its files live on without a name.
            return _opened(f"{copy.as_uri()}?mode=ro", alone=True)
    except OSError as error:
        from retrieval.system_errors import of_os

        raise of_os(error) from error


def _opened(uri: str, *, alone: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=30.0, check_same_thread=False)
    try:
        if alone:
            connection.execute("PRAGMA temp_store = MEMORY")  # nor is there room to sort in
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection

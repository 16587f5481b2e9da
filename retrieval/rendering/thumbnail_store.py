"""The thumbnail cache: a SQLite file in the gallery, limited in size, that may be deleted at any time.

A thumbnail belongs to the bytes of a picture, not to its path, so moved files and copies share it. The least
recently used thumbnails are removed first; the time of use is stored to the hour, together with the next new thumbnail,
so that viewing pictures does not write to the disk.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from retrieval.foreign_databases import harden, refuse_foreign

T = TypeVar("T")

FILE_NAME = "thumbnails.sqlite"
MAX_BYTES = 1 << 30
"""Holds about 130,000 thumbnails of 240 pixels."""

FORM = 1
"""Version of the thumbnails' rendering; a new number invalidates all of them."""

_VERSION = 1  # of the tables
_PAGE = 8192  # usually holds a thumbnail of 240 pixels with its row
_GRAIN_S = 3600
_LOCK_WAIT_S = 5.0
_AT_ONCE = 16  # rows removed between two checks of the size
_ROOM = 0.95  # fraction of the limit to which the file is reduced, so that not every thumbnail removes another
_MARKS = 20_000  # maximal number of pending updates: 2 MB
_TABLES = (
    """CREATE TABLE thumbnails (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, side INTEGER NOT NULL,
       form INTEGER NOT NULL, used INTEGER NOT NULL, crc INTEGER NOT NULL, UNIQUE (hash, side, form))""",
    "CREATE INDEX thumbnails_by_use ON thumbnails (used)",
    # In a separate table: updating the time of use rewrites its row, and these rows are large.
    "CREATE TABLE pictures (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
)


class ThumbnailStore:
    """Any number of threads and processes may look up and add at once. Best effort: nothing here ever raises.

    A damaged file is removed and created again; if none can be written, nothing is stored.

    Args:
        folder: of the gallery; the file is created by the first :meth:`add`, readable by its owner only.
        max_bytes: limit for the thumbnails.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._file, self._max_bytes = folder / FILE_NAME, max_bytes
        self._lock = threading.Lock()
        self._idle: list[_Opened] = []
        self._used: set[int] = set()
        self._used_in: tuple[int, int] | None = None  # identity of the file that contains these rows
        self._is_closed = False

    def find(self, content_hash: bytes, side: int) -> bytes | None:
        """The thumbnail of a picture at this size, if it is stored."""

        def found(opened: _Opened) -> bytes | None:
            sql = """SELECT t.id, t.used, t.crc, p.data FROM thumbnails AS t JOIN pictures AS p ON p.id = t.id
                     WHERE t.hash = ? AND t.side = ? AND t.form = ?"""
            row = opened.connection.execute(sql, [content_hash, side, FORM]).fetchone()
            if row is None:
                return None
            id_, used, crc, data = row
            if not isinstance(data, bytes) or zlib.crc32(data) != crc:
                raise sqlite3.DatabaseError("a thumbnail is not what was stored")
            if used != _now():
                self._mark(opened, id_)
            return data

        return self._with(found, create=False)

    def add(self, content_hash: bytes, side: int, data: bytes, *, in_place_of_others: bool = True) -> bool:
        """Store a thumbnail; False if that failed.

        Args:
            in_place_of_others: if there is no room, remove the least recently used ones.
        """

        def added(opened: _Opened) -> bool:
            connection, now = opened.connection, _now()
            with _transaction(connection):
                self._write_marks(opened)
                if not self._make_room(connection, len(data) + 2 * _PAGE, in_place_of_others):
                    return False
                sql = "INSERT OR IGNORE INTO thumbnails (hash, side, form, used, crc) VALUES (?, ?, ?, ?, ?)"
                new = connection.execute(sql, [content_hash, side, FORM, now, zlib.crc32(data)])
                if new.rowcount == 1:
                    connection.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?)", [new.lastrowid, data])
            return True

        return bool(self._with(added, create=True))

    def keep_only(self, hashes: Iterable[bytes]) -> None:
        """Permanently remove the thumbnails of all pictures but those with these contents."""

        def kept(opened: _Opened) -> None:
            connection = opened.connection
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("CREATE TEMP TABLE kept (hash BLOB PRIMARY KEY) WITHOUT ROWID")
            with _transaction(connection):
                connection.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((each,) for each in hashes))
                connection.execute("DELETE FROM thumbnails WHERE hash NOT IN (SELECT hash FROM kept)")
                connection.execute("DELETE FROM pictures WHERE id NOT IN (SELECT id FROM thumbnails)")
            connection.execute("DROP TABLE kept")
            connection.execute("PRAGMA secure_delete = OFF")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log contains them too

        self._with(kept, create=False)

    def close(self) -> None:
        """Release the file; operations in progress finish, and nothing is opened again."""

        def written(opened: _Opened) -> None:
            with _transaction(opened.connection):
                self._write_marks(opened)

        if self._used:
            self._with(written, create=False)
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for opened in idle:
            opened.connection.close()

    # Room and recency

    def _make_room(self, connection: sqlite3.Connection, new: int, may_remove: bool) -> bool:
        """Remove the least recently used ones until this many bytes fit; False if they do not."""
        if _bytes_used(connection) + new <= self._max_bytes:
            return True
        if not may_remove:
            return False
        while _bytes_used(connection) + new > self._max_bytes * _ROOM:
            oldest = connection.execute("SELECT id FROM thumbnails ORDER BY used, id LIMIT ?", [_AT_ONCE]).fetchall()
            if not oldest:
                return False
            connection.executemany("DELETE FROM thumbnails WHERE id = ?", oldest)
            connection.executemany("DELETE FROM pictures WHERE id = ?", oldest)
        return True

    def _mark(self, opened: _Opened, id_: int) -> None:
        with self._lock:
            if self._used_in != opened.identity:
                self._used, self._used_in = set(), opened.identity
            if len(self._used) < _MARKS:
                self._used.add(id_)

    def _write_marks(self, opened: _Opened) -> None:
        with self._lock:
            marks, self._used = self._used, set()
            ours = self._used_in == opened.identity
        if ours:
            sql, now = "UPDATE thumbnails SET used = ? WHERE id = ?", _now()
            opened.connection.executemany(sql, [(now, id_) for id_ in marks])

    # The file

    def _with(self, do: Callable[[_Opened], T], *, create: bool) -> T | None:
        """The result of ``do`` with a connection for exclusive use; None without an intact file."""
        opened = None
        try:
            opened = self._take(create)
            if opened is None:
                return None
            result = do(opened)
        except (OSError, Timeout, sqlite3.Error, TypeError) as error:
            if opened is not None:
                opened.connection.close()
            if _is_damage(error):
                self._remove(opened)
            return None
        self._give_back(opened)
        return result

    def _take(self, create: bool) -> _Opened | None:
        """An idle connection to the file that exists now, or a new one."""
        identity = _identity(self._file)
        with self._lock:
            if self._is_closed:
                return None
            fit = [opened for opened in self._idle if opened.identity == identity]
            stale = [opened for opened in self._idle if opened.identity != identity]
            self._idle = fit[:-1]
        for opened in stale:
            opened.connection.close()
        if fit:
            return fit[-1]
        if identity is None and not create:
            return None
        with self._alone():
            return _opened(self._file, create=create)

    def _give_back(self, opened: _Opened) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(opened)
                return
        opened.connection.close()

    def _remove(self, damaged: _Opened | None) -> None:
        """Remove a damaged file, unless another process has done so."""
        with suppress(OSError, Timeout), self._alone():
            if damaged is None or _identity(self._file) == damaged.identity:
                for suffix in ("", "-wal", "-shm"):
                    self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)

    def _alone(self) -> FileLock:
        """Held while the file is opened or removed: its log must never be mistaken for that of the next file."""
        return FileLock(self._file.with_suffix(".lock"), timeout=_LOCK_WAIT_S)


class _Opened:
    """A connection, and the identity of its file."""

    def __init__(self, connection: sqlite3.Connection, identity: tuple[int, int] | None) -> None:
        self.connection, self.identity = connection, identity


def _opened(file: Path, *, create: bool) -> _Opened | None:
    if create:
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    identity = _identity(file)
    if identity is None:
        return None
    connection = sqlite3.connect(
        f"{file.resolve().as_uri()}?mode=rw",
        uri=True,
        timeout=_LOCK_WAIT_S,
        check_same_thread=False,  # passed between threads, but used by one at a time
        isolation_level=None,
    )
    try:
        harden(connection)
        refuse_foreign(connection)
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return _Opened(connection, identity)


def _prepare(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute("PRAGMA journal_mode = WAL")
        with _transaction(connection):
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
    elif version != _VERSION:
        # An older one is created again; one of a newer program is not touched.
        kind = sqlite3.DatabaseError if version < _VERSION else sqlite3.OperationalError
        raise kind(f"thumbnails of version {version}")
    # Consistent after a crash of the program or the machine; only the latest thumbnails may be lost.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 4194304")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _bytes_used(connection: sqlite3.Connection) -> int:
    """Size of the file, without the free pages that the next thumbnails will use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int(pages - free) * int(size)


def _is_damage(error: Exception) -> bool:
    """True for a damaged file or an older version; a full disk or a lock is temporary."""
    if isinstance(error, sqlite3.OperationalError):
        return "no such" in str(error)  # table or column: a database of another program
    return isinstance(error, sqlite3.DatabaseError | TypeError)


def _identity(file: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = file.stat()
        return found.st_dev, found.st_ino
    return None


def _now() -> int:
    return int(time.time()) // _GRAIN_S

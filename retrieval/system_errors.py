"""Errors of the machine (disk, memory, permissions, SQLite) as exceptions with advice.

Imported only after an error. SQLAlchemy's errors are recognised by the name of their module: importing it would take
longer than a whole search.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from pathlib import Path

from retrieval.errors import GalleryError, RetrievalError, SettingsError, SystemProblem
from retrieval.regular_files import is_short

AGAIN = "then run the same command again"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_BY_NUMBER: dict[int, tuple[str, str]] = {
    errno.EFBIG: ("the file system or a limit allows no larger file", "raise the limit (ulimit -f), " + AGAIN),
    errno.EIO: ("the disk reports an error", "check the drive and its cable, and back up its data"),
    errno.EROFS: ("the disk is read-only", "mount it for writing, or use another folder"),
    errno.EACCES: ("permission denied", "check the permissions, or use another place"),
    errno.EPERM: ("the system does not permit it", "check the permissions, or use another place"),
    errno.EMFILE: ("too many files are open", f"raise the limit (ulimit -n), {AGAIN}"),
    errno.ENFILE: ("too many files are open on this machine", f"close other programs, {AGAIN}"),
    errno.ENOMEM: ("there is not enough memory", f"close other programs, {AGAIN}"),
    errno.EPIPE: ("the connection was closed by the other side", "run the same command again"),
    errno.ECONNRESET: ("the connection was closed by the other side", "run the same command again"),
    errno.ENOENT: ("it does not exist", "check the name; it may have been moved"),
    errno.ENOTDIR: ("a part of the path is not a folder", "check the name"),
    errno.EISDIR: ("it is a folder, not a file", "name a file"),
    errno.EEXIST: ("it already exists", "use another name"),
    errno.ELOOP: ("its links form a loop", "use another name"),
    errno.ENAMETOOLONG: ("the name is too long", "use a shorter one"),
    errno.ESTALE: ("the network drive has lost the file", f"mount it again, {AGAIN}"),
    errno.ETIMEDOUT: ("nothing answered in time", "run the same command again"),
}
_SLIPS = (
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL,
    errno.EACCES, errno.EPERM,
)  # fmt: skip
"""Errors caused by a wrong name."""

_OF_MEMORY = re.compile(
    r"bad_?alloc|(cannot|can't|could not|failed to|unable to) allocate|failed to map segment|can't start new thread|"
    r"out of memory|not enough memory|posix_memalign",
    re.I,
)
"""In messages of Python, the loader, OpenVINO, faiss."""

_NEAR_FULL = 1 << 16
"""Bytes: if less is free, SQLite cannot create a file that it shares between processes (32 KiB)."""


_FILES_OF_A_DATABASE = 8
"""That SQLite and SQLAlchemy open for one connection, at most: the file, its log, what is shared, the folder, ..."""


def explained(error: BaseException) -> RetrievalError | None:
    """Convert an error of the machine to one of ours; None for bugs in the program."""
    if isinstance(error, RetrievalError):
        return error
    if is_of_memory(error):
        return no_memory()
    if isinstance(error, OSError):
        return of_os(error)
    if isinstance(error, sqlite3.Error):
        return of_sqlite(error) if _is_the_machines(error) else None
    if type(error).__module__.partition(".")[0] == "sqlalchemy":
        origin = getattr(error, "orig", None)
        return explained(origin) if isinstance(origin, BaseException) else None
    return None


def is_of_memory(error: BaseException) -> bool:
    """Whether the machine, or a limit, has no more memory. Libraries say so in errors of many kinds."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | ImportError | SystemError) and bool(_OF_MEMORY.search(str(error)))


def no_memory() -> SystemProblem:
    """The error for that."""
    return SystemProblem("there is not enough memory", f"close other programs, or raise the limit, {AGAIN}")


def of_os(error: OSError) -> RetrievalError:
    """Explain an OSError."""
    name = error.filename2 or error.filename
    place = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) else ""
    if error.errno in _FULL:
        return SystemProblem(f"{place}the disk is full", f"free some space on it, {AGAIN}")
    if isinstance(error, ConnectionError):
        what, hint = _BY_NUMBER[errno.ECONNRESET]
    else:
        what, hint = _BY_NUMBER.get(error.errno or 0, (error.strerror or type(error).__name__, ""))
    return SystemProblem(f"{place}{what}", hint or "check the disk or the network, " + AGAIN)


def not_written(path: str | Path, error: OSError, hint: str = "name a file in a folder that exists") -> RetrievalError:
    """The error for a file named by the user that cannot be written: a mistake (``hint``), or the machine's fault."""
    where, what = f"cannot write {path}", error.strerror or str(error)
    if error.errno in _SLIPS or error.errno is None:
        return SettingsError(f"{where}: {what}", hint)
    known = of_os(OSError(error.errno, what))
    return SystemProblem(f"{where}: {known.message}", known.hint)


def of_sqlite(error: sqlite3.Error, path: Path | None = None, doing: str = "use") -> RetrievalError:
    """Explain an error of SQLite.

    Args:
        path: the database.
        doing: what failed: read, write.
    """
    name = f"the catalog {path}" if path is not None else "a database of the gallery"
    cannot = f"cannot {doing} {name}"
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (code in (_IO, _CANNOT_OPEN, sqlite3.SQLITE_READONLY) and _is_full(path)):
        return GalleryError(f"{cannot}: the disk is full", f"free some space on it, {AGAIN}; nothing is lost")
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_WRITE:
        return GalleryError(
            f"{cannot}: the disk does not accept it",
            f"check for a quota or ulimit -f, and check the drive, {AGAIN}",
        )
    if code == _IO:
        return GalleryError(
            f"{cannot}: the disk reports an error", "check the drive and its cable, and back up its data"
        )
    if code == sqlite3.SQLITE_READONLY and _may_be_written(path):
        # SQLite says this, too, if it cannot make the files that it keeps beside a database.
        return GalleryError(f"{cannot}: the disk does not accept it", f"check that it is not full or failing, {AGAIN}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return GalleryError(f"{cannot}: it is read-only", f"mount it for writing, or check the permissions, {AGAIN}")
    if code == _CANNOT_OPEN and (short := _shortage()) is not None:
        return short
    if code == _CANNOT_OPEN:
        return GalleryError(f"{cannot}: it cannot be opened", "check the permissions of the gallery folder")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return GalleryError(f"{cannot}: another process has locked it", f"wait until it has finished, {AGAIN}")
    if code == sqlite3.SQLITE_NOMEM:
        return no_memory()
    return damaged(path, str(error), doing)


def damaged(path: Path | None, what: str, doing: str = "read") -> GalleryError:
    """The error for a damaged catalog."""
    name = f"the catalog {path}" if path is not None else "a database of the gallery"
    what = " ".join(what.split())  # SQLite may quote a statement with several lines
    return GalleryError(
        f"cannot {doing} {name}, it is damaged: {what}",
        "restore it from a backup, or index into a new --gallery; your pictures are not affected",
    )


_IO, _CANNOT_OPEN = sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 if there is none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _is_the_machines(error: sqlite3.Error) -> bool:
    """False for wrong statements and violated constraints, which are bugs in the program."""
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.InterfaceError):
        return False
    return _code(error) not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE)


def _shortage() -> RetrievalError | None:
    """What SQLite does not say: that this process may open no more files, or few, since some are closed again."""
    opened: list[int] = []
    try:
        while len(opened) < _FILES_OF_A_DATABASE:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return of_os(OSError(error.errno, error.strerror)) if is_short(error) else None
    finally:
        for number in opened:
            os.close(number)
    return None


def _may_be_written(path: Path | None) -> bool:
    return path is not None and all(os.access(place, os.W_OK) for place in (path, path.parent))


def _is_full(path: Path | None) -> bool:
    if path is None or not hasattr(os, "statvfs"):
        return False
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return not found.f_flag & os.ST_RDONLY and found.f_bavail * found.f_frsize < _NEAR_FULL

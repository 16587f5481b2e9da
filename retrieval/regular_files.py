"""Open files named by users, only if they are regular files: a pipe could block for ever, a device may be endless.

Also writes files next to those of users.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

MAX_FILE_BYTES = 1 << 30
"""Limit for a picture file, and for any other that is read into memory whole."""

_PIECE = 1 << 20

NOT_REGULAR = "not an ordinary file, but a pipe, a device or a socket"


_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def is_short(error: OSError) -> bool:
    """True if this process or the machine has run out of descriptors or memory: that says nothing about the file."""
    return error.errno in _SHORT


def open_regular(path: str | Path, most: int | None = None) -> BinaryIO:
    """The file, open for reading.

    It is opened without blocking and checked afterwards, so replacing it in the meantime has no effect.

    Args:
        most: maximal size in bytes.

    Raises:
        OSError: it cannot be opened, is not a regular file, or is too large; ``strerror`` explains it.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(path, flags)
    except ValueError:  # a NUL in the name
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path)) from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path)) from None
        raise
    try:
        found = os.fstat(number)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
        if most is not None and found.st_size > most:
            raise _too_large(path, most)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_regular(path: str | Path, most: int) -> bytes:
    """The bytes of a file of at most ``most`` bytes.

    Raises:
        OSError: like :func:`open_regular`; also if it has grown in the meantime.
    """
    with open_regular(path, most) as file:
        data = file.read(most + 1)  # files in /proc have size 0
    if len(data) > most:
        raise _too_large(path, most)
    return data


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes ``path`` when it is complete; after an error nothing is left of it.

    It is new, beside ``path``, and has a random name: a fixed one could be a link, or another file of the user. What a
    run that was killed has left there is removed when it is an hour old.

    Raises:
        OSError: it cannot be written.
    """
    _remove_leftovers(path.parent)
    part = path.with_name(f".photoseek-{os.urandom(8).hex()}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


_LEFT_BEHIND_S = 3600


@lru_cache(maxsize=1000)
def _remove_leftovers(folder: Path) -> None:
    """What runs that were killed left in a folder; a file that somebody writes now is younger."""
    with suppress(OSError):
        for left in folder.glob(".photoseek-*.part"):
            with suppress(OSError):
                if time.time() - left.lstat().st_mtime > _LEFT_BEHIND_S:
                    left.unlink()


def sync_folder(path: str | Path) -> None:
    """Make the names in a folder survive a power cut, if the system supports that."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported by some network file systems
            raise
    finally:
        os.close(folder)


def digest_of(file: BinaryIO, between: Callable[[], None] | None = None) -> bytes:
    """32 bytes of BLAKE3 of an open file from its current position, read in pieces; ``between`` them may raise."""
    from blake3 import blake3  # a search opens files, but only few are ever hashed

    hasher = blake3()
    while piece := file.read(_PIECE):
        hasher.update(piece)
        if between is not None:
            between()
    return hasher.digest()


def _too_large(path: str | Path, most: int) -> OSError:
    size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most:,} bytes"
    return OSError(errno.EFBIG, f"it is larger than {size}", os.fspath(path))


def change_time(found: os.stat_result) -> int | None:
    """When a file or its metadata were last changed, in nanoseconds; no program can set it back.

    None on Windows, where that field is the time of creation. Inode numbers are not compared in addition: FAT, exFAT
    and many network file systems assign new ones at every mount, and on others a replaced file has a new time anyway.
    """
    return None if os.name == "nt" else found.st_ctime_ns


def is_gone(path: str) -> bool:
    """True if there is no such file; False if its folder cannot be accessed."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name with a NUL cannot exist
        return True
    except OSError:
        return False
    return False


def describe_os_error(error: OSError) -> str:
    """A short, stable reason without the path: ``permission denied``, ``input/output error``."""
    return (error.strerror or type(error).__name__).lower()

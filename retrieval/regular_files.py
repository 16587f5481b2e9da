"""Open files named by users, only if they are regular files: a pipe could block for ever, a device has no end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_PIECE = 1 << 20

NOT_REGULAR = "not an ordinary file, but a pipe, a device or a socket"


def open_regular(path: str | Path, most: int | None = None) -> BinaryIO:
    """The file, open for reading.

    It is opened without waiting and looked at when it is open: what is put at its path meanwhile does not count.

    Args:
        most: how many bytes it may have.

    Raises:
        OSError: it cannot be opened, is no ordinary file, or is too large; ``strerror`` says so to a person.
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
        OSError: as :func:`open_regular`; also if it grew meanwhile.
    """
    with open_regular(path, most) as file:
        data = file.read(most + 1)  # files of /proc say that they are empty
    if len(data) > most:
        raise _too_large(path, most)
    return data


def digest_of(file: BinaryIO) -> bytes:
    """32 bytes of BLAKE3 over an open file from where it stands, read piece by piece."""
    from blake3 import blake3  # a search opens files, but only few are ever hashed

    hasher = blake3()
    while piece := file.read(_PIECE):
        hasher.update(piece)
    return hasher.digest()


def _too_large(path: str | Path, most: int) -> OSError:
    size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most:,} bytes"
    return OSError(errno.EFBIG, f"it is larger than {size}", os.fspath(path))


def change_time(found: os.stat_result) -> int | None:
    """When a file or anything about it was last changed, in nanoseconds; no program can set it back.

    None on Windows, where that field has the time of creation. Inode numbers are not compared beside it: FAT, exFAT and
    many network file systems give new ones at every mount, and whatever replaces a file on the others has another time.
    """
    return None if os.name == "nt" else found.st_ctime_ns


def is_gone(path: str) -> bool:
    """True if there is no such file; a folder that we may not look into says nothing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no file can have a name with a NUL in it
        return True
    except OSError:
        return False
    return False


def describe_os_error(error: OSError) -> str:
    """A short, stable reason without the path: ``permission denied``, ``input/output error``."""
    return (error.strerror or type(error).__name__).lower()

"""Files that are about to be moved or replaced: are they still what was indexed, and how to move one and lose none."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retrieval.catalog.records import ImageRecord
from retrieval.regular_files import digest_of, open_regular

_PIECE = 1 << 20
_NO_HARD_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        action: ``trash``, ``link`` or ``undo``.
        path: where the file lies or lay.
        done: whether that happened.
        detail: where it is now or what it is linked to; else why nothing was done.
    """

    action: str
    path: str
    done: bool
    detail: str


Tell = Callable[[Outcome], None]


class NotSafe(Exception):
    """A file is not what it has to be for anything to be done to it; the message goes to the person."""


@dataclass(frozen=True)
class Checked:
    """A file whose bytes were read and are those that were indexed."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int

    def is_unchanged(self) -> bool:
        """True if the same file is still at its path, not written to since."""
        try:
            return _identity(self.path, os.lstat(self.path)) == self
        except OSError:
            return False


def check(image: ImageRecord) -> Checked:
    """Read the whole file and compare it with what was indexed.

    Raises:
        NotSafe: it is missing, a symbolic link, changed since it was indexed or while it was read.
    """
    try:
        before = os.lstat(image.path)
        if not stat.S_ISREG(before.st_mode):
            raise NotSafe("it is a symbolic link" if stat.S_ISLNK(before.st_mode) else "it is not a file")
        if (before.st_size, before.st_mtime_ns) != (image.size, image.mtime_ns):
            raise NotSafe("it changed since it was indexed")
        same = file_hash(image.path) == image.content_hash
    except FileNotFoundError:
        raise NotSafe("it is missing") from None
    except OSError as error:
        raise NotSafe(f"it cannot be read: {error.strerror}") from error
    checked = _identity(image.path, before)
    if not same or not checked.is_unchanged():
        raise NotSafe("it changed since it was indexed")
    return checked


def check_apart(one: Checked, other: Checked) -> None:
    """Raise NotSafe if two paths are two names of one file: nothing would be gained, and both names may be one."""
    if (one.device, one.inode) == (other.device, other.inode):
        raise NotSafe(f"it is the same file as {other.path} already")


def file_hash(path: str | Path) -> bytes:
    """32 bytes of BLAKE3 over a file, read piece by piece."""
    with open_regular(path) as file:
        return digest_of(file)


def move(source: str, target: str, digest: bytes) -> None:
    """Move a file to a path where nothing lies, and never over something that does.

    At every moment the whole file is at one of the two paths or at both.

    Args:
        digest: of its bytes; what had to be copied (to another file system) is read back and compared.

    Raises:
        FileExistsError: something lies at ``target``; nothing was done.
        OSError: nothing was done.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINK:
            raise
        _copy(source, target, digest)
    try:
        sync_folder(os.path.dirname(target))
        Path(source).unlink()
    except OSError:
        Path(target).unlink()  # the source is still there, untouched
        raise
    sync_folder(os.path.dirname(source))


def sync_folder(path: str) -> None:
    """Make the names in a folder survive a power cut, where the system can do that."""
    if os.name != "posix":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems know no such thing
            raise
    finally:
        os.close(folder)


def _copy(source: str, target: str, digest: bytes) -> None:
    """A checked copy that appears at ``target`` whole or not at all."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    # Named after its bytes: what a crash leaves is found and replaced by the next attempt.
    part = os.path.join(os.path.dirname(target), f".photoseek-{digest.hex()[:16]}.part")
    try:
        with Path(source).open("rb") as read, Path(part).open("wb") as written:
            shutil.copyfileobj(read, written, _PIECE)
            written.flush()
            os.fsync(written.fileno())
        shutil.copystat(source, part)
        if file_hash(part) != digest:
            raise OSError(errno.EIO, "the copy differs from the file")
        _name(part, target)
    finally:
        Path(part).unlink(missing_ok=True)


def _name(part: str, target: str) -> None:
    """Give a finished file its name, unless something has taken it."""
    try:
        os.link(part, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINK:
            raise
        # A file system without hard links offers nothing better than to look first.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        Path(part).rename(target)


def _identity(path: str, found: os.stat_result) -> Checked:
    return Checked(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

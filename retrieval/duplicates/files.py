"""Files to be moved or replaced: check that they are still as indexed, and move them without losing any."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retrieval.catalog.records import ImageRecord
from retrieval.regular_files import digest_of, open_regular, sync_folder
from retrieval.sources.reading import why_not_written

_PIECE = 1 << 20
_NO_HARD_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@dataclass(frozen=True)
class Outcome:
    """The result for one file.

    Attributes:
        action: ``trash``, ``link`` or ``undo``.
        path: the original path of the file.
        done: whether the action was performed.
        detail: where the file is now or what it is linked to; otherwise why nothing was done.
    """

    action: str
    path: str
    done: bool
    detail: str


Tell = Callable[[Outcome], None]


class NotSafe(Exception):
    """A file does not meet the conditions for an action; the message is shown to the user."""


@dataclass(frozen=True)
class Checked:
    """A file whose bytes were read and equal those that were indexed."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int

    def is_unchanged(self) -> bool:
        """True if the same file is still at its path and has not been modified since."""
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
        if (why := why_not_written(image.path)) is not None:
            raise NotSafe(why)
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
    """Raise NotSafe if two paths name one file: nothing would be saved, and both may be the same directory entry."""
    if (one.device, one.inode) == (other.device, other.inode):
        raise NotSafe(f"it is the same file as {other.path} already")


def file_hash(path: str | Path) -> bytes:
    """32 bytes of BLAKE3 of a file, read in pieces."""
    with open_regular(path) as file:
        return digest_of(file)


def move(source: str, target: str, digest: bytes) -> None:
    """Move a file to a path where nothing exists; never overwrites anything.

    At every moment the complete file exists at one of the two paths or at both.

    Args:
        digest: of its bytes; if it has to be copied (to another file system), the copy is read back and compared.

    Raises:
        FileExistsError: something exists at ``target``; nothing was done.
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


def _copy(source: str, target: str, digest: bytes) -> None:
    """A verified copy that appears at ``target`` completely or not at all."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    # Named after the content, so a leftover of a crash is found and replaced by the next attempt.
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
    """Rename a finished file, unless the name has been taken."""
    try:
        os.link(part, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINK:
            raise
        # Without hard links, the best that is possible is to check first.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        Path(part).rename(target)


def _identity(path: str, found: os.stat_result) -> Checked:
    return Checked(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

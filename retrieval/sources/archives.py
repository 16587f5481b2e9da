"""Members of archives as files: listed once for every version of an archive, and read at their place in it.

A member has the times of its archive, which tell whether its bytes may have changed; the time that the archive claims
for it can be anything.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import BinaryIO, cast

from retrieval.regular_files import change_time, digest_of, open_regular
from retrieval.sources.base import UNKNOWN_SIZE, Enters, Entry, Found, Listing, Opened, State
from retrieval.sources.parquet import ROWS, rows
from retrieval.sources.places import archive_of, is_table_name, plain_member
from retrieval.sources.tar import Member, members

_KEPT_MEMBERS = 500_000
"""Members of all archives whose contents are remembered, 300 bytes each; the last archive always is."""

_MOST_NAME = 1024
_Identity = tuple[int, int, int, int]


class Contents:
    """What an archive holds: folder -> name -> member, as a catalog has them; and how much else there is in it."""

    def __init__(self, found: Iterator[Member]) -> None:
        self.folders: dict[str, dict[str, Member]] = {}
        self.others: dict[str, int] = {}
        self.count = 0
        for member in found:
            folder, name = plain_member(member.name)
            if len(name) > _MOST_NAME or len(folder) > _MOST_NAME or not name:
                name = f"member-{sha256(member.name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
                member = member._replace(problem="its name is empty or too long")
                folder = ""
            if member.offset < 0:
                self.others[folder] = self.others.get(folder, 0) + (not member.name.endswith("/"))
                continue
            # Of two with one name the later one counts, as for every program that unpacks them.
            self.folders.setdefault(folder, {})[name] = member._replace(name=name)
            self.count += 1

    def member(self, folder: str, name: str) -> Member | None:
        return self.folders.get(folder, {}).get(name)


class Archives:
    """All archives of this machine; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, _Identity], Contents] = OrderedDict()

    def folders(self, root: str, enters: Enters) -> Iterator[Listing]:
        archive = archive_of(root)
        try:
            if archive is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root)
            with open_regular(archive) as file:
                found = os.fstat(file.fileno())
                contents = self._contents(archive, file)
        except OSError as error:
            yield Listing(root, problem=(error.strerror or type(error).__name__).lower())
            return
        entered: dict[str, bool] = {"": True}
        yield from (
            Listing(
                _joined(archive, folder),
                list(_entries(contents, folder, found)),
                contents.others.get(folder, 0),
                is_empty=not (contents.count or contents.others),
            )
            for folder in sorted({"", *contents.folders})
            if _is_entered(archive, folder, enters, entered)
        )

    def open(self, path: str, between: Callable[[], None] | None = None) -> Opened:
        archive, folder, name = _split(path)
        file = open_regular(archive)
        try:
            before = os.fstat(file.fileno())
            member = self._contents(archive, file).member(folder, name)
            if member is None:
                raise FileNotFoundError(errno.ENOENT, "the archive has no such member", path)
            if member.problem is not None:
                raise OSError(errno.EINVAL, member.problem, path)
            if is_table_name(archive):
                data = ROWS.read(archive, _identity(before), member.offset)
                file.close()
                found = Found(len(data), before.st_mtime_ns, change_time(before))
                return Opened(io.BytesIO(data), found, lambda: _identity(os.stat(archive)) == _identity(before))
            found = Found(member.size, before.st_mtime_ns, change_time(before))
            number = file.fileno()
            stretch = cast(BinaryIO, _Stretch(file, member.offset, member.size))
            return Opened(stretch, found, lambda: _identity(os.fstat(number)) == _identity(before))
        except BaseException:
            file.close()
            raise

    def look(self, path: str) -> Found:
        opened = self.open(path)
        opened.file.close()
        return opened.found

    def state(self, path: str, known: Found, digest: bytes, *, asks: bool = False) -> State:
        archive, folder, name = _split(path)
        try:
            found = os.stat(archive)
            times = found.st_mtime_ns, change_time(found)
            if times == known[1:]:
                return "same"  # without looking into it: nothing of it has changed
            with open_regular(archive) as file:
                if self._contents(archive, file).member(folder, name) is None:
                    return "missing"
            if times[0] != known.mtime_ns:
                return "changed"
            opened = self.open(path)
            with opened.file:
                return "same" if digest_of(opened.file) == digest and opened.is_still() else "changed"
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "changed"

    def is_gone(self, path: str) -> bool:
        archive, folder, name = _split(path)
        try:
            with open_regular(archive) as file:
                return self._contents(archive, file).member(folder, name) is None
        except OSError:
            return False

    def _contents(self, archive: str, file: BinaryIO) -> Contents:
        found = os.fstat(file.fileno())
        key = archive, _identity(found)
        with self._lock:  # one thread lists an archive, those that need it wait
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
            contents = Contents(_listed(archive, file))
            if _identity(os.fstat(file.fileno())) != key[1]:
                raise InterruptedError(0, "changed while it was read")
            self._known[key] = contents
            while len(self._known) > 1 and sum(each.count + 100 for each in self._known.values()) > _KEPT_MEMBERS:
                self._known.popitem(last=False)
            return contents


def _listed(archive: str, file: BinaryIO) -> Iterator[Member]:
    return rows(file) if is_table_name(archive) else members(file)


class _Stretch(io.RawIOBase):
    """A stretch of an open file, as a file of its own."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._at, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._offset + self._at)
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise OSError(errno.EIO, "the archive is cut short")
        self._at += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _entries(contents: Contents, folder: str, archive: os.stat_result) -> Iterator[Entry]:
    members = contents.folders.get(folder, {})
    for name, member in sorted(members.items(), key=lambda item: item[1].offset):  # read forwards
        found = Found(member.size, archive.st_mtime_ns, change_time(archive))
        yield Entry(name, found, member.problem, is_picture=member.size == UNKNOWN_SIZE)


def _is_entered(archive: str, folder: str, enters: Enters, known: dict[str, bool]) -> bool:
    if folder not in known:
        above, _, name = folder.rpartition("/")
        known[folder] = _is_entered(archive, above, enters, known) and enters(_joined(archive, above), name)
    return known[folder]


def _joined(archive: str, folder: str) -> str:
    return os.path.join(archive, *folder.split("/")) if folder else archive


def _split(path: str) -> tuple[str, str, str]:
    """(archive, folder, name); OSError if there is no such archive (any more)."""
    archive = archive_of(path)
    if archive is None or archive == path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    folder, _, name = path[len(archive) + 1 :].replace(os.sep, "/").rpartition("/")
    return archive, folder, name


def _identity(found: os.stat_result) -> _Identity:
    return found.st_ino, found.st_size, found.st_mtime_ns, change_time(found) or 0


ARCHIVES = Archives()

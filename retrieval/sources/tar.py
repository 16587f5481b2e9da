"""The members of a tar, without unpacking: names, positions and sizes. Nothing in it is trusted."""

from __future__ import annotations

import errno
import io
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MOST_MEMBERS = 5_000_000
"""In one archive: each takes about 200 bytes of memory while the archive is in use."""

_MOST_HEADER = 1 << 20
_BLOCK = 512


class Member(NamedTuple):
    """A member: where its bytes are, or why they cannot be read. Links, folders and devices have an offset of -1."""

    name: str
    offset: int
    size: int
    problem: str | None = None


class _Bounded(io.RawIOBase):
    """A file of which no single header can ask for much memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def members(file: BinaryIO) -> Iterator[Member]:
    """Every member of an uncompressed tar, in its order.

    Raises:
        OSError: it is damaged or cut short (``strerror`` says where), or cannot be read. What came before is no reason
            to believe that the rest is gone.
    """
    at = 0
    try:
        with tarfile.open(fileobj=_Bounded(file), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            for count in range(MOST_MEMBERS + 1):
                found = tar.next()
                if found is None:
                    break
                if count == MOST_MEMBERS:
                    raise tarfile.ReadError("too many members")
                if found.size < 0 or found.offset_data <= at:
                    raise tarfile.ReadError("positions that go backwards")
                at = found.offset_data
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                yield _member(found)
            _check_end(file, tar.offset)
    except (tarfile.TarError, EOFError, ValueError, IndexError, KeyError, UnicodeError, RecursionError) as error:
        raise OSError(errno.EILSEQ, f"it is not a whole tar: {error or type(error).__name__}") from None


def _member(found: tarfile.TarInfo) -> Member:
    if found.issparse():
        return Member(found.name, 0, found.size, "a sparse member of an archive is not read")
    return Member(found.name, found.offset_data if found.isreg() else -1, found.size)


def _check_end(file: BinaryIO, at: int) -> None:
    """``tarfile`` ends in silence at a header that is none: members behind it would count as removed."""
    file.seek(at)
    block = file.read(_BLOCK)
    if block.strip(b"\0"):
        raise tarfile.ReadError(f"damaged at byte {at:,}")

"""What a source of pictures offers: a place that holds them and is not a folder of plain files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, NamedTuple, Protocol

State = Literal["same", "changed", "missing"]

Enters = Callable[[str, str], bool]
"""Whether a walk goes into a folder: from the path of the folder that holds it, and its name."""


class Found(NamedTuple):
    """Size in bytes, and two values that differ if the content may differ: nanoseconds of the last modification, and
    one that programs cannot set back; see ``found_files.FoundFile``."""

    size: int
    mtime_ns: int
    ctime_ns: int | None


UNKNOWN_SIZE = -2
"""In a listing, of a file whose size is only known when it is read: a parquet file does not say how long a value is."""


class Entry(NamedTuple):
    """A file of a source, by its name in its folder; with ``problem`` set it cannot be read.

    ``is_picture``: the source says that it is one, whatever its name.
    """

    name: str
    found: Found
    problem: str | None = None
    is_picture: bool = False


class Listing(NamedTuple):
    """One folder of a source; with ``problem`` set, nothing is known about its contents at any depth.

    Attributes:
        entries: in the order in which they are best read.
        others: how much else is in it that cannot be a picture: links, devices.
        is_empty: whether there is nothing in it, at any depth.
    """

    path: str
    entries: Sequence[Entry] = ()
    others: int = 0
    is_empty: bool = False
    problem: str | None = None


class Opened(NamedTuple):
    """An open file of a source: its bytes, what is known of them, and whether they are still those of the source."""

    file: BinaryIO
    found: Found
    is_still: Callable[[], bool]


class Source(Protocol):
    """A kind of place; every path is one of a catalog: absolute, the folder and the name joined."""

    def folders(self, root: str, enters: Enters) -> Iterator[Listing]:
        """Every folder at or below ``root`` that has entries, and ``root`` itself. A folder that cannot be listed has a
        ``problem``; others go on."""
        ...

    def open(self, path: str, between: Callable[[], None] | None = None) -> Opened:
        """A file, open for reading at any position.

        Args:
            between: given by a caller that waits while the source cannot be reached; called meanwhile, and may raise.

        Raises:
            OSError: there is none (FileNotFoundError), or it cannot be read.
        """
        ...

    def state(self, path: str, known: Found, digest: bytes, *, asks: bool = False) -> State:
        """How the file compares with what a catalog knows of it.

        Args:
            digest: BLAKE3 of the bytes that were indexed.
            asks: also where that takes a request over a network.
        """
        ...

    def look(self, path: str) -> Found:
        """Size and times of a file.

        Raises:
            OSError: as for :meth:`open`.
        """
        ...

    def is_gone(self, path: str) -> bool:
        """True only if it is certain that there is no such file."""
        ...

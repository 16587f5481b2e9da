"""Index types beside those in this process: of servers, and of other packages (entry points ``photoseek.indexes``)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from indexes.factory import StoredIndex
    from indexes.server import Server
    from indexes.server_spec import ServerSpec
    from indexes.spec import IndexSpec

ENTRY_POINTS = "photoseek.indexes"

_SERVERS = {"milvus": "indexes.milvus", "pgvector": "indexes.pgvector"}
"""Family -> the module with its ``KIND``, imported for a specification of a server only."""


class IndexKind(Protocol):
    """A family of vector indexes. The name of the entry point is the ``family`` of its specifications."""

    def parse(self, text: str) -> IndexSpec | None:
        """Parse a specification, without spaces, as users and manifests write it; None if it is not of this kind.

        The result is a subclass of ``IndexSpec``. Its ``str`` is parsed again when a saved index is opened.
        """
        ...

    def index_class(self, spec: IndexSpec) -> type[StoredIndex]:
        """The class that implements it. Raises BackendUnavailable if its library cannot be imported."""
        ...


class ServerKind(Protocol):
    """A family of indexes that a server keeps."""

    def parse(self, text: str) -> ServerSpec | None:
        """Parse an address; None if it is not of this kind. Raises SpecError if it is a wrong one."""
        ...

    def connect(self, spec: ServerSpec) -> Server:
        """Connect to the server of ``spec``.

        Raises:
            BackendUnavailable: its client is not installed.
            IndexUnreachable: it does not answer, or refuses access.
        """
        ...


def server_kinds() -> Iterator[ServerKind]:
    """The kinds of index that a server keeps."""
    for module in _SERVERS.values():
        yield import_module(module).KIND


def server_kind(family: str) -> ServerKind | None:
    """The kind of this family; None if no server keeps it."""
    return import_module(_SERVERS[family]).KIND if family in _SERVERS else None


def other_kinds(family: str | None = None) -> Iterator[IndexKind]:
    """The kinds declared by installed packages, of one family or all.

    Listing the installed packages takes longer than a query, so it is only done for specifications that are not ours.
    """
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS):
        if family in (None, entry.name):
            yield entry.load()

"""Index types from other packages, declared as entry points of the group ``photoseek.indexes``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from indexes.factory import StoredIndex
    from indexes.spec import IndexSpec

ENTRY_POINTS = "photoseek.indexes"


class IndexKind(Protocol):
    """A family of vector indexes. The entry point's name is the ``family`` of its specifications."""

    def parse(self, text: str) -> IndexSpec | None:
        """A specification, without spaces, as people and manifests write it; None if it is none of this kind.

        The result is a subclass of ``IndexSpec``. ``str`` of it is parsed again when a saved index is opened.
        """
        ...

    def index_class(self, spec: IndexSpec) -> type[StoredIndex]:
        """What implements it. Raises BackendUnavailable if its library cannot be imported."""
        ...


def other_kinds(family: str | None = None) -> Iterator[IndexKind]:
    """What installed packages have declared, of one family or of all.

    Looking through the installed packages takes longer than a query: called only for what is none of our own kinds.
    """
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS):
        if family in (None, entry.name):
            yield entry.load()

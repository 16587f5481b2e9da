"""How a statement on the catalog's tables is run: the same text, by a reader or in a transaction.

Values appear in it as ``:name``, which ``sqlite3`` understands directly and SQLAlchemy's ``text`` accepts unchanged.
So the modules in this package hold each statement once, whoever runs it, and import neither library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Functions = Mapping[str, tuple[int, Callable[..., Any]]]
"""Name -> (number of arguments, function): functions that a statement calls besides SQL's own."""

_IDS_AT_ONCE = 100
"""Named values in one statement: SQLite takes time in proportion to their number to look up each name."""


class Rows(Protocol):
    """Answers queries: a ``CatalogReader``, or a ``Transaction``, which sees what it has written so far."""

    @property
    def is_server(self) -> bool:
        """Whether the catalog is in PostgreSQL, where ranking by words has other statements."""

    def rows(self, sql: str, values: Mapping[str, Any] = ...) -> list[Any]:
        """The rows of a statement, each usable as a tuple."""


class FilteredRows(Rows, Protocol):
    """Answers queries that contain the conditions of filters."""

    def rows(self, sql: str, values: Mapping[str, Any] = ..., *, functions: Functions | None = ...) -> list[Any]:
        """The rows of a statement that may call ``functions``."""


def id_lists(ids: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ids in portions, for ``WHERE id IN (...)``: the names to put between the brackets, and their values."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = {f"id{at}": int(id_) for at, id_ in enumerate(ids[start : start + _IDS_AT_ONCE])}
        yield ", ".join(f":{name}" for name in part), part

"""How a statement on the catalog's tables is run: one text, by a reader or in a transaction.

Values stand in it as ``:name``, which ``sqlite3`` understands by itself and SQLAlchemy's ``text`` takes as the same
string. So the modules beside this one hold each statement once, whoever runs it, and import neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Functions = Mapping[str, tuple[int, Callable[..., Any]]]
"""Name -> (number of arguments, function) of what a statement calls besides SQL's own functions."""

_IDS_AT_ONCE = 100
"""Named values in one statement: looking up a name takes SQLite time in proportion to how many there are."""


class Rows(Protocol):
    """Answers questions: a ``CatalogReader``, or a ``Transaction`` that sees what it has written so far."""

    def rows(self, sql: str, values: Mapping[str, Any] = ...) -> list[Any]:
        """The rows of a statement, each like a tuple."""


class FilteredRows(Protocol):
    """Answers questions with the conditions of filters in them."""

    def rows(self, sql: str, values: Mapping[str, Any] = ..., *, functions: Functions | None = ...) -> list[Any]:
        """The rows of a statement that may call ``functions``."""


def id_lists(ids: Sequence[int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ids in portions, for ``WHERE id IN (...)``: the names to stand between the brackets, and their values."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        part = {f"id{at}": int(id_) for at, id_ in enumerate(ids[start : start + _IDS_AT_ONCE])}
        yield ", ".join(f":{name}" for name in part), part

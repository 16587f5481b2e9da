"""Which images a search may return: conditions on the catalog's data, applied before ranking, never after it.

The names are loaded on first use: a command line reads only the table of conditions.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers assume True
if TYPE_CHECKING:
    from typing import Any

    from retrieval.filters.dates import parse_date
    from retrieval.filters.filter import Filter, parse_filter
    from retrieval.filters.places import Near

__all__ = ["Filter", "Near", "parse_date", "parse_filter"]

_HOME = {"Filter": "filter", "Near": "places", "parse_date": "dates", "parse_filter": "filter"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

"""Which images a search may return: conditions on what the catalog knows, applied before ranking, never after it."""

from __future__ import annotations

from retrieval.filters.filter import Filter, Orientation
from retrieval.filters.places import Near
from retrieval.filters.text import parse_date, parse_filter

__all__ = ["Filter", "Near", "Orientation", "parse_date", "parse_filter"]

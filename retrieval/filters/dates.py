"""Dates and moments as people write them."""

from __future__ import annotations

import re
from datetime import datetime

from retrieval.errors import QueryError

_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?)?)?")
_WITH_OFFSET = re.compile(r":\d\d(Z|[+-]\d\d:?\d\d)$")


def parse_date(text: str) -> datetime:
    """The first moment of what is written: ``2023``, ``2023-06``, ``2023-06-01``, ``2023-06-01 18:30``.

    Raises:
        QueryError: not a date.
    """
    match = _DATE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        first = ("1", "1", "1", "0", "0", "0")
        parts = (int(part or start) for part, start in zip(match.groups(), first, strict=True))
        year, month, day, hour, minute, second = parts
        return datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        why = "" if match is None else f": {error}"
        raise QueryError(
            f"{text!r} is not a date{why}", "write 2023, 2023-06, 2023-06-01 or '2023-06-01 18:30'"
        ) from None


def parse_moment(text: str) -> datetime:
    """A date, or a moment with its distance from UTC; raises as :func:`parse_date`."""
    if _WITH_OFFSET.search(text.strip()):
        try:
            return datetime.fromisoformat(text.strip())
        except ValueError:
            pass
    return parse_date(text)

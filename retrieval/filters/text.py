"""Filters as plain values: what people write on a command line, in a URL or in JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from retrieval.errors import QueryError
from retrieval.filters.filter import Filter

_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?)?)?")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def parse_filter(**values: Any) -> Filter:
    """A filter from plain values under the names of :class:`Filter`'s fields.

    A value is a text, a number, or a list of these; ``None``, an empty text and an empty list ask for nothing. A list
    of one stands for its element, as in what URLs are taken apart to.

    Raises:
        QueryError: an unknown name; a value that is no date, number, place or pattern; conditions that exclude each
            other.
    """
    known = {field.name for field in fields(Filter)}
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise QueryError(
                f"a filter has no condition {name!r}",
                f"did you mean {near[0]}?" if near else f"it has: {', '.join(sorted(known))}",
            )
    asked: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or value is False or value == "" or value == [] or value == ():
            continue
        read = _SINGLE.get(name)
        asked[name] = _many(name, value) if read is None else read(name, _one(name, value))
    return Filter(**asked)


def to_mapping(where: Filter) -> dict[str, Any]:
    """The inverse of :func:`parse_filter`: the conditions that ask for something, as text, numbers, lists of text."""
    return {
        name: [str(part) for part in value]
        if isinstance(value, tuple)
        else value.isoformat()
        if isinstance(value, datetime)
        else value
        for name, value in where.asked()
    }


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


def _date(_name: str, value: Any) -> datetime:
    return value if isinstance(value, datetime) else parse_date(str(value))


def _moment(_name: str, value: Any) -> datetime:
    """A date, or a moment with its distance from UTC."""
    if isinstance(value, str) and re.search(r":\d\d(Z|[+-]\d\d:?\d\d)$", value.strip()):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            pass
    return _date(_name, value)


def _pixels(name: str, value: Any) -> int:
    text = str(value).strip()
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise QueryError(f"{name} {text!r} is not a number of pixels", "write a whole number, for instance 1920")
    return int(text)


def _truth(name: str, value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise QueryError(f"{name} {text!r} is neither true nor false", "write true or false")
    return text in _TRUE


_SINGLE: dict[str, Callable[[str, Any], Any]] = {
    "after": _date,
    "before": _date,
    "added_after": _moment,
    "min_width": _pixels,
    "min_height": _pixels,
    "untagged": _truth,
}
"""Conditions with one value; the others take several."""


def _one(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise QueryError(f"{name} was given {len(value)} times", "give it once")
        return value[0]
    return value


def _many(name: str, value: Any) -> tuple[Any, ...]:
    values = value if isinstance(value, list | tuple) else (value,)
    if not all(
        isinstance(part, str) or hasattr(part, "__dataclass_fields__") or isinstance(part, Path) for part in values
    ):
        raise QueryError(f"{name} takes texts", f"write a text or a list of texts for {name}")
    return tuple(values)

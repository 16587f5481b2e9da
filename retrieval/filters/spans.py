"""Ranges of numbers as people write them: ``400``, ``100-400``, ``>=1600``, ``2+``, ``f/2.8``, ``1/500-1/60``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf, nextafter

from retrieval.errors import QueryError
from retrieval.filters.conditions import Unit

_SIGN = r"(>=|<=|≥|≤|>|<)?\s*(.*)"
_BETWEEN = r"\s*(?:-|–|—|\.\.+|\bto\b)\s*"
_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})(?:\s*/\s*(\d{1,9}(?:\.\d{1,9})?))?"
_CLOCK = r"(\d{1,5}):([0-5]\d)(?::([0-5]\d))?"
_DIGITS = 9  # after the point: a value converted to text and back is unchanged


@dataclass(frozen=True)
class Span:
    """Numbers from ``low`` to ``high``, both included, unless ``excludes_end``; None: unbounded.

    Raises:
        QueryError: the end is below the beginning, or both are missing.
    """

    low: float | None = None
    high: float | None = None
    excludes_end: bool = False

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise QueryError("a range without a beginning and an end was given", "leave it out")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise QueryError(f"the range {self} ends before it begins", "swap the two")

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return _said(self.low) if self.low == self.high else f"{_said(self.low)}-{_said(self.high)}"
        equal = "" if self.excludes_end else "="
        return f">{equal}{_said(self.low)}" if self.low is not None else f"<{equal}{_said(self.high or 0.0)}"

    def bounds(self, tolerance: float) -> tuple[float, float]:
        """The lowest and the highest number that match, both included.

        Args:
            tolerance: relative difference up to which a number counts as equal.
        """
        low = -inf if self.low is None else self.low * (1 + tolerance if self.excludes_end else 1 - tolerance)
        high = inf if self.high is None else self.high * (1 - tolerance if self.excludes_end else 1 + tolerance)
        if self.excludes_end:
            low, high = nextafter(low, inf), nextafter(high, -inf)
        return low, high

    def holds(self, other: Span) -> bool:
        """True if the other range lies within this one."""
        (low, high), (from_, to) = self.bounds(0.0), other.bounds(0.0)
        return low <= from_ and to <= high


def parse_span(text: str, unit: Unit) -> Span:
    """A range of numbers in a unit, which may be omitted.

    Raises:
        QueryError: not such a number or range, or the end is below the beginning.
    """
    found = re.fullmatch(_SIGN, text.strip(), re.DOTALL)
    assert found is not None
    sign, rest = found[1], found[2]
    if sign is None and rest.endswith("+"):
        sign, rest = ">=", rest[:-1]
    ends = [rest] if sign else re.split(_BETWEEN, rest)
    numbers = [_number(end, unit) for end in ends]
    if len(numbers) > 2 or None in numbers:
        raise QueryError(f"{text[:60]!r} is not {unit.what}", f"write {unit.examples}")
    low, high = numbers[0], numbers[-1]
    if sign is None:
        return Span(low, high)
    strict = sign in ("<", ">")
    return Span(low, None, strict) if sign in (">", ">=", "≥") else Span(None, high, strict)


def _number(text: str, unit: Unit) -> float | None:
    """A number above zero; None if the text is not one."""
    if unit.larger and (clock := re.fullmatch(_CLOCK, text.strip())) is not None:
        parts = [int(part) for part in clock.groups() if part is not None]
        return float(sum(part * 60**place for place, part in enumerate(reversed(parts)))) or None
    for pattern, factor in unit.larger:
        if (more := re.fullmatch(rf"{_NUMBER}\s*(?:{pattern})", text.strip(), re.IGNORECASE)) is not None:
            return round(factor * float(more[1]), _DIGITS) or None
    found = re.fullmatch(rf"(?:{unit.before})?\s*{_NUMBER}\s*(?:{unit.behind})?", text.strip(), re.IGNORECASE)
    if found is None or (found[2] and not float(found[2])):
        return None
    number = round(float(found[1]) / float(found[2] or 1), _DIGITS)
    return number if number > 0 else None


def _said(number: float) -> str:
    """In a form that can be parsed again: never with an exponent, and short times as photographers write them."""
    part = round(1 / number)
    if part > 1 and round(1 / part, _DIGITS) == number:
        return f"1/{part}"
    return f"{number:.{_DIGITS}f}".rstrip("0").rstrip(".")

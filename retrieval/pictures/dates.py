"""Dates as written by cameras and programs, with their precision."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from email.utils import parsedate_tz
from typing import Literal, NamedTuple

Precision = Literal["year", "month", "day", "hour", "minute"]

_FIRST_YEAR = 1826  # of the oldest surviving photograph; earlier years are unset clocks
_UNSET = frozenset({datetime(1970, 1, 1), datetime(1904, 1, 1)})  # the zero of unset clocks

_AM = r"a\.?\s?m\.?|上午|午前|오전|vorm\.?|π\.?μ\.?"
_PM = r"p\.?\s?m\.?|下午|午後|오후|nachm\.?|μ\.?μ\.?"
_SEPARATOR = r"[:/.\-_ ]"
_DAY = re.compile(
    rf"\s*(?P<year>\d{{4}})(?:{_SEPARATOR}(?P<month>\d{{1,2}})(?:{_SEPARATOR}(?P<day>\d{{1,2}}))?)?(?!\d)"
)
_DAY_FIRST = re.compile(r"\s*(?P<day>\d{1,2})(?P<sign>[./-])(?P<month>\d{1,2})(?P=sign)(?P<year>\d{4})(?!\d)")
_COMPACT = re.compile(
    r"\s*(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?:[T_ -]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d))?(?!\d)"
)
_TIME = re.compile(
    rf"[T,\s]*(?P<before>(?:{_AM}|{_PM})\s*)?(?P<hour>\d{{1,2}})\s*[:.h]\s*(?P<minute>\d{{1,2}})"
    rf"(?:\s*[:.m]\s*(?P<second>\d{{1,2}})(?:[.,:](?P<fraction>\d{{1,9}}))?)?(?!\d)s?(?P<after>\s*(?:{_AM}|{_PM})(?!\w))?",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"\s*(?:UTC|GMT)?\s*([+\-\u2212])(\d{1,2}):?(\d{2})(?:\s.*)?$", re.IGNORECASE)
_UTC = re.compile(r"\s*(?:Z|UTC|GMT)\s*$", re.IGNORECASE)


class Moment(NamedTuple):
    """A date as it was written.

    Args:
        at: naive local time, to the second; unknown parts have their first value.
        precision: the smallest known unit; None: to the second.
        microsecond: in addition to ``at``.
        offset_minutes: offset of ``at`` from UTC, if it was written too.
    """

    at: datetime
    precision: Precision | None = None
    microsecond: int = 0
    offset_minutes: int | None = None


def parse_moment(text: str | None) -> Moment | None:
    """A date in any of the forms that occur in pictures; None if the year is not certain.

    EXIF's form and ISO 8601's, also with other separators, without some or all of the time, with fractions, an offset,
    or am and pm in some languages; digits only; the day before the year if that is unambiguous; RFC 2822. An
    unreadable time does not invalidate the day. Hour 24 is read as hour 0 of the same day and second 60 as 59, as some
    clocks write them. Two-digit years are not read. Ignored as unset clocks: zeros, years before 1826 or after the
    next one, the first second of 1970 and of 1904.
    """
    if not text:
        return None
    found = _numbers(text) or _mail_date(text)
    if found is None or found.at in _UNSET or not _FIRST_YEAR <= found.at.year <= datetime.now().year + 1:
        return None
    return found


def parse_offset(text: str | None) -> int | None:
    """Minutes from UTC, from ``+02:00``, ``-0330``, ``Z``; None if it is not an offset from -12 to +14 hours."""
    if text is None:
        return None
    if _UTC.match(text):
        return 0
    found = _OFFSET.match(text)
    if not found:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    if int(found[3]) > 59 or minutes > (14 if found[1] == "+" else 12) * 60:
        return None
    return minutes if found[1] == "+" else -minutes


def microseconds(digits: str | None) -> int:
    """Microseconds from the digits after the decimal point of a second."""
    found = re.match(r"\s*(\d{1,9})", digits or "")
    return int(found[1][:6].ljust(6, "0")) if found else 0


def _numbers(text: str) -> Moment | None:
    compact = _COMPACT.match(text)
    if compact:
        parts = compact.groupdict()
        day = _day(parts)
        if day is None or parts["hour"] is None:
            return day
        return _at(day, parts["hour"], parts["minute"], parts["second"], text[compact.end() :])
    found = _DAY.match(text)
    if found is None:
        found = _DAY_FIRST.match(text)
        # With dots the day is always first; otherwise only if it cannot be a month, or equals the month.
        if found is None or not (found["sign"] == "." or int(found["day"]) > 12 or found["day"] == found["month"]):
            return None
    day = _day(found.groupdict())
    if day is None or day.precision != "day":
        return day
    rest = text[found.end() :]
    time = _TIME.match(rest)
    if not time:
        return day._replace(offset_minutes=parse_offset(rest) if rest.strip() else None)
    word = (time["before"] or time["after"] or "").strip()
    hour = int(time["hour"])
    if word and hour <= 12:
        hour = hour % 12 + (12 if re.match(_PM, word, re.IGNORECASE) else 0)
    return _at(day, str(hour), time["minute"], time["second"], rest[time.end() :], microseconds(time["fraction"]))


def _day(parts: dict[str, str | None]) -> Moment | None:
    year, month, day = (int(parts[name] or 0) for name in ("year", "month", "day"))
    precision: Precision = "day" if day and month else "month" if month else "year"
    if day and not month:
        return None
    try:
        return Moment(datetime(year, month or 1, day or 1), precision)
    except ValueError:
        return None


def _at(day: Moment, hour: str, minute: str, second: str | None, rest: str, fraction: int = 0) -> Moment:
    hours, minutes, seconds = int(hour), int(minute), min(int(second or 0), 60)
    if hours > 24 or minutes > 59 or int(second or 0) > 60:
        return day
    span = timedelta(hours=hours % 24, minutes=minutes, seconds=min(seconds, 59))
    return Moment(day.at + span, None if second else "minute", fraction, parse_offset(rest) if rest.strip() else None)


def _mail_date(text: str) -> Moment | None:
    """Reference: RFC 2822, which PNG recommends for its Creation Time."""
    try:
        found = parsedate_tz(text)
        if found is None or not re.search(r"\d{4}", text):
            return None
        # A missing zone is 0 there, and -0000 means unknown.
        has_zone = re.search(r"(?:[+-](?!0000)\d{4}|\+0000|GMT|UTC?|[ECMP][SD]T|Z)\s*(?:\(.*\))?\s*$", text)
        return Moment(datetime(*found[:6]), None, 0, (found[9] or 0) // 60 if has_zone else None)
    except (TypeError, ValueError, IndexError):
        return None

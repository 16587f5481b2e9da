"""Dates and moments in the forms that people write.

Numeric dates are parsed here. Words (``yesterday``, ``3 weeks ago``, ``june 2023``) are parsed by the library
dateparser, in English whatever the machine's language is; it is loaded only for them. In all forms a date means the
first moment of the period:

* ``yesterday``, ``monday``, ``3 days ago``, ``2 months ago``: that day at 00:00;
* ``last week``, ``this month``, ``last year``: the first day of it at 00:00; weeks begin on Monday;
* ``2 hours ago``, ``yesterday 18:30``: that minute.

"Now" and "today" are those of this machine's clock and time zone (on a server: the server's). Names of months and
days refer to the past.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from retrieval.errors import QueryError, RuntimeUnavailable

_DATE = r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?)?)?"
# As strings: they are compiled when a date is parsed, not whenever filters are imported.
_WORDS = (
    r"\b(now|today|yesterday|tomorrow|ago|last|this|next|noon|midnight"
    r"|(second|minute|hour|day|week|month|year)s?|(mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?"
    r"|dec(ember)?)\b"
)
"""Every date in words contains one of these."""

_WHOLE = r"(?:last|this|next)\s+(week|month|year)"
_NEAR_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_LEAP_YEAR = 2000  # has a 29 February
_LONGEST = 100
_WITH_OFFSET = r":\d\d(Z|[+-]\d\d:?\d\d)$"


def parse_date(text: str, now: datetime | None = None) -> datetime:
    """The first moment of a period: ``2023``, ``2023-06``, ``2023-06-01``, ``2023-06-01 18:30``, ``yesterday``.

    Args:
        now: naive local time that relative dates refer to; default: this machine's.

    Raises:
        QueryError: not a date.
        RuntimeUnavailable: it is in words, and dateparser is not installed.
    """
    match = re.fullmatch(_DATE, text.strip())
    if match is None and len(text) <= _LONGEST and re.search(_WORDS, text, re.IGNORECASE):
        found = _in_words(" ".join(text.split()), now or datetime.now())
        if found is not None:
            return found
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
            f"{text!r} is not a date{why}",
            "write 2023, 2023-06, 2023-06-01, '2023-06-01 18:30', yesterday or '3 weeks ago'",
        ) from None


def _in_words(text: str, now: datetime) -> datetime | None:
    try:
        from dateparser.date import DateDataParser
    except ModuleNotFoundError as error:
        raise RuntimeUnavailable(
            f"{error.name} is not installed", "pip install dateparser, or write 2023-06-01"
        ) from None
    # A month means its first day; "2 months ago" keeps the day.
    first = "current" if re.search(r"\b(ago|in)\b", text, re.IGNORECASE) else "first"
    settings = {
        "RELATIVE_BASE": now,
        "PREFER_DATES_FROM": "past",
        "PREFER_DAY_OF_MONTH": first,
        "RETURN_TIME_AS_PERIOD": True,
        "RETURN_AS_TIMEZONE_AWARE": False,
    }
    try:
        found = DateDataParser(languages=["en"], settings=settings).get_date_data(text)
    except (ArithmeticError, ValueError):  # a billion years ago
        return None
    if found.date_obj is None:
        return None
    if whole := re.fullmatch(_WHOLE, text, re.IGNORECASE):
        day = _midnight(found.date_obj)
        if whole[1].lower() == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if whole[1].lower() == "month" else day.replace(month=1, day=1)
    return found.date_obj.replace(second=0, microsecond=0) if found.period == "time" else _midnight(found.date_obj)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def parse_day(text: str, now: datetime | None = None) -> str:
    """A day of the year as ``MM-DD``: ``12-24``, ``2023-12-24``, ``today``, ``yesterday``, ``tomorrow``.

    Args:
        now: naive local time that relative days refer to; default: this machine's.

    Raises:
        QueryError: not a day.
    """
    asked = text.strip().lower()
    if asked in _NEAR_DAYS:
        return f"{(now or datetime.now()) + timedelta(days=_NEAR_DAYS[asked]):%m-%d}"
    try:
        match = re.fullmatch(r"(?:(\d{4})-)?(\d{1,2})-(\d{1,2})", asked)
        if match is None:
            raise ValueError("no month and day")
        return f"{datetime(int(match[1] or _LEAP_YEAR), int(match[2]), int(match[3])):%m-%d}"
    except ValueError:
        raise QueryError(
            f"{text[:40]!r} is not a day of the year", "write a month and a day: 12-24; or today"
        ) from None


def parse_moment(text: str) -> datetime:
    """A date, or a moment with its offset from UTC; raises as :func:`parse_date`."""
    if re.search(_WITH_OFFSET, text.strip()):
        try:
            return datetime.fromisoformat(text.strip())
        except ValueError:
            pass
    return parse_date(text)

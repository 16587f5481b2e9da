"""Times as people say them, from one moment to another: a year, a month, a season, ``last week``, ``2018 - 2020``.

Seasons are those of meteorologists on the northern half of the globe: summer is June to August, and the winter of 2018
begins in December 2018. Everything else is read by :mod:`retrieval.filters.dates`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from retrieval.errors import QueryError
from retrieval.filters.dates import parse_date

_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_SEASON = rf"(?:(last|this)\s+)?({'|'.join(_SEASONS)})(?:\s+(?:of\s+)?(\d{{4}}))?"
_BETWEEN = r"\s+(?:to|until|till|and)\s+|\s+[-–—]\s+|\s*[–—]\s*|\.\."
_YEARS = r"(\d{4})\s*-\s*(\d{4})"
_SINCE, _UNTIL = r"(?:since|from|after)\s+(.+)", r"(?:until|till|to|before)\s+(.+)"
_MONTHS = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?:\s+\d{4})?"


class Period(NamedTuple):
    """A time; naive local moments, the end exclusive; None: open on that side."""

    after: datetime | None
    before: datetime | None


def parse_period(text: str, now: datetime | None = None) -> Period:
    """A time in words or numbers.

    Args:
        text: ``2019``, ``June 2019``, ``2019-06-14``, ``last summer``, ``winter 2018``, ``yesterday``, ``last week``,
            ``2018 - 2020``, ``from May 2019 to last month``, ``since 3 weeks ago``, ``until 2015``.
        now: naive local time that relative times refer to; default: this machine's.

    Raises:
        QueryError: not a time, or one that ends before it begins.
        RuntimeUnavailable: it is in words, and dateparser is not installed.
    """
    try:
        return _read(text, now or datetime.now())
    except (ValueError, OverflowError):
        raise QueryError(f"{text[:40]!r} is beyond the calendar", "write years from 1 to 9998") from None


def _read(text: str, now: datetime) -> Period:
    words = " ".join(text.split())
    if years := re.fullmatch(_YEARS, words):
        return _ordered(text, _one(years[1], now).after, _one(years[2], now).before)
    ends = re.split(_BETWEEN, re.sub(r"^(?:from|between)\s+", "", words, flags=re.IGNORECASE), flags=re.IGNORECASE)
    if len(ends) == 2 and all(ends):
        return _ordered(text, _one(ends[0], now).after, _one(ends[1], now).before)
    if since := re.fullmatch(_SINCE, words, re.IGNORECASE):
        return Period(_one(since[1], now).after, None)
    if until := re.fullmatch(_UNTIL, words, re.IGNORECASE):
        is_before = words.lower().startswith("before")
        end = _one(until[1], now)
        return Period(None, end.after if is_before else end.before)
    return _one(words, now)


def _ordered(text: str, after: datetime | None, before: datetime | None) -> Period:
    if after is not None and before is not None and after >= before:
        raise QueryError(f"{text!r} ends before it begins", "write the earlier time first")
    return Period(after, before)


def _one(text: str, now: datetime) -> Period:
    if season := re.fullmatch(_SEASON, text, re.IGNORECASE):
        return _season(season[2].lower(), (season[1] or "").lower(), season[3], now)
    first = parse_date(text, now)
    return Period(first, _end(text, first))


def _season(name: str, which: str, year: str | None, now: datetime) -> Period:
    month = _SEASONS[name]
    first = datetime(int(year) if year else now.year, month, 1)
    # Without a year the latest one is meant that has begun; "last" is the latest that is over.
    while not year and which != "this" and (first > now or (which == "last" and _months_on(first, 3) > now)):
        first = first.replace(year=first.year - 1)
    return Period(first, _months_on(first, 3))


def _end(text: str, first: datetime) -> datetime:
    """When the period is over that a text names, from how precisely it does so."""
    if numbers := re.fullmatch(r"\d{4}(-\d{1,2})?(-\d{1,2})?", text):
        return _months_on(first, 12) if not numbers[1] else _months_on(first, 1) if not numbers[2] else _day_on(first)
    lowered = text.lower()
    if re.fullmatch(_MONTHS, lowered) or re.fullmatch(r"(last|this|next) month", lowered):
        return _months_on(first, 1)
    if re.fullmatch(r"(last|this|next) year", lowered):
        return _months_on(first, 12)
    if re.fullmatch(r"(last|this|next) week", lowered):
        return first + timedelta(days=7)
    return first + timedelta(minutes=1) if first.hour or first.minute else _day_on(first)


def _day_on(first: datetime) -> datetime:
    return first + timedelta(days=1)


def _months_on(first: datetime, months: int) -> datetime:
    month = first.month - 1 + months
    return first.replace(year=first.year + month // 12, month=month % 12 + 1)

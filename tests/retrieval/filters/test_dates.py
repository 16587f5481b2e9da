"""Dates in words: counted from a moment that is given, in English, to the first moment of what is written."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.filters import parse_date, parse_filter
from retrieval.filters.dates import parse_day

pytest.importorskip("dateparser")

NOW = datetime(2026, 11, 29, 18, 40, 33)  # a Sunday
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("today", (2026, 11, 29)),
        ("Yesterday", (2026, 11, 28)),
        ("tomorrow", (2026, 11, 30)),
        ("3 days ago", (2026, 11, 26)),
        ("3 weeks ago", (2026, 11, 8)),
        ("  3   weeks ago ", (2026, 11, 8)),
        ("a week ago", (2026, 11, 22)),
        ("2 months ago", (2026, 9, 29)),
        ("2 years ago", (2024, 11, 29)),
        ("this week", (2026, 11, 23)),
        ("last week", (2026, 11, 16)),
        ("this month", (2026, 11, 1)),
        ("last month", (2026, 10, 1)),
        ("this year", (2026, 1, 1)),
        ("last year", (2025, 1, 1)),
        ("monday", (2026, 11, 23)),
        ("last friday", (2026, 11, 27)),
        ("may", (2026, 5, 1)),
        ("june 2023", (2023, 6, 1)),
        ("1 june 2021", (2021, 6, 1)),
        ("now", (2026, 11, 29, 18, 40)),
        ("2 hours ago", (2026, 11, 29, 16, 40)),
        ("yesterday 18:30", (2026, 11, 28, 18, 30)),
        ("noon yesterday", (2026, 11, 28, 12)),
    ],
)
def test_words_are_counted_from_now(text: str, moment: tuple[int, ...]) -> None:
    assert parse_date(text, NOW) == datetime(*moment)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "now", "moment"),
    [
        ("last month", datetime(2026, 3, 31), (2026, 2, 1)),
        ("last month", datetime(2026, 1, 1), (2025, 12, 1)),
        ("last week", datetime(2026, 1, 5), (2025, 12, 29)),
        ("this week", datetime(2026, 1, 1), (2025, 12, 29)),
        ("yesterday", datetime(2024, 3, 1, 0, 0, 1), (2024, 2, 29)),
        ("a year ago", datetime(2024, 2, 29), (2023, 2, 28)),
    ],
)
def test_at_the_ends_of_months_and_years(text: str, now: datetime, moment: tuple[int, ...]) -> None:
    assert parse_date(text, now) == datetime(*moment)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    "text", ["ago", "last", "12 ago", "the other day", "gestern", "hier", "999999999999 years ago"]
)
def test_words_that_are_no_date(text: str) -> None:
    with pytest.raises(QueryError, match="is not a date") as caught:
        parse_date(text, NOW)
    assert "3 weeks ago" in caught.value.hint


def test_a_language_of_the_machine_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANG", "LC_ALL", "LC_TIME", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    assert parse_date("3 may 2021", NOW) == datetime(2021, 5, 3)
    assert parse_date("may 3 2021", NOW) == datetime(2021, 5, 3)


def test_a_filter_takes_words_for_every_date() -> None:
    where = parse_filter(after="2 years ago", before="today", added_after="yesterday")
    today = where.before
    assert (today.hour, today.minute, today.second) == (0, 0, 0) and today.tzinfo is None
    assert where.after < today
    assert where.added_after.tzinfo is UTC and where.added_after < today.astimezone()


def test_digits_load_no_library() -> None:
    code = (
        "import sys; from retrieval.filters import parse_filter\n"
        "parse_filter(after='2023-06', before='2023-06-01 18:30', added_after='2024-01-01T10:00:00Z')\n"
        "assert 'dateparser' not in sys.modules\n"
        "parse_filter(after='yesterday')\n"
        "assert 'dateparser' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("text", "day"),
    [("12-24", "12-24"), ("1-2", "01-02"), ("2023-12-24", "12-24"), ("02-29", "02-29"), (" Today ", "02-29"),
     ("yesterday", "02-28"), ("tomorrow", "03-01")],
)  # fmt: skip
def test_a_day_of_the_year(text: str, day: str) -> None:
    assert parse_day(text, datetime(2024, 2, 29, 23, 59)) == day


@pytest.mark.parametrize("text", ["", "12", "2023-12", "13-01", "02-30", "2023-02-29", "christmas", "12-24-2023"])
def test_what_is_no_day_of_the_year(text: str) -> None:
    with pytest.raises(QueryError, match="not a day of the year"):
        parse_day(text)

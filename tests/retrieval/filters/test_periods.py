"""Times in words: from one moment to another."""

from __future__ import annotations

from datetime import datetime

import pytest

from retrieval.errors import QueryError
from retrieval.filters.periods import parse_period

NOW = datetime(2024, 7, 17, 12, 30)  # a Wednesday in summer


def day(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "after", "before"),
    [
        ("2019", "2019-01-01", "2020-01-01"),
        ("2019-12", "2019-12-01", "2020-01-01"),
        (" 2019-02-28 ", "2019-02-28", "2019-03-01"),
        ("2019-06-14 18:30", "2019-06-14T18:30", "2019-06-14T18:31"),
        ("summer 2018", "2018-06-01", "2018-09-01"),
        ("Winter of 2018", "2018-12-01", "2019-03-01"),
        ("last summer", "2023-06-01", "2023-09-01"),
        ("this summer", "2024-06-01", "2024-09-01"),
        ("summer", "2024-06-01", "2024-09-01"),
        ("last winter", "2023-12-01", "2024-03-01"),
        ("autumn", "2023-09-01", "2023-12-01"),
        ("fall 2020", "2020-09-01", "2020-12-01"),
        ("2018 - 2020", "2018-01-01", "2021-01-01"),
        ("2018-2020", "2018-01-01", "2021-01-01"),
        ("2018–2020", "2018-01-01", "2021-01-01"),
        ("2019-05 to 2019-07-04", "2019-05-01", "2019-07-05"),
        ("between spring 2019 and summer 2019", "2019-03-01", "2019-09-01"),
    ],
)
def test_times(text: str, after: str, before: str) -> None:
    assert parse_period(text, NOW) == (day(after), day(before))


@pytest.mark.parametrize(
    ("text", "after", "before"),
    [
        ("yesterday", "2024-07-16", "2024-07-17"),
        ("last week", "2024-07-08", "2024-07-15"),
        ("last month", "2024-06-01", "2024-07-01"),
        ("last year", "2023-01-01", "2024-01-01"),
        ("June 2019", "2019-06-01", "2019-07-01"),
        ("from May 2019 to last month", "2019-05-01", "2024-07-01"),
        ("since yesterday", "2024-07-16", None),
        ("until 2015", None, "2016-01-01"),
        ("before 2015", None, "2015-01-01"),
    ],
)
def test_times_in_words(text: str, after: str | None, before: str | None) -> None:
    pytest.importorskip("dateparser", reason="needs dateparser")
    assert parse_period(text, NOW) == (after and day(after), before and day(before))


@pytest.mark.parametrize("text", ["", "soon", "2020 - 2018", "2019-13", "summer of", "since", "9999 to nothing"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(QueryError):
        parse_period(text, NOW)

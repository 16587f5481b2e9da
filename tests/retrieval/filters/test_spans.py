"""Numbers and ranges in units, there and back, and what is none."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.filters import Filter, parse_filter
from retrieval.filters.conditions import NAMED
from retrieval.filters.spans import Span, parse_span


@pytest.mark.parametrize(
    ("name", "text", "span"),
    [
        ("iso", "400", Span(400, 400)),
        ("iso", "ISO 400", Span(400, 400)),
        ("iso", "100-400", Span(100, 400)),
        ("iso", "100 to 400", Span(100, 400)),
        ("iso", "100..400", Span(100, 400)),
        ("iso", "100–400", Span(100, 400)),
        ("iso", ">=1600", Span(1600, None)),
        ("iso", "≥ 1600", Span(1600, None)),
        ("iso", "> 1600", Span(1600, None, True)),
        ("iso", "<=200", Span(None, 200)),
        ("iso", "<200", Span(None, 200, True)),
        ("aperture", "f/2.8", Span(2.8, 2.8)),
        ("aperture", "F2.8", Span(2.8, 2.8)),
        ("aperture", "ƒ/0.95", Span(0.95, 0.95)),
        ("aperture", "f/1.4-f/4", Span(1.4, 4)),
        ("aperture", "1.4 - 4", Span(1.4, 4)),
        ("aperture", "<=f/2", Span(None, 2)),
        ("exposure", "1/250", Span(0.004, 0.004)),
        ("exposure", "1/250 s", Span(0.004, 0.004)),
        ("exposure", "1/500-1/60", Span(0.002, 0.016666667)),
        ("exposure", ">=2s", Span(2, None)),
        ("exposure", "0.5 sec", Span(0.5, 0.5)),
        ("exposure", ".5s", Span(0.5, 0.5)),
        ("exposure", "30 seconds", Span(30, 30)),
        ("focal_length", "50mm", Span(50, 50)),
        ("focal_length", "35mm-85mm", Span(35, 85)),
        ("focal_length", "35-85 mm", Span(35, 85)),
        ("focal_length", "4.25", Span(4.25, 4.25)),
        ("duration", "10s-60s", Span(10, 60)),
        ("duration", ">=1:30", Span(90, None)),
        ("duration", "0:05-1:02:03", Span(5, 3723)),
        ("duration", "<5min", Span(None, 300, True)),
        ("duration", "1.5 h", Span(5400, 5400)),
        ("duration", "2m-1h", Span(120, 3600)),
    ],
)
def test_what_people_write(name: str, text: str, span: Span) -> None:
    unit = NAMED[name].unit
    assert unit is not None
    assert parse_span(text, unit) == span
    assert getattr(parse_filter(**{name: text}), name) == (span,)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("iso", "high", "'high' is not an ISO sensitivity"),
        ("iso", "", "is not an ISO sensitivity"),
        ("iso", "0", "is not an ISO sensitivity"),
        ("iso", "100-", "is not an ISO sensitivity"),
        ("iso", "-100", "is not an ISO sensitivity"),
        ("iso", "100-200-300", "is not an ISO sensitivity"),
        ("iso", ">=100-200", "is not an ISO sensitivity"),
        ("iso", "400mm", "is not an ISO sensitivity"),
        ("aperture", "50mm", "is not an f-number"),
        ("aperture", "1" * 400, "is not an f-number"),
        ("exposure", "1/0", "is not an exposure time"),
        ("exposure", "f/8", "is not an exposure time"),
        ("focal_length", "50cm", "is not a focal length"),
        ("duration", "long", "is not a length"),
        ("duration", "0:00", "is not a length"),
        ("duration", "1:75", "is not a length"),
        ("iso", "400-100", "the range 400-100 ends before it begins"),
        ("exposure", "1/60-1/500", "the range 1/60-1/500 ends before it begins"),
    ],
)
def test_what_is_no_range(name: str, text: str, words: str) -> None:
    unit = NAMED[name].unit
    assert unit is not None
    with pytest.raises(QueryError, match=words) as caught:
        parse_span(text, unit)
    assert caught.value.hint


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    numbers=st.lists(st.integers(1, 10**12).map(lambda n: n / 10**6) | st.integers(2, 8000).map(lambda n: 1 / n),
                     min_size=2, max_size=2),
    ends=st.sampled_from(("both", "low", "high", "above", "below")),
)  # fmt: skip
def test_a_range_goes_to_text_and_comes_back(numbers: list[float], ends: str) -> None:
    low, high = sorted(round(number, 9) for number in numbers)
    span = {
        "both": Span(low, high), "low": Span(low), "high": Span(None, high), "above": Span(low, None, True),
        "below": Span(None, high, True),
    }[ends]  # fmt: skip
    unit = NAMED["exposure"].unit
    assert unit is not None
    assert parse_span(str(span), unit) == span


def test_what_a_camera_writes_for_a_number_is_that_number() -> None:
    low, high = Span(1 / 60, 1 / 60).bounds(0.02)
    assert low < 1 / 61 < 1 / 59 < high < 1 / 58
    assert Span(2.8, 2.8).bounds(0.02)[1] > 2 * 2**0.5
    assert Span(400, None).bounds(0.0) == (400, inf)
    assert Span(400, None, True).bounds(0.0)[0] > 400
    assert Span(None, 400, True).bounds(0.0)[1] < 400


def test_ranges_that_leave_nothing_are_refused() -> None:
    with pytest.raises(QueryError, match="nothing passes iso 200 without iso 100-400"):
        Filter(iso=200, no_iso="100-400")
    assert Filter(iso="100-400", no_iso=200).iso == (Span(100, 400),)
    assert Filter(iso=400) == Filter(iso="ISO 400") and Filter(aperture=2.8) == Filter(aperture="f/2.8")

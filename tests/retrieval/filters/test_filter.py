"""The filter as a value: plain values there and back, one value for what is alike, and what contradicts itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings

from retrieval.errors import QueryError
from retrieval.filters import Filter, Near, parse_filter
from tests.retrieval.search.test_filtered_search import FILTERS

NOON = datetime(2021, 6, 1, 12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(values=FILTERS)
def test_a_filter_goes_through_json_and_comes_back(values: dict[str, Any]) -> None:
    try:
        where = Filter(**values)
    except QueryError:
        assume(False)
    again = Filter.from_mapping(json.loads(json.dumps(where.to_mapping())))
    assert again == where and hash(again) == hash(where)
    assert where.is_empty() == (where.to_mapping() == {})


def test_what_urls_are_taken_apart_to() -> None:
    from urllib.parse import parse_qs

    asked = parse_qs("camera=canon&camera=nikon&after=2023&near=48.858,2.294,5km&min_width=800&untagged=true&no_tag=x")
    assert parse_filter(**asked) == Filter(
        camera=("canon", "nikon"), after=datetime(2023, 1, 1), near=(Near(48.858, 2.294, 5),), min_width=800,
        untagged=True, no_tag=("x",),
    )  # fmt: skip


def test_nothing_asked_is_the_empty_filter() -> None:
    nothing = {"after": "", "camera": [], "near": None, "untagged": False, "tag": (), "min_width": None}
    assert parse_filter(**nothing) == Filter() == parse_filter(untagged="no")
    assert Filter().is_empty() and Filter().to_mapping() == {} and repr(Filter()) == "Filter()"


def test_alike_filters_are_one_value() -> None:
    assert Filter(format="jpg") == Filter(format=("JPEG", "jpeg"))
    assert Filter(tag=" Beach ") == Filter(tag=("beach",))
    assert Filter(orientation="Square") == Filter(orientation=["square"])  # type: ignore[arg-type]
    assert Filter(near="1,2,3km") == Filter(near=Near(1, 2, 3))  # type: ignore[arg-type]
    assert Filter(under="/a/../b/") == Filter(under=(Path("/b"),))  # type: ignore[arg-type]
    assert Filter(after=NOON.replace(microsecond=5)) == Filter(after=NOON)
    assert Filter(camera=None) == Filter()  # type: ignore[arg-type]
    assert repr(Filter(no_camera="x")) == "Filter(no_camera=('x',))"


def test_added_after_is_a_moment_wherever_it_was_written() -> None:
    there = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert Filter(added_after=there) == Filter(added_after=datetime(2024, 1, 1, 10, tzinfo=UTC))
    assert parse_filter(added_after="2024-01-01T12:00:00+02:00") == Filter(added_after=there)
    assert parse_filter(added_after="2024-01-01T10:00:00Z") == Filter(added_after=there)
    assert parse_filter(added_after="2024") == Filter(added_after=datetime(2024, 1, 1).astimezone())
    with pytest.raises(QueryError, match="too far away"):
        Filter(added_after=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))


@pytest.mark.parametrize(
    ("text", "size"),
    [("2MB", 2_000_000), ("500 kB", 500_000), ("500k", 500_000), ("1.5 GiB", 1_610_612_736), ("1 KiB", 1024),
     ("0.5kb", 500), ("12 bytes", 12), ("7b", 7), (7, 7), ("3tb", 3 * 10**12)],
)  # fmt: skip
def test_sizes_of_files_with_their_units(text: str | int, size: int) -> None:
    assert parse_filter(min_bytes=text) == Filter(min_bytes=size) == Filter(min_bytes=text)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"after": NOON, "before": NOON}, "no photo can be taken"),
        ({"camera": "Canon EOS", "no_camera": "canon"}, "nothing passes camera Canon EOS without camera canon"),
        ({"lens": ("ef 50", "ef 85"), "no_lens": ("ef", "x")}, "lens ef 50 or ef 85"),
        ({"tag": "Dog", "no_tag": "dog"}, "tag dog"),
        ({"format": "jpg", "no_format": "JPEG"}, "format JPEG"),
        ({"glob": "*.png", "no_glob": "*.PNG"}, "glob"),
        ({"under": "/a/b", "no_under": "/a"}, "under /a/b"),
        ({"under": "/a", "no_under": "/a"}, "under /a"),
        ({"near": "10,20,5km", "no_near": "10,20,6km"}, "near"),
        ({"orientation": ("portrait", "square"), "no_orientation": ("square", "portrait")}, "orientation"),
        ({"min_width": 800, "max_width": 799}, "no picture is at least 800 and at most 799 pixels wide"),
        ({"min_height": "8", "max_height": 7}, "at least 8 and at most 7 pixels high"),
        ({"min_bytes": "2MB", "max_bytes": "1 MB"}, "no file has at least 2000000 and at most 1000000 bytes"),
        ({"no_orientation": ("square", "portrait", "landscape")}, "every picture is portrait"),
    ],
)
def test_contradictions_are_told(conditions: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        Filter(**conditions)
    assert caught.value.hint


@pytest.mark.parametrize(
    "conditions",
    [
        {"camera": ("Canon EOS", "Nikon"), "no_camera": "canon"},
        {"camera": "canon", "no_camera": "canon eos 5d"},
        {"under": "/a", "no_under": "/a/b"},
        {"under": "/ab", "no_under": "/a"},
        {"near": "10,20,6km", "no_near": "10,20,5km"},
        {"tag": "dog", "untagged": True},
        {"orientation": "square", "no_orientation": "portrait"},
        {"min_width": 800, "max_width": 800},
    ],
)
def test_what_can_hold_together_is_taken(conditions: dict[str, Any]) -> None:
    assert not Filter(**conditions).is_empty()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"camra": "x"}, "no condition 'camra'"),
        ({"after": ["2023", "2024"]}, "given 2 times"),
        ({"after": 5}, "'5' is not a date"),
        ({"added_after": "2024-01-01T10:00:00+99:00"}, "is not a date"),
        ({"min_width": "wide"}, "min_width 'wide'"),
        ({"min_width": "9" * 40}, "number of pixels"),
        ({"min_height": 0}, "height of more than 0"),
        ({"max_height": 0}, "no picture has a height of 0 pixels or less"),
        ({"min_bytes": "big"}, "min_bytes 'big' is no size of a file"),
        ({"min_bytes": "0"}, "every file has a size of more than 0 bytes"),
        ({"max_bytes": "1e5"}, "no size of a file"),
        ({"max_bytes": "999999999999999 TB"}, "no size of a file"),
        ({"max_bytes": "0 kB"}, "no file has a size of 0 bytes or less"),
        ({"untagged": "maybe"}, "neither true nor false"),
        ({"camera": [1]}, "camera takes texts"),
        ({"camera": {"a": 1}}, "camera takes texts"),
        ({"camera": " "}, "empty camera"),
        ({"tag": " "}, "tag is empty"),
        ({"near": "here"}, "no comma"),
        ({"tag": [str(n) for n in range(101)]}, "more than 100"),
    ],
)
def test_what_is_no_filter(values: dict[str, Any], words: str) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        parse_filter(**values)
    assert caught.value.hint

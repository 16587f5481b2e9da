"""The stored form of tags and captions: one form for what people take for the same, nothing that harms a terminal."""

from __future__ import annotations

import sqlite3
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.tag_text import clean_caption, clean_tag


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("Beach", "beach"),
        ("  Two\t\n words ", "two words"),
        ("ÉTÉ", "été"),
        ("E\u0301te\u0301", "été"),
        ("Paris, France", "paris, france"),
        ("STRASSE", "strasse"),
        ("ΟΔΌΣ", "οδός"),
        ("日本", "日本"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("x" * 200, "x" * 200),
    ],
)
def test_tags_have_one_spelling(text: str, tag: str) -> None:
    assert clean_tag(text) == tag


@pytest.mark.parametrize("text", ["", " \t\n", "x" * 201, "a\x00b", "a\x1bb", "a\x7fb", "a\x9bb", "caf\udce9"])
def test_what_cannot_be_a_tag_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        clean_tag(text)


@given(st.text(max_size=220))
def test_cleaning_twice_changes_nothing_and_sqlite_compares_it_exactly(text: str) -> None:
    with suppress(QueryError):
        tag = clean_tag(text)
        assert clean_tag(tag) == tag
        assert unicodedata.is_normalized("NFC", tag) and tag == tag.strip() and 0 < len(tag) <= 200
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in tag)
        connection = sqlite3.connect(":memory:")
        assert connection.execute("SELECT ? = ?, ?", (tag, clean_tag(f" {text}  "), tag)).fetchone() == (1, tag)
        connection.close()


def test_captions_keep_their_case_and_lines() -> None:
    assert clean_caption("  At the Sea. \r\n\r\n Rex\u0301 \n") == "At the Sea.\n\nReẋ́".replace("ẋ́", "x\u0301")
    for text in ("", " \n ", "x" * 5001, "a\x1b[31m"):
        with pytest.raises(QueryError):
            clean_caption(text)

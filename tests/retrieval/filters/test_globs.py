"""Patterns for paths: like ``pathlib`` from the right, plus any number of folders, whatever bytes a name has."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.errors import QueryError
from retrieval.filters.globs import folder_matches, name_matches, parse_glob
from retrieval.folding import fold
from retrieval.paths import encode_path


def matches(path: str, pattern: str) -> bool:
    """As the catalog is asked: the name by SQLite, the folder by us."""
    name, folder, counted = parse_glob(pattern)
    parent, _, last = path.rpartition("/")
    with closing(sqlite3.connect(":memory:")) as connection:
        sql = "SELECT CAST(? AS TEXT) GLOB ?"
        [named] = connection.execute(sql, [encode_path(fold(last)), name]).fetchone()
    named = named or (counted and name_matches(encode_path(last), counted))
    return bool(named) and (not folder or folder_matches(encode_path(parent or "/"), folder))


@pytest.mark.parametrize(
    ("pattern", "fits", "misses"),
    [
        ("*.png", ["/a/b.png", "/b.PNG", "/a/.png"], ["/a.png/b.jpg", "/a/b.png2"]),
        ("*.PNG", ["/a/b.png"], ["/a/b.jpg"]),
        ("trip/*.jpg", ["/x/trip/a.jpg", "/trip/a.jpg", "/x/Trip/A.JPG"], ["/x/trip/sub/a.jpg", "/x/mytrip/a.jpg"]),
        ("trip/**/*.jpg", ["/trip/a.jpg", "/x/trip/p/q/a.jpg"], ["/x/tripod/a.jpg", "/a.jpg"]),
        ("raw/", ["/raw/a.jpg", "/x/raw/y/z.png"], ["/x/raw.jpg", "/x/draw/z.png"]),
        ("raw/**", ["/raw/a.jpg", "/x/raw/y/z.png"], ["/x/raw.jpg"]),
        ("/p/*.jpg", ["/p/a.jpg"], ["/x/p/a.jpg", "/p/q/a.jpg"]),
        ("/*.jpg", ["/a.jpg"], ["/p/a.jpg"]),
        ("/p/**", ["/p/a.jpg", "/p/q/r/a.jpg"], ["/a.jpg", "/x/p/a.jpg"]),
        ("**/*.jpg", ["/a.jpg", "/p/a.jpg"], ["/p/a.png"]),
        ("**", ["/a.jpg", "/p/a"], []),
        ("a?c.*", ["/abc.jpg"], ["/ac.jpg", "/abbc.jpg"]),
        ("[a-c]*", ["/b.jpg", "/C.jpg"], ["/d.jpg"]),
        ("[!a-c]*", ["/d.jpg"], ["/b.jpg"]),
        ("[^a]x/*", ["/bx/1"], ["/ax/1"]),
        ("[[]1].jpg", ["/[1].jpg"], ["/1.jpg"]),
        ("[]]*", ["/]a"], ["/a"]),
        ("100%_'.jpg", ["/100%_'.jpg"], ["/100xx'.jpg"]),
        ("\u00e9*.jpg", ["/p/\u00e9t\u00e9.jpg"], ["/p/ete.jpg"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, fits: list[str], misses: list[str]) -> None:
    assert [path for path in fits if not matches(path, pattern)] == []
    assert [path for path in misses if matches(path, pattern)] == []


PARTS = st.lists(st.text("abAB*?.", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)
NAMES = st.lists(st.text("abAB.", min_size=1, max_size=4), min_size=1, max_size=5).map(
    lambda names: "/" + "/".join(names)
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(path=NAMES, pattern=PARTS, from_the_top=st.booleans())
def test_without_many_folders_it_is_pathlibs_match(path: str, pattern: str, from_the_top: bool) -> None:
    whole = "/" * from_the_top + pattern
    parts = PurePosixPath(whole).parts
    if "**" not in whole and "." not in parts and "." not in path.split("/") and len(parts) == whole.count("/") + 1:
        assert matches(path, whole) == PurePosixPath(path.lower()).match(whole.lower())


def test_home_and_bytes_that_are_no_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert matches(f"{tmp_path}/home/p/a.jpg", "~/p/*.jpg")
    odd = os.fsdecode(b"/caf\xe9/\xff.JPG")
    assert (
        matches(odd, "*.jpg") and matches(odd, "caf?/*.jpg") and matches(odd, "/*/*.jpg") and not matches(odd, "*.png")
    )


def test_no_pattern_takes_long() -> None:
    begin = time.process_time()
    assert not folder_matches("/" + "/".join("a" * 120), "/".join(["**", "a"] * 60 + ["b"]))
    assert not folder_matches("/" + "a" * 250, "/".join(["*a" * 60 + "b"]))
    assert time.process_time() - begin < 20, "following one way after the other would take years"


@pytest.mark.parametrize("pattern", ["", "/", "//", "x" * 1001])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(QueryError, match="no pattern for files"):
        parse_glob(pattern)


@pytest.mark.parametrize("pattern", ["[a", "x[", "[]", "[!]", "a[b/c]d", "[b/x.jpg"])
def test_a_bracket_that_stays_open(pattern: str) -> None:
    with pytest.raises(QueryError, match="bracket is not closed"):
        parse_glob(pattern)

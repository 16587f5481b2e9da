"""Commands that may open few files: an answer, or two lines; never a wrong or half an answer."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.crashes import Commands, check_index, meaning
from tests.pictures import save_picture

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

ADVICE = ("too many files are open", "limit of open files")


@pytest.fixture(scope="module")
def photos(place: Path) -> Path:
    for number in range(6):
        save_picture(place / "photos" / f"{number}.jpg", ("red", "green", "blue")[number % 3], seed=number)
    return place / "photos"


@pytest.fixture(scope="module")
def whole(commands: Commands, photos: Path, place: Path) -> Path:
    ended = commands.plain(place / "whole", "index", str(photos), "--workers", "1")
    assert ended.returncode == 0, ended.stderr
    return place / "whole"


def _failures(gallery: Path) -> list[str]:
    if not (gallery / "catalog.sqlite").exists():
        return []
    with closing(sqlite3.connect(gallery / "catalog.sqlite")) as connection:
        is_made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'failures'").fetchone()
        return [row[0] for row in connection.execute("SELECT reason FROM failures")] if is_made else []


def _check(ended: object, code: int, err: str) -> None:
    assert "Traceback" not in err and "a fault in the program" not in err, err
    assert code in (0, 1, 3), err
    if code == 3:
        assert any(advice in err for advice in ADVICE), err  # what to do


@pytest.mark.parametrize("spare", [0, 2, 4, 8, 12])
def test_an_index_with_few_descriptors_records_no_good_file_as_bad(
    commands: Commands, photos: Path, whole: Path, place: Path, spare: int
) -> None:
    gallery = place / f"few-{spare}"
    ended = commands.plain(gallery, "index", str(photos), "--workers", "1", limits={"RLIMIT_NOFILE": BASE + spare})
    _check(ended, ended.returncode, ended.stderr)
    assert all("files" in reason for reason in _failures(gallery)), _failures(gallery)
    again = commands.plain(gallery, "index", str(photos), "--workers", "1")
    assert again.returncode == 0, again.stderr
    assert meaning(gallery) == meaning(whole)
    check_index(gallery)


def test_a_search_with_few_descriptors_is_right_or_two_lines(commands: Commands, whole: Path) -> None:
    asked = [["search", "red", "--paths"], ["info"]]
    for arguments in asked:
        right = commands.plain(whole, *arguments)
        assert right.returncode == 0, right.stderr
        ends: Counter[int] = Counter()
        for spare in range(12):
            ended = commands.plain(whole, *arguments, limits={"RLIMIT_NOFILE": BASE + spare})
            _check(ended, ended.returncode, ended.stderr)
            if ended.returncode == 0 and arguments[0] == "search":
                assert ended.stdout == right.stdout, (spare, ended.stderr)
            ends[ended.returncode] += 1
        assert ends[0] and ends[3], ends


BASE = 8
"""Descriptors that a command has before it begins: its streams, and those of the test."""

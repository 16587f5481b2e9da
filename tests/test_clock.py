"""A clock that goes backwards between runs, or was far ahead for one: nothing is lost, nothing old is taken for new."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retrieval.maintenance.backup import newest_first
from tests.crashes import Commands
from tests.disk_logs import build
from tests.pictures import save_picture

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no fork, or no memfd")

AHEAD_S = 400 * 24 * 3600


@pytest.fixture(scope="module")
def clocks(place: Path) -> Iterator[tuple[Commands, Commands]]:
    """Commands whose clock is right, and commands whose clock is 400 days ahead."""
    library = build(place, "clock_calls")
    now, ahead = Commands(place / "models"), Commands(place / "models", library, CLOCK_SHIFT_S=str(AHEAD_S))
    yield now, ahead
    now.close()
    ahead.close()


@pytest.mark.parametrize("first", ["ahead", "right"])
def test_a_clock_that_goes_back_or_was_wrong_once(clocks: tuple[Commands, Commands], place: Path, first: str) -> None:
    before, after = reversed(clocks) if first == "ahead" else clocks
    world = place / first
    photos, gallery, backups = world / "photos", world / "gallery", world / "backups"
    for number, colour in enumerate(("red", "green", "blue", "yellow")):
        save_picture(photos / f"{colour}.png", colour, seed=number)
    os.utime(photos / "blue.png", (1 << 32, 1 << 32))  # a file from the year 2106

    def done(commands: Commands, *arguments: str) -> str:
        ended = commands.plain(gallery, *arguments)
        assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
        return ended.stdout

    done(before, "index", str(photos))
    when = json.loads(done(before, "search", "red", "--json", "-n", "1"))["added_at"]
    is_ahead = (datetime.fromisoformat(when) - datetime.now(UTC)).days > 300
    assert is_ahead == (first == "ahead"), "the clock was not moved"
    done(before, "label", str(photos / "red.png"), "--tag", "old")
    done(before, "backup", str(backups))
    copies = gallery / "label-copies"
    (copy,) = copies.glob("*.sqlite")

    (photos / "green.png").rename(photos / "moved.png")
    save_picture(photos / "new.png", "white", seed=9)
    done(after, "index")
    paths = done(after, "search", "a colour", "--paths", "-n", "all").splitlines()
    assert {Path(path).name for path in paths} == {"red.png", "blue.png", "yellow.png", "moved.png", "new.png"}
    assert done(after, "index", "--json-progress").count('"encoded": 0') >= 1, "nothing is encoded again"
    then = time.time() + (AHEAD_S if first == "ahead" else 0)
    os.utime(copy, (then, then))  # as the system would with that clock
    done(after, "label", str(photos / "red.png"), "--remove-tag", "old", "--tag", "newer")
    done(after, "backup", str(backups))
    assert len(list(copies.glob("*.sqlite"))) == 2 and copy.exists(), "the last change is copied"
    done(after, "verify")

    # What is restored without a name is what was made last, whatever its name says.
    done(after, "restore", str(backups), "--yes")
    assert "newer" in done(after, "label", str(photos / "red.png"))
    shutil.rmtree(gallery / "index")
    done(after, "label", str(photos / "red.png"), "--remove-tag", "newer")
    done(after, "restore", "--labels")
    told = done(after, "label", str(photos / "red.png"))
    assert "newer" in told and "old" not in told


def test_names_of_the_future_come_last() -> None:
    names = ["2026-01-02T00-00-00Z", "2026-01-02T00-00-00Z-10", "2026-01-02T00-00-00Z-2", "2031-01-01T00-00-00Z",
             "2026-01-01T00-00-00Z"]  # fmt: skip
    assert newest_first(names, "2026-01-02T00-00-00Z") == [names[1], names[2], names[0], names[4], names[3]]
    assert newest_first(names[:1], "1970-01-01T00-00-00Z") == names[:1]

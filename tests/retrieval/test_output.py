"""Output of hits: each format, names with control characters, bytes that are not text, missing files."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from retrieval.catalog.batch import Counts
from retrieval.catalog.records import ImageRecord
from retrieval.errors import SettingsError
from retrieval.indexing.report import IndexReport
from retrieval.output import (
    choose_format,
    file_uri,
    human_bytes,
    printable,
    profile_rows,
    report_rows,
    write_hits,
    write_pairs,
)
from retrieval.search.hits import Hit

EVIL = os.fsdecode(b"/p/\x1b]0;title\x07\n\t\xff caf\xc3\xa9 \xe2\x80\xae.jpg")
NEW_YEAR = datetime(2023, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


def hit(rank: int, path: str, *, taken: datetime | None = None) -> Hit:
    record = ImageRecord(rank * 10, path, 99, 5, "JPEG", 40, 30, taken, "Cam", None, 1.5, -2.5, b"h" * 32)
    return Hit(rank, 0.98765432, record)


HITS = [hit(1, "/p/a b.jpg", taken=NEW_YEAR), hit(2, EVIL), hit(3, "/p/c.jpg")]


def written(form: Any, hits: list[Hit] = HITS) -> str:
    out = io.StringIO()
    write_hits(hits, form, out)
    return out.getvalue()


def test_relevance_and_bursts_are_shown_where_there_are_any() -> None:
    hits = [replace(HITS[0], relevance=0.98765, burst=4), HITS[2]]
    plain, table = written("plain", hits).splitlines(), written("table", hits)
    assert plain == ["1\t0.9877\t/p/a b.jpg\t+4", "3\t0.9877\t/p/c.jpg"]
    assert "relevance" in table and "0.99" in table and "+4" in table
    assert "relevance" not in written("table") and "+" not in written("plain")
    first, second = map(json.loads, written("json", hits).splitlines())
    assert (first["relevance"], first["burst"], second["relevance"]) == (0.9877, 4, None)


def test_plain_lines_have_tabs_and_one_line_a_hit() -> None:
    lines = written("plain").split("\n")
    assert lines[0] == "1\t0.9877\t/p/a b.jpg"
    assert lines[1] == "2\t0.9877\t/p/\\x1b]0;title\\x07\\n\\t\\udcff café \\u202e.jpg"
    assert lines[2:] == ["3\t0.9877\t/p/c.jpg", ""]


def test_json_is_one_object_a_line_from_which_the_path_can_be_opened() -> None:
    first, second, third = (json.loads(line) for line in written("json").splitlines())
    assert first == {
        "rank": 1,
        "score": 0.987654,
        "path": "/p/a b.jpg",
        "id": 10,
        "width": 40,
        "height": 30,
        "format": "JPEG",
        "bytes": 99,
        "taken_at": "2023-01-01T12:00:00+02:00",
        "camera": "Cam",
        "lens": None,
        "iso": None,
        "aperture": None,
        "exposure": None,
        "focal_length": None,
        "latitude": 1.5,
        "longitude": -2.5,
        "place": None,
        "on_disk": "same",
        "relevance": None,
        "burst": 0,
    }
    assert second["path"] == EVIL and second["taken_at"] is None
    assert third["path"] == "/p/c.jpg"


@pytest.mark.parametrize(("form", "end"), [("paths", b"\n"), ("null", b"\0")])
def test_bare_paths_are_the_bytes_on_disk(form: Any, end: bytes) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    out.write("before ")
    write_hits(HITS[:2], form, out)
    assert raw.getvalue() == b"before /p/a b.jpg" + end + os.fsencode(EVIL) + end
    assert written(form, HITS[:2]) == os.fsdecode(b"/p/a b.jpg" + end + os.fsencode(EVIL) + end)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_has_links_and_lets_no_name_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    write_hits(HITS, "table", out)
    text = out.getvalue()
    assert "]8;" in text and "file:///p/a%20b.jpg" in text
    assert "title\x07" not in text and "]0;title\\x07" in text and "\u202e" not in text
    assert "2023-01-01" in text and "0.988" in text


def test_square_brackets_in_names_are_not_markup() -> None:
    text = written("table", [hit(1, "/p/[red]x[/red] [1].jpg")])
    assert "/p/[red]x[/red] [1].jpg" in text and "taken" not in text


def test_a_link_holds_every_byte() -> None:
    assert file_uri(os.fsdecode(b"/p/\xff #?%.jpg")) == "file:///p/%FF%20%23%3F%25.jpg"
    assert printable("/p/日本 é.jpg") == "/p/日本 é.jpg"


def test_the_format_follows_the_flags_and_the_stream() -> None:
    assert choose_format(io.StringIO(), as_json=False, paths=False, null=False) == "plain"
    assert choose_format(Terminal(), as_json=False, paths=False, null=False) == "table"
    assert choose_format(Terminal(), as_json=True, paths=False, null=False) == "json"
    assert choose_format(Terminal(), as_json=False, paths=True, null=False) == "paths"
    assert choose_format(Terminal(), as_json=False, paths=False, null=True) == "null"
    with pytest.raises(SettingsError, match="exclude each other"):
        choose_format(Terminal(), as_json=True, paths=False, null=True)


def test_the_summary_lists_only_what_happened() -> None:
    report = IndexReport("tiny", counts=Counts(added=1200, failed=3), encoded=1000, reused=200, images=1200)
    report.seconds["total"] = 10.0
    rows = dict(report_rows(report))
    assert rows["new"] == "1,200" and rows["failed"] == "3" and rows["time"] == "10.0 s, 100.0 images/s"
    assert rows["embedding re-used"].startswith("200")
    assert not {"missing", "changed", "unchanged", "restored", "moved or renamed", "index"} & set(rows)
    assert dict(report_rows(IndexReport("tiny")))["time"] == "0.0 s"
    report.seconds |= {"thumbnails": 1.5, "words": 20.0}
    later = ", 1.5 s of it for thumbnails, 20.0 s of it for words"
    assert dict(report_rows(report))["time"] == f"31.5 s, 100.0 images/s{later}"


def test_the_profile_divides_by_the_workers_and_names_the_bottleneck() -> None:
    report = IndexReport("tiny")
    report.seconds.update({"decode": 8.0, "encode": 12.0, "walk": 5.0, "total": 99.0})
    rows = profile_rows(report, 4)
    assert [name for name, _ in rows] == ["walk", "encode", "decode", "bottleneck"]
    assert rows[0][1].split() == ["5.00", "s", "50.0", "%"] and rows[1][1].split() == ["3.00", "s", "30.0", "%"]
    assert rows[-1] == ("bottleneck", "walk")
    assert profile_rows(IndexReport("tiny"), 2) == []


def test_pairs_are_aligned_and_sizes_readable() -> None:
    out = io.StringIO()
    write_pairs([("a", "1"), ("long", "2")], out)
    assert out.getvalue() == "a     1\nlong  2\n"
    write_pairs([], out)
    sizes = (0, 999, 1000, 1_550_000, 3_000_000_000, 4 * 10**15)
    assert [human_bytes(size) for size in sizes] == ["0 bytes", "999 bytes", "1.0 kB", "1.6 MB", "3.0 GB", "4000.0 TB"]


def test_values_in_columns_steer_no_terminal() -> None:
    """A model's name, for one, is what its folder says."""
    out = io.StringIO()
    write_pairs([("model", "evil\x1b]0;x\x07\x1b[2J")], out)
    assert out.getvalue() == "model  evil\\x1b]0;x\\x07\\x1b[2J\n"

"""What a run shows while it works, what it reports, and how it hears Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from itertools import pairwise

import pytest

from retrieval.catalog.batch import Counts
from retrieval.indexing import progress as progress_module
from retrieval.indexing.progress import JSON_SECONDS, JsonProgress, rate, shown_progress
from retrieval.indexing.report import IndexReport, Progress
from retrieval.interrupts import stop_on_interrupt


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_quiet_is_quiet() -> None:
    out = Terminal()
    with shown_progress(out, quiet=True) as show:
        show(Progress(done=5))
    assert out.getvalue() == ""


def test_a_terminal_gets_a_bar_with_stage_count_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    out = Terminal()
    with shown_progress(out) as show:
        for stage in ("walk", "encode", "index"):
            show(Progress(stage, done=30, total=None if stage == "walk" else 60, encoded=20, seconds=4.0))
    text = out.getvalue()
    assert "indexing" in text and "30/60" in text and "5.0 images/s" in text


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.0, 11.0, 25.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    with shown_progress(out) as show:
        for done in (1, 2000, 3000, 4000):
            show(Progress("encode", done=done, total=None if done < 3000 else 5000, encoded=10, seconds=4.0))
    assert out.getvalue() == "2,000 files, 2.5 images/s\n4,000 of 5,000 files, 2.5 images/s\n"


def test_a_program_gets_an_object_a_line_at_most_four_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    out = io.StringIO()
    told = JsonProgress(out)
    told.begin("/g", "tiny", "cpu")
    for step in range(101):  # ten seconds
        now = step / 10
        total = None if step < 50 else 400
        told.show(Progress("encode", done=2 * step, total=total, encoded=step, failed=1, seconds=now))
    report = IndexReport("tiny", counts=Counts(added=2))
    told.end(report)
    first, *lines, last = [json.loads(line) for line in out.getvalue().splitlines()]
    assert first == {"event": "begin", "gallery": "/g", "encoder": "tiny", "device": "cpu"}
    assert last == {"event": "report", "report": json.loads(json.dumps(report.as_dict()))}
    seconds = [line["seconds"] for line in lines]
    assert min(b - a for a, b in pairwise(seconds)) >= JSON_SECONDS and len(lines) > 30
    assert lines[0]["rate"] is None and lines[0]["seconds_left"] is None and lines[0]["total"] is None
    wanted = {"event": "progress", "stage": "encode", "total": 400, "failed": 1, "rate": 10.0}
    assert wanted.items() <= lines[-1].items()
    assert lines[-1]["seconds_left"] == pytest.approx((400 - lines[-1]["done"]) / 20, abs=0.1)


def test_the_time_left_is_judged_by_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    out = io.StringIO()
    told = JsonProgress(out)
    told.show(Progress(total=11_000))
    now = 1.0
    told.show(Progress(done=10_000, total=11_000))  # unchanged ones
    for step in range(60):
        now = 2.0 + step
        told.show(Progress("encode", done=10_000 + 10 * step, total=11_000))
    last = json.loads(out.getvalue().splitlines()[-1])
    assert last["seconds_left"] == pytest.approx((11_000 - last["done"]) / 10, rel=0.05)


def test_a_reader_that_went_away_does_not_end_the_run() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as out:
        told = JsonProgress(out)
        told.begin("/g", "tiny", "cpu")
        os.close(reading)
        told.end(IndexReport("tiny"))
        told.end(IndexReport("tiny"))
    closed = io.StringIO()
    closed.close()
    JsonProgress(closed).end(IndexReport("tiny"))


def test_the_rate_is_nothing_before_there_is_one() -> None:
    assert rate(Progress()) == rate(Progress(encoded=3)) == ""


def test_the_report_is_plain_values() -> None:
    report = IndexReport("tiny", counts=Counts(added=2), encoded=2, images=2)
    report.kept("/p", "permission denied", 7)
    report.seconds["walk"] += 0.12345
    facts = json.loads(json.dumps(report.as_dict()))
    assert facts["added"] == 2 and facts["seconds"] == {"walk": 0.123}
    assert facts["problems"] == [{"path": "/p", "reason": "permission denied", "images_kept": 7, "is_absence": False}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    heard: list[threading.Thread] = []
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt(lambda: heard.append(threading.current_thread())) as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        os.kill(os.getpid(), number)
    # Said once, and not inside the handler: the main thread may be in the middle of a write to the same stream.
    assert len(heard) == 1 and heard[0] is not threading.main_thread() and not heard[0].is_alive()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_counts_are_told_every_ten_seconds_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    out = io.StringIO()
    show = progress_module.counted(out, "pictures")
    for now in (101.0, 109.9, 110.0, 111.0, 121.5):
        show(int(now * 10), 5000)
    assert out.getvalue().splitlines() == ["1,100 of 5,000 pictures", "1,215 of 5,000 pictures"]

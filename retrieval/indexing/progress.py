"""Progress of an indexing run: a bar on a terminal, occasional lines in a log, JSON for programs."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from retrieval.indexing.report import IndexReport, Progress
from retrieval.streams import discard

LOG_SECONDS = 10.0

JSON_SECONDS = 0.25
"""Minimum interval between events for programs: four times a second at most."""

_WORDS = {"walk": "walking", "encode": "encoding", "index": "indexing", "text": "reading", "faces": "looking"}

_SPEED_SECONDS = 15.0
"""The time left is estimated from the files of this many seconds: unchanged files are a thousand times faster."""


@contextmanager
def shown_progress(out: IO[str], *, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """A callback for ``Indexer.run`` that shows stage, images/s and time left on ``out``."""
    if quiet:
        yield lambda _: None
    elif out.isatty():
        with _bar(out) as show:
            yield show
    else:
        yield _logger(out)


@contextmanager
def _bar(out: IO[str]) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(file=out), transient=True) as bar:
        task = bar.add_task("walking", total=None, rate="")

        def show(progress: Progress) -> None:
            bar.update(
                task,
                description=_WORDS[progress.stage],
                completed=progress.done,
                total=progress.total,
                rate=rate(progress),
            )

        yield show


def _logger(out: IO[str]) -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            last = now
            of = "" if progress.total is None else f" of {progress.total:,}"
            out.write(f"{progress.done:,}{of} files, {rate(progress)}\n")
            out.flush()

    return show


def counted(out: IO[str], what: str) -> Callable[[int, int], None]:
    """A callback for steps that only count (done, total): a line every ten seconds, none for shorter steps."""
    last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOG_SECONDS:
            last = now
            out.write(f"{done:,} of {total:,} {what}\n")
            out.flush()

    return show


def rate(progress: Progress) -> str:
    """Images per second through the encoder, over the whole run."""
    return f"{progress.encoded / progress.seconds:.1f} images/s" if progress.encoded and progress.seconds else ""


class JsonProgress:
    """Reports to a program: one object per line, each with ``event``; a closed reader does not end the run.

    ``begin`` (gallery, encoder, device: null in a dry run) comes when all options have been checked,
    ``progress`` (stage, done, total, encoded, failed: counts or null; rate: images a second through the encoder;
    seconds; seconds_left) at most every ``JSON_SECONDS``, ``report`` (report: see ``IndexReport.as_dict``) last.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._is_heard = True
        self._failure: OSError | None = None
        self._last = -JSON_SECONDS
        self._seen: deque[tuple[float, int]] = deque()

    def begin(self, gallery: str, encoder: str, device: str | None) -> None:
        """Report that the run has started."""
        self._write({"event": "begin", "gallery": gallery, "encoder": encoder, "device": device})

    def show(self, progress: Progress) -> None:
        """Report the present state of the run: the callback for ``Indexer.run``."""
        now = time.monotonic()
        if now - self._last < JSON_SECONDS:
            return
        self._last = now
        facts = {
            "event": "progress",
            "stage": progress.stage,
            "done": progress.done,
            "total": progress.total,
            "encoded": progress.encoded,
            "failed": progress.failed,
            "rate": round(progress.encoded / progress.seconds, 2) if progress.encoded and progress.seconds else None,
            "seconds": round(progress.seconds, 2),
            "seconds_left": self._left(now, progress),
        }
        self._write(facts)

    def end(self, report: IndexReport) -> None:
        """Report the end of the run; raises OSError if something could not be written (full disk) to an open reader."""
        self._write({"event": "report", "report": report.as_dict()})
        if self._failure is not None:
            raise self._failure

    def _left(self, now: float, progress: Progress) -> float | None:
        self._seen.append((now, progress.done))
        while now - self._seen[0][0] > _SPEED_SECONDS:
            self._seen.popleft()
        then, done = self._seen[0]
        if progress.total is None or progress.done <= done:
            return None
        return round(max(progress.total - progress.done, 0) * (now - then) / (progress.done - done), 1)

    def _write(self, facts: dict[str, Any]) -> None:
        if not self._is_heard:
            return
        try:
            self._out.write(json.dumps(facts) + "\n")
            self._out.flush()
        except (OSError, ValueError) as error:  # a closed pipe, or a closed file
            self._is_heard = False
            discard(self._out)
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                self._failure = error

"""Show an indexing run while it works: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from retrieval.indexing.report import Progress

LOG_SECONDS = 10.0


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
            words = {"walk": "walking", "encode": "encoding", "index": "indexing"}
            bar.update(
                task,
                description=words[progress.stage],
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
    """A callback for steps that only count (done, to do): a line every ten seconds, none for what takes less."""
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
    """Images per second that went through the encoder, over the whole run."""
    return f"{progress.encoded / progress.seconds:.1f} images/s" if progress.encoded and progress.seconds else ""

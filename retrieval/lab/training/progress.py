"""Show the progress of a training: a line for each validation, and a status line on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from retrieval.lab.evaluation.tables import Cell, cell_text
from retrieval.output import write_pairs

if TYPE_CHECKING:
    from retrieval.lab.training.run import Told
    from retrieval.lab.training.trainer import Standing

LOG_SECONDS = 10.0
_BAR_SECONDS = 0.2


def say_begin(out: IO[str], *, quiet: bool = False) -> Callable[[dict[str, Cell]], None]:
    """A callback that prints the facts about a run before it starts."""

    def begin(about: dict[str, Cell]) -> None:
        if not quiet:
            write_pairs(((label, cell_text(value)) for label, value in about.items()), out)
            out.flush()

    return begin


@contextmanager
def shown_training(out: IO[str], *, quiet: bool = False) -> Iterator[Told]:
    """Callbacks for :func:`.run.train` that show loss, R@1 and R@5, images per second and the time left on ``out``."""
    from retrieval.lab.training.run import Told

    shown = _Shown(out)
    try:
        yield Told() if quiet else Told(shown.loading, shown.begin, shown.progress)
    finally:
        shown.clear()


class _Shown:
    def __init__(self, out: IO[str]) -> None:
        self._out, self._last, self._width = out, 0.0, 0
        self._pause = _BAR_SECONDS if out.isatty() else LOG_SECONDS

    def loading(self, done: int, total: int) -> None:
        if self._is_due():
            self._passing(f"reading pictures: {done:,} of {total:,}")

    def begin(self, about: dict[str, Cell]) -> None:
        self.clear()
        say_begin(self._out)(about)

    def progress(self, standing: Standing) -> None:
        if standing.is_news:
            self.clear()
            self._out.write(line_of(standing) + "\n")
            self._out.flush()
            self._last = time.monotonic()
        elif self._is_due():
            self._passing(line_of(standing))

    def clear(self) -> None:
        """Erase the status line."""
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._width = 0

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._pause:
            return False
        self._last = now
        return True

    def _passing(self, line: str) -> None:
        if not self._out.isatty():
            self._out.write(line + "\n")
        else:
            self.clear()
            self._out.write(line)
            self._width = len(line)
        self._out.flush()


def line_of(standing: Standing) -> str:
    """``epoch 3  step 120  loss 2.310  R@1 12.1 %  R@5 30.4 %  512 images/s  2:31 left``; R@k is text to image."""
    parts = [f"epoch {standing.epoch + 1}", f"step {standing.step:,}", f"loss {standing.loss:.3f}"]
    if standing.validation is not None:
        parts += [f"R@1 {standing.validation.r1:.1%}", f"R@5 {standing.validation.r5:.1%}"]
    parts.append(f"{standing.rate:,.0f} images/s")
    if standing.left is not None:
        parts.append(f"{_clock(standing.left)} left")
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

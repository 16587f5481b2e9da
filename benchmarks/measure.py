"""Comparable figures on a shared machine: alternating rounds, medians, and the load by other processes."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.stopwatch import Stopwatch

_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Series:
    """One value per round.

    Attributes:
        values: in the order of the rounds, so that ratios can be taken round by round.
    """

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    def over(self, other: Series) -> Series:
        """Ratios of the two values of each round, so that slow periods of the machine cancel."""
        return Series([a / b for a, b in zip(self.values, other.values, strict=True)])

    def shown(self, digits: int = 1, *, times: float = 1.0) -> str:
        """``median (min–max)``."""
        low, high = min(self.values) * times, max(self.values) * times
        return f"{self.median * times:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


class ForeignMeter:
    """CPU time used since its creation by processes other than this one and its measured commands."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    def share(self, measured: float = 0.0) -> float | None:
        """Fraction of the whole machine, 0 to 1; None if the system does not report it. Coarse below half a second.

        Args:
            measured: CPU seconds of a measured process that is still running.
        """
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        wall = time.perf_counter() - self._started
        others = (busy - self._busy) - (_own_seconds() - self._own) - measured
        return min(1.0, max(0.0, others / (wall * (os.cpu_count() or 1))))


class Measured(dict[str, Series]):
    """Name of a case -> its series, all over the same rounds.

    Attributes:
        foreign: the results of :class:`ForeignMeter` for each round.
    """

    foreign: Sequence[float | None] = ()

    def foreign_note(self) -> str:
        """The load by other processes, for the line below a table."""
        return foreign_note(self.foreign)


def alternate(cases: Mapping[str, Callable[[], float]], rounds: int) -> Measured:
    """Run every case once per round (A B C, A B C, ...), after a round whose values are discarded.

    Args:
        cases: name -> a function that returns its own measurement (seconds, images per second, ...).
    """
    values: dict[str, list[float]] = {name: [] for name in cases}
    foreign = []
    for number in range(rounds + 1):
        tell(f"  round {number} of {rounds}" if number else "  warming up")
        meter = ForeignMeter()
        for name, case in cases.items():
            value = case()
            values[name] += [value] if number else []
        foreign += [meter.share()] if number else []
    measured = Measured({name: Series(found) for name, found in values.items()})
    measured.foreign = foreign
    return measured


def foreign_note(shares: Sequence[float | None]) -> str:
    """The line below a table: the share of the machine used by other processes, round by round."""
    known = [f"{share:.0%}" for share in shares if share is not None]
    if not known:
        return "CPU time of other processes: not known on this system."
    return f"Other processes used {', '.join(known)} of the machine, round by round."


def seconds(function: Callable[[], object]) -> Callable[[], float]:
    """A case whose value is its wall time in seconds."""

    def case() -> float:
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    return case


def rate(function: Callable[[], object], count: int) -> Callable[[], float]:
    """A case whose value is ``count`` divided by its wall time."""
    timed = seconds(function)
    return lambda: count / timed()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by at least this fraction of the values (nearest rank)."""
    return sorted(values)[max(0, math.ceil(round(share * len(values), 6)) - 1)]


def tell(line: str) -> None:
    """Print progress on stderr; stdout is for the results."""
    print(line, file=sys.stderr, flush=True)


def _busy_seconds() -> float | None:
    """Busy seconds of all CPUs together since boot (including steal and irq)."""
    try:
        with _STAT.open() as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
    except OSError:
        return None
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system + Stopwatch.spent

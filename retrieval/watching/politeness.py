"""Limits on what a watcher uses: priority, a share of the processor, the battery."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

POWER = Path("/sys/class/power_supply")
_LONGEST_NAP_S = 0.5


def lower_priority(by: int) -> None:
    """Lower the priority of this process by 0 to 19. Does nothing if the system has no priorities."""
    if by and hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(by)


def is_on_battery(power: Path = POWER) -> bool:
    """True if a battery is discharging and no other supply is online; False if the system does not report it."""
    discharging = False
    try:
        supplies = sorted(power.iterdir())
    except OSError:
        return False
    for supply in supplies:
        kind = _read(supply / "type")
        if kind in ("Mains", "USB", "Wireless") and _read(supply / "online") == "1":
            return False
        if kind == "Battery" and _read(supply / "scope") != "Device":  # not that of a mouse
            discharging |= _read(supply / "status") == "Discharging"
    return discharging


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


class CpuShare:
    """Keeps a run below a share of one core, by sleeping when it is asked whether to stop.

    Args:
        percent: of one core, so that 200 is two; 0: no limit.
    """

    def __init__(
        self,
        percent: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share, self._clock, self._used, self._sleep = percent / 100, clock, used, sleep
        self.begin()

    def begin(self) -> None:
        """Call at the beginning of a run; unused time from before is not carried over."""
        self._since, self._before = self._clock(), self._used()

    def wait(self, stop: Callable[[], bool]) -> None:
        """Sleep until the share is no longer exceeded."""
        while self._share and not stop():
            over = (self._used() - self._before) / self._share - (self._clock() - self._since)
            if over <= 0.01:
                return
            self._sleep(min(over, _LONGEST_NAP_S))

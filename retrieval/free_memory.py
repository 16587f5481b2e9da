"""The memory that this process may still use: of the machine, of its control groups, and of its limits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from retrieval.errors import SystemProblem

NO_MEMORY = "not enough memory"
"""The prefix of reasons that are not a file's fault: the file is tried again."""


def free_bytes() -> int | None:
    """Bytes that this process may still use: the least of machine, control group and limits.

    None if the system does not report it (not Linux).
    """
    found = (_free_on_machine(), *_free_in_groups(), _free_addresses(), _free_data())
    known = [each for each in found if each is not None]
    return max(min(known), 0) if known else None


def _free_on_machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None


def _free_in_groups() -> Iterator[int]:
    """The remaining memory of this process's control group and of each above it, for both versions of groups."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            top, limit, usage = Path("/sys/fs/cgroup"), "memory.max", "memory.current"
        elif "memory" in kinds.split(","):
            top, limit, usage = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        # A container may see only its own group, mounted in place of the topmost one.
        for folder in (group, *group.parents) if group.is_dir() else (top,):
            with suppress(OSError, ValueError):  # no limit is the word "max", or a meaningless number
                yield int((folder / limit).read_text()) - int((folder / usage).read_text())
            if folder == top:
                break


def _free_addresses() -> int | None:
    return _free_of_limit("RLIMIT_AS", 0)


def _free_data() -> int | None:
    return _free_of_limit("RLIMIT_DATA", 5)


def _free_of_limit(name: str, column: int) -> int | None:
    """What is left of a limit of this process, whose use is in a column of ``statm``; None if there is no limit."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(getattr(resource, name))
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[column])
            return limit - pages * os.sysconf("SC_PAGE_SIZE")
    return None


def check_room(what: str, *, used: int, reserved: int) -> None:
    """Say beforehand that there is not enough memory, for libraries that end the whole process without it.

    Args:
        what: needs the memory.
        used: bytes that it writes, at least.
        reserved: bytes of addresses that it takes, at least: threads reserve much more than they use.

    Raises:
        SystemProblem: there is less.
    """
    free = free_bytes()
    for need, there in ((used, free), (reserved, _free_addresses())):
        if there is not None and there < need:
            raise SystemProblem(
                f"there is not enough memory: {what} takes {need >> 20:,} MiB, {max(there, 0) >> 20:,} are free",
                "close other programs, or raise the limit, then run the same command again",
            )

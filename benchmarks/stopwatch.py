"""Times whole commands: wall time, CPU time and peak memory, as counted by the kernel.

The commands are started by a separate small process. Linux counts the memory of the process that starts
a command as part of the command's own peak (``exec`` keeps the larger of the two), so a benchmark that has loaded a
model would report its own size for each child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_TAIL = 2000


class CommandFailed(Exception):
    """A measured command ended with an unexpected exit code."""


class Timed(NamedTuple):
    """One run of a command: seconds of wall time and of CPU time, peak resident bytes."""

    wall: float
    cpu: float
    peak: int


class Stopwatch:
    """A small process that runs commands one after the other. Use as a context manager."""

    spent = 0.0
    """CPU seconds of all commands so far, which do not count as other processes."""

    def __enter__(self) -> Stopwatch:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        accepted: Sequence[int] = (0,),
    ) -> Timed:
        """Run a command to its end, discarding its output.

        Args:
            environment: variables in addition to this process's own.
            folder: working folder.
            accepted: exit codes that count as success.

        Raises:
            CommandFailed: another exit code; the message ends with its stderr.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        request = {
            "command": list(command),
            "environment": {**os.environ, **(environment or {})},
            "folder": None if folder is None else os.fspath(folder),
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer["code"] not in accepted:
            raise CommandFailed(f"{' '.join(command)} ended with {answer['code']}: {answer['tail']}")
        Stopwatch.spent += answer["cpu"]
        return Timed(answer["wall"], answer["cpu"], answer["peak"])


def _serve() -> None:
    """Read one JSON request per line on stdin, write one JSON response per line on stdout."""
    import tempfile

    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as complaints:
            started = time.perf_counter()
            process = subprocess.Popen(
                request["command"],
                env=request["environment"],
                cwd=request["folder"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
            )
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - started
            complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _TAIL))
            tail = complaints.read().decode(errors="replace")
        kilo = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "wall": wall,
            "cpu": used.ru_utime + used.ru_stime,
            "peak": used.ru_maxrss * kilo,
            "tail": tail,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()

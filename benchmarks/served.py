"""``photoseek serve`` as a process, and measurements of it by the system."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.settings import COMMAND, ROOT
from benchmarks.stopwatch import CommandFailed

_READY_S = 60.0


class Served:
    """A server of a gallery on a free port of loopback. Use as a context manager.

    Attributes:
        url: set when it is ready.

    Raises:
        CommandFailed: it does not become ready.
    """

    def __init__(self, gallery: Path) -> None:
        self._command = [*COMMAND, "serve", "--gallery", str(gallery), "--port", "0"]
        self.url = ""

    def __enter__(self) -> Served:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said
        )
        try:
            self.url = self._ready_url()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def memory(self) -> int | None:
        """Resident bytes; None if the system does not report them."""
        found = re.search(r"VmRSS:\s+(\d+) kB", self._proc("status"))
        return None if found is None else int(found[1]) * 1024

    def cpu(self) -> float | None:
        """CPU seconds so far; None if the system does not report them."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else None

    def _proc(self, name: str) -> str:
        try:
            return Path(f"/proc/{self._process.pid}/{name}").read_text()
        except OSError:
            return ""

    def _ready_url(self) -> str:
        until = time.monotonic() + _READY_S
        while time.monotonic() < until and self._process.poll() is None:
            if found := re.search(r"http://[^\s?]+", self._lines()):
                return found[0].rstrip("/")
            time.sleep(0.05)
        raise CommandFailed(f"{' '.join(self._command)} does not get ready: {self._lines()[-2000:]}")

    def _lines(self) -> str:
        # Not read(): the server writes at the file's position, which it shares with this process.
        return os.pread(self._said.fileno(), 1 << 16, 0).decode(errors="replace")

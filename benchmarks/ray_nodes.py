"""Ray nodes on the loopback interface of this machine, for the benchmark and the tests of encoding on a cluster.

Each is a session of processes of its own, so that a node can be ended like a machine that loses its power.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_STORE_BYTES = 100_000_000
_HEAD, _OTHERS = "127.0.0.3", ("127.0.0.2", "127.0.0.4", "127.0.0.5")


def settings() -> dict[str, str]:
    """Variables for this program and the nodes: no usage statistics, a token that only they know, short timeouts."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(24),
        "RAY_ADDRESS": "",
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "3000",
        "RAY_worker_niceness": "0",  # the tests of a busy machine would wait for them
        "OMP_NUM_THREADS": "1",
    }


class Nodes:
    """A cluster.

    Args:
        cpus: logical ones of each node, as many as workers are to run there.
        others: nodes beside the head.
    """

    def __init__(self, *, cpus: int = 2, others: int = 1) -> None:
        self._cpus = cpus
        # The path of a socket has 107 characters at most: a test's own folder is too deep.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))
        with socket.socket() as free:
            free.bind((_HEAD, 0))
            self._port = free.getsockname()[1]
        self.address = f"{_HEAD}:{self._port}"
        self.sessions: list[int] = []
        try:
            self._start(
                "--head", f"--port={self._port}", f"--node-ip-address={_HEAD}", f"--temp-dir={self._folder}",
                "--include-dashboard=false",
            )  # fmt: skip
            for where in _OTHERS[:others]:
                self.join(where)
        except BaseException:
            self.close()
            raise

    def join(self, where: str = _OTHERS[0]) -> None:
        """Start a node that has this address."""
        self._start(f"--address={self.address}", f"--node-ip-address={where}")

    def _start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--disable-usage-stats",
                   f"--num-cpus={self._cpus}", f"--object-store-memory={_STORE_BYTES}", *arguments]  # fmt: skip
        log = self._folder / f"start-{len(self.sessions)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
            self.sessions.append(process.pid)
            if process.wait(300) != 0:
                raise RuntimeError(log.read_text()[-2000:])

    def workers(self, node: int | None = None) -> list[int]:
        """The processes of workers on a node (0: the head), or on all."""
        sessions = self.sessions if node is None else [self.sessions[node]]
        return [pid for pid, name in _processes(sessions) if name.startswith("ray::Worker")]

    def kill(self, node: int) -> None:
        """End all processes of a node at once."""
        session = self.sessions[node]
        while left := _processes([session]):
            for pid, _ in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def close(self) -> None:
        """End everything, and remove it."""
        for node in reversed(range(len(self.sessions))):
            self.kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)


def _processes(sessions: list[int]) -> list[tuple[int, str]]:
    """(id, command line) of the living processes of these sessions."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[3]) in sessions and after_name[0] != "Z":
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(folder.name), line.decode(errors="replace").strip()))
    return found


def cpu_seconds(process: int, sessions: list[int]) -> float:
    """CPU time so far of a process, of its child processes, and of everything that runs in these sessions."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                is_ours = int(folder.name) == process or int(fields[1]) == process or int(fields[3]) in sessions
                total += (int(fields[11]) + int(fields[12])) * is_ours
    return total / ticks

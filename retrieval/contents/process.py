"""The parent's side: child processes that work on one file at a time, with limits of time and memory.

A bad file ends only one of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from retrieval.errors import EncoderError

_PATIENCE = 20
"""Limit of wall-clock time as a multiple of CPU time: for busy machines, and systems without limits of CPU time."""

_LATE = getattr(signal, "SIGXCPU", signal.SIGTERM)
_KILLED = getattr(signal, "SIGKILL", 0)
_ROOT = str(Path(__file__).parents[2])


class ContentProcess:
    """One child process, started on first use and restarted after it has ended; for one thread at a time.

    Args:
        program: the module whose ``main`` the process runs, which calls ``child.serve``.
        seconds: limit of CPU time per picture.
    """

    def __init__(self, program: str, seconds: int) -> None:
        self._code = f"import sys; sys.path.insert(0, sys.argv[1]); from {program} import main; main()"
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    def answer(self, path: str, content_hash: bytes, width: int, height: int) -> dict[str, Any] | None:
        """The program's answer, or ``reason``: why there is none.

        None if the file is not the one that was indexed, or the process was closed, or the system ended it.

        Raises:
            EncoderError: the networks cannot be used.
        """
        asked = {
            "path": os.fsencode(path).hex(),
            "hash": content_hash.hex(),
            "width": width,
            "height": height,
            "seconds": self._seconds,
        }
        answer, ended = self._asked(json.dumps(asked).encode() + b"\n")
        if self._is_closed or (answer is not None and answer.get("gone")):
            return None
        if answer is None:
            if ended is not None and ended > 0:  # it never answers with that
                raise EncoderError("the process that reads pictures cannot be started", "close other programs")
            if ended == -_KILLED:  # by the system, which had no memory left: it is read in another run
                return None
            late = f"it took more than {self._seconds} s to read"
            return {"reason": late if ended == -_LATE else "reading it failed"}
        if "stop" in answer:
            raise EncoderError(*answer["stop"])
        return answer

    def close(self) -> None:
        """Kill the process; may be called by another thread during :meth:`answer`."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()

    def _asked(self, request: bytes) -> tuple[dict[str, Any] | None, int | None]:
        """The answer and None; or None and the exit code of the process (None if closed)."""
        process = self._running()
        if process is None:
            return None, None
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(self._seconds * _PATIENCE, lambda: process.send_signal(_LATE))
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            line = process.stdout.readline()
            answer = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            return None, self._ended(process)
        if answer.get("last"):  # the next request is for another one, whether or not this one has ended by then
            with self._lock:
                self._ended(process)
                self._process = None
        return answer, None

    def _running(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._is_closed:
                return None
            if self._process is not None and self._process.poll() is not None:
                self._ended(self._process)
                self._process = None
            if self._process is None:
                one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PHOTOSEEK_CHILD_OF": str(os.getpid())}
                # In a separate session, so that Ctrl-C reaches only this process, not the child.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", self._code, _ROOT],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **one},
                    start_new_session=True,
                )
            return self._process

    @staticmethod
    def _ended(process: subprocess.Popen[bytes]) -> int:
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # the process did not read all of its input
                if pipe is not None:
                    pipe.close()
        try:
            return process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def end(self) -> None:
        """Close it, and wait until the process has ended."""
        self.close()
        if self._process is not None:
            self._ended(self._process)
            self._process = None

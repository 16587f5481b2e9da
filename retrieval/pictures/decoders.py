"""Decoders that run in separate processes, with limits on time and memory: a bad file ends only one of these.

The processes are started with the first file that needs one, and end when there was no request for two minutes or
this program ends. The work itself is in ``decoder_program.py``. A process asks before it takes much memory, which
counts like that of a picture decoded here; and it can be ended at any time, on behalf of whoever waits for it.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from retrieval.errors import UnreadableImage
from retrieval.free_memory import NO_MEMORY
from retrieval.pictures import memory
from retrieval.pictures.memory import Room

MOST_SECONDS = 60
"""Of CPU time for a file: a RAW of 50 megapixels takes 2 s."""

_PATIENCE = 20
"""A file may take this many times as long by the clock: on a busy machine, or if nothing else ends it."""

_LATE = getattr(signal, "SIGXCPU", signal.SIGTERM)
"""The signal with which the system ends a process that used too much CPU time."""

_KILLED = getattr(signal, "SIGKILL", 0)

_PROGRAM = Path(__file__).with_name("decoder_program.py")
_ATTEMPTS = 3


class Decoded(NamedTuple):
    """An answer.

    Args:
        about: further information about the file.
        form: ``JPEG``, ``PNG`` or ``RGB``; empty if there is no picture.
        picture: the bytes of the picture; with RGB, three per pixel.
    """

    about: dict[str, Any]
    form: str
    picture: bytes

    def image(self) -> Image.Image:
        """A plain ``RGB`` picture."""
        width, height = self.about["size"]
        return Image.frombuffer("RGB", (width, height), self.picture, "raw", "RGB", 0, 1)


class Abandoned(UnreadableImage):
    """The file was given up because nobody waits for it any more; that says nothing about the file."""

    def __init__(self) -> None:
        super().__init__("reading it was given up", "try again")


class Abandonment:
    """Lets one caller give up the files that are being decoded for it, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[_Process] = set()
        self._is_set = False

    def set(self) -> None:
        """End the processes that decode for this caller; later files are not begun."""
        with self._lock:
            self._is_set = True
            for process in self._processes:
                process.kill()

    @property
    def is_set(self) -> bool:
        return self._is_set

    @contextmanager
    def at(self, process: _Process) -> Iterator[None]:
        """While this process works for the caller.

        Raises:
            Abandoned: before or during that, the files were given up.
        """
        with self._lock:
            if self._is_set:
                raise Abandoned
            self._processes.add(process)
        try:
            yield
        finally:
            with self._lock:
                self._processes.discard(process)


_abandonment: ContextVar[Abandonment] = ContextVar("abandonment")
_SECONDS_PER_LOOK = 0.1


@contextmanager
def abandonable(abandonment: Abandonment) -> Iterator[None]:
    """What this thread decodes inside the block in other processes is given up when ``abandonment`` is set."""
    token = _abandonment.set(abandonment)
    try:
        yield
    finally:
        _abandonment.reset(token)


class _Process:
    """One decoder process."""

    def __init__(self) -> None:
        self._memory = os.memfd_create("picture") if hasattr(os, "memfd_create") else -1
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # The program's folder is not on the path, because its names would hide those of the standard library. It runs
        # in a session of its own, so that Ctrl-C reaches only this process.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **one},
            start_new_session=True,
            pass_fds=() if self._memory < 0 else (self._memory,),
        )

    def ask(
        self, request: bytes, data: bytes, seconds: float, grant: Callable[[int], bool]
    ) -> tuple[dict[str, Any], bytes] | None:
        """None if the process ended without an answer; it is ended after ``seconds`` by the clock.

        Args:
            grant: called with the bytes of memory that the file takes; False: it may not have them.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        timer = threading.Timer(seconds, lambda: self._process.send_signal(_LATE))
        timer.start()
        try:
            self._process.stdin.write(request if self._lent(data) else request + data)
            self._process.stdin.flush()
            answer = self._line()
            while answer is not None and "needs" in answer:
                self._process.stdin.write(b"yes\n" if grant(answer["needs"]) else b"no\n")
                self._process.stdin.flush()
                answer = self._line()
            picture = self._process.stdout.read(answer["bytes"]) if answer else b""
        except (OSError, ValueError):
            answer = None
        finally:
            timer.cancel()
        return None if answer is None or len(picture) < answer["bytes"] else (answer, picture)

    def _line(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return found

    def kill(self) -> None:
        """End it now, whatever it does; from any thread."""
        self._process.kill()

    def _lent(self, data: bytes) -> bool:
        """Put a file into the shared memory; False if there is no such memory."""
        if self._memory < 0:
            return False
        os.ftruncate(self._memory, 0)
        at = 0
        while at < len(data):
            at += os.pwrite(self._memory, memoryview(data)[at:], at)
        return True

    def let_go(self) -> None:
        """Free the memory of the last file between requests."""
        if self._memory >= 0:
            os.ftruncate(self._memory, 0)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> int:
        """End the process and return its exit status: 0 if it was idle for too long."""
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # it did not read everything that was written
                continue
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Decoders:
    """One process for each file that is decoded at the same time, up to the number of cores. Thread-safe.

    Args:
        seconds: CPU time that a file may take.
    """

    def __init__(self, seconds: int = MOST_SECONDS) -> None:
        self._seconds = seconds
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._places = threading.Semaphore(cores)
        self._owner = os.getpid()

    def decode(self, work: str, data: bytes, name: str, *, seconds: int | None = None, **asked: Any) -> Decoded:
        """The result of ``decoder_program.py`` for a file.

        Args:
            work: one of its kinds of work.
            name: the format, for messages.
            seconds: CPU time that this file may take; default: as for any file.
            asked: further parameters of the request.

        Raises:
            UnreadableImage: why there is no picture: the decoder's reason, that it crashed or took too long, or that
                it needs more memory than there is.
            Abandoned: the caller gave it up, see :func:`abandonable`.
            MissingDecoder: it is not installed.
        """
        seconds = seconds or self._seconds
        about = {"work": work, "size": len(data), "seconds": seconds, **asked}
        request = json.dumps(about).encode() + b"\n"
        given_up = _abandonment.get(None) or Abandonment()
        with self._place(given_up):
            for _ in range(_ATTEMPTS):
                process, is_sound = self._taken(), False
                try:
                    with given_up.at(process), Room(memory.shared) as room:
                        grant = _Grant(room)
                        answer = process.ask(request, data, seconds * _PATIENCE, grant.asked)
                    is_sound = answer is not None and not given_up.is_set
                finally:
                    ended = self._given_back(process, is_sound)
                if grant.refused is not None:
                    raise grant.refused
                if answer is not None:
                    return _checked(*answer)
                if given_up.is_set:
                    raise Abandoned
                if ended == -_LATE:
                    raise UnreadableImage(f"it took more than {seconds} s to decode")
                if ended is not None and (ended > 0 or ended == -_KILLED):
                    # Not by its own fault: it could not even begin, or the system took its memory away.
                    raise UnreadableImage(f"{NO_MEMORY}: its decoder was ended")
                if ended != 0:  # 0: it had just ended because it was idle
                    break
        raise UnreadableImage(f"the {name} decoder crashed on it")

    @contextmanager
    def _place(self, given_up: Abandonment) -> Iterator[None]:
        while not self._places.acquire(timeout=_SECONDS_PER_LOOK):
            if given_up.is_set:
                raise Abandoned
        try:
            yield
        finally:
            self._places.release()

    def close(self) -> None:
        """End the idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        if os.getpid() == self._owner:
            for process in idle:
                process.close()

    def _taken(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_running:
                    return process
                process.close()
        return _Process()

    def _given_back(self, process: _Process, is_sound: bool) -> int | None:
        if not is_sound:
            return process.close()
        process.let_go()
        with self._lock:
            self._idle.append(process)
        return None


class _Grant:
    """The memory granted to a process for one file.

    Attributes:
        refused: why it did not get what it asked for last.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self.refused: UnreadableImage | None = None

    def asked(self, count: int) -> bool:
        """Wait until there is room for so many bytes; False if there never will be."""
        try:
            self._room.take(count)
        except UnreadableImage as error:
            self.refused = error
        return self.refused is None


def _checked(about: dict[str, Any], picture: bytes) -> Decoded:
    if (reason := about.get("reason")) is not None:
        raise MissingDecoder if reason == "missing" else UnreadableImage(reason, *about.get("hint", ()))
    return Decoded(about, about.get("form", ""), picture)


class MissingDecoder(Exception):
    """The library that this kind of file needs is not installed."""


shared = Decoders()
"""The decoders of this program."""

atexit.register(lambda: shared.close())

"""The daemon: keeps one gallery's encoder and index loaded and answers searches over a socket of its user.

It holds no state of its own: each answer follows the catalog as it is, and without it everything works as before,
only slower. One at a time per gallery and user (a lock says so); it leaves when nobody asked for a while.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from retrieval.daemon.client import socket_path
from retrieval.daemon.talk import MAX_REQUEST, VERSION, is_own_peer, is_private, read_line, settings
from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.logs import plain_handler
from retrieval.search.current import CurrentEngine
from retrieval.search.engine import QueryEngine

logger = logging.getLogger("photoseek")

_REQUEST_WAIT_S = 0.5  # a client sends its one line at once; one that does not must not keep the others waiting
_OWN_FOLDER = "set XDG_RUNTIME_DIR to a folder of yours"
_LOOK_S = 5.0  # how often an idle daemon looks whether its gallery is still there

Run = Callable[[Sequence[str], QueryEngine], int]
"""Runs ``photoseek ARGUMENTS...`` on an open engine, printing to ``sys.stdout``; returns the exit code."""


class Refused(Exception):
    """This request is better answered by the client's own process."""


class Daemon:
    """Serves one gallery until it is idle for too long, told to stop, or the gallery is gone.

    Args:
        gallery: with something indexed in it.
        run: how a command line is run.
        idle_s: seconds without a request after which it leaves.

    Raises:
        SettingsError: another daemon serves this gallery, or this system has no such sockets.
        GalleryNotFound: nothing is indexed yet.
    """

    def __init__(self, gallery: Gallery, run: Run, idle_s: float) -> None:
        self._gallery = Gallery(gallery.path.resolve())
        self._path = _socket_of(self._gallery)
        self._run, self._idle_s = run, idle_s
        self._current = CurrentEngine(self._gallery)
        self._served = 0
        self._told_to_stop = False

    def serve(self) -> int:
        """Wake the text tower and the index, then answer until it is time to leave; how many searches it answered."""
        with _sole(self._path), suppress(KeyboardInterrupt):
            self._current.wake()
            try:
                with _listening(self._path) as listener:
                    self._serve(listener)
            finally:
                self._current.close()
        return self._served

    def _serve(self, listener: socket.socket) -> None:
        last = time.monotonic()
        while not self._told_to_stop and (left := last + self._idle_s - time.monotonic()) > 0 and self._still_there():
            listener.settimeout(max(0.01, min(left, _LOOK_S)))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, suppress(OSError, ValueError, RecursionError):  # a client that is gone or talks nonsense
                if not is_own_peer(connection):
                    continue
                request = json.loads(read_line(connection, MAX_REQUEST, _REQUEST_WAIT_S))
                last = time.monotonic()
                connection.settimeout(_REQUEST_WAIT_S)
                connection.sendall(json.dumps(self._answer(request)).encode() + b"\n")

    def _answer(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or request.get("version") != VERSION:
            return {"refused": "another version"}
        self._told_to_stop = request.get("op") == "stop"
        if request.get("op") in ("status", "stop"):
            return {"pid": os.getpid(), "served": self._served, "idle_s": self._idle_s}
        try:
            answer = self._search(request)
        except Exception as error:  # whatever it is, the client's own process will say it properly
            return {"refused": f"{type(error).__name__}: {error}"[:300]}
        self._served += 1
        return answer

    def _search(self, request: Mapping[str, Any]) -> dict[str, Any]:
        argv, cwd, errors = request["argv"], request["cwd"], request["errors"]
        if request["op"] != "run" or request["settings"] != settings() or errors not in ("strict", "surrogateescape"):
            raise Refused("not for this daemon")
        if not isinstance(argv, list) or not all(isinstance(text, str) for text in (cwd, *argv)):
            raise Refused("not a folder and a list of arguments")
        out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
        err = io.StringIO()
        with _in_folder(cwd), redirect_stdout(out), redirect_stderr(err), _log_to(err):
            code = self._run(argv, self._current.engine())
        out.flush()
        raw = out.buffer
        assert isinstance(raw, io.BytesIO)
        return {"code": code, "out": raw.getvalue().decode("latin-1"), "err": err.getvalue()}

    def _still_there(self) -> bool:
        """False when the gallery was removed, or another one lies at its place."""
        return self._gallery.exists() and socket_path(str(self._gallery.path)) == self._path


def _socket_of(gallery: Gallery) -> str:
    """Raises SettingsError where there is no gallery, or nothing to listen on."""
    if not gallery.exists():
        raise SettingsError(f"there is no gallery at {gallery.path}", "create one: photoseek index FOLDER")
    path = socket_path(str(gallery.path))
    if path is None:
        raise SettingsError("this system does not support the daemon's sockets", "search without a daemon")
    return path


@contextmanager
def _sole(path: str) -> Iterator[None]:
    """Hold the lock that belongs to a socket, in a folder that is the user's own."""
    import fcntl  # absent on Windows, where no socket path is given either

    folder = Path(path).parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make {folder}: {error.strerror}", _OWN_FOLDER) from error
    if not is_private(str(folder)):
        raise SettingsError(f"{folder} is not a folder that only you can access", _OWN_FOLDER)
    with open(f"{path}.lock", "wb") as lock:  # noqa: PTH123 - a string, as its socket
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingsError(
                "a daemon is already running for this gallery", "see: photoseek daemon status"
            ) from None
        yield


@contextmanager
def _listening(path: str) -> Iterator[socket.socket]:
    """A socket that only this user may connect to; whoever holds the lock may remove what a killed one left."""
    with suppress(FileNotFoundError):
        Path(path).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        try:
            listener.listen(64)
            yield listener
        finally:
            with suppress(FileNotFoundError):
                Path(path).unlink()


@contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """Relative paths mean what they mean to the client; afterwards no folder is kept busy."""
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir("/")


@contextmanager
def _log_to(stream: io.StringIO) -> Iterator[None]:
    """Warnings go to the client, in the form that the command line gives them."""
    handler = plain_handler(stream)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def leave_on_sigterm() -> None:
    """SIGTERM ends :meth:`Daemon.serve` as Ctrl-C does: the socket is removed."""

    def leave(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)


def check_served(gallery: str | Path | None, engine: QueryEngine) -> None:
    """Raise Refused unless a command line's ``--gallery`` is the folder that the engine serves (or was left out)."""
    if gallery is not None and not Path(gallery).expanduser().samefile(engine.gallery.path):
        raise Refused("another gallery")

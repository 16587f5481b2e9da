"""The socket server: searches of the command line are answered by the engine of a resident process.

It has no state of its own: each answer reflects the current catalog, and without it everything works as before, only
slower. There is one per gallery and user, ensured by a lock. This file and
:func:`retrieval.commands.answers.open_engine`, which interprets the command line, decide whether a request is answered.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retrieval.asker import Asker, LeftToAsker, asked_by
from retrieval.errors import GalleryNotFound, SettingsError
from retrieval.gallery import Gallery
from retrieval.server.client import socket_path, state_of
from retrieval.server.program_files import ProgramFiles
from retrieval.server.protocol import (
    LENGTH,
    MAX_REQUEST,
    REFUSED,
    VERSION,
    WAIT_S,
    Answer,
    is_own_peer,
    is_private,
    program,
    settings,
)

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine
    from retrieval.server.engine_thread import EngineThread

logger = logging.getLogger("photoseek")

LOOK_S = 5.0
"""How often a door checks that its gallery still exists."""

_REQUEST_WAIT_S = 0.5  # a client sends its request at once
_TAKE_OVER_S = 0.05
_OWN_FOLDER = "set XDG_RUNTIME_DIR to a folder of yours"

Run = Callable[[Sequence[str], "QueryEngine"], int]
"""Runs ``photoseek ARGUMENTS...`` for the asker on an open engine; returns the exit code."""


class Taken(SettingsError):
    """Another process already answers the command line's searches of this gallery."""


class SocketDoor:
    """Accepts searches of the user who owns the gallery.

    Args:
        gallery: its folder determines the path of the socket.
        run: runs a command line.
        engine_thread: the engine to run it on.
        page: the address of the page that this process serves; if set, clients cannot stop the process.
        idle_s: seconds without a request after which this process exits; only reported.

    Attributes:
        served: number of answered searches.
        last: time of the last request, by ``time.monotonic``.
        stopping: set when a client has stopped this process, or its program was replaced.
    """

    def __init__(
        self,
        gallery: Gallery,
        run: Run,
        engine_thread: EngineThread,
        *,
        page: str | None = None,
        idle_s: float | None = None,
    ) -> None:
        self._gallery = Gallery(gallery.path.resolve())
        self._run, self._engine_thread, self._page, self._idle_s = run, engine_thread, page, idle_s
        self._program = ProgramFiles()
        self.served, self.last = 0, time.monotonic()
        self.stopping = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[], bool]]:
        """Listen within the block, once the engine is loaded; the yielded function tells if the gallery still exists.

        Raises:
            GalleryNotFound: there is no gallery, or nothing is indexed yet.
            Taken: another process is listening.
            SettingsError: this system has no such sockets, or no private folder for them.
        """
        path = _socket_of(self._gallery)
        with _sole(path):
            await self._engine_thread.run(lambda engine: None)
            with _listening(path) as listener:
                async with await asyncio.start_unix_server(self._connected, sock=listener):
                    self.last = time.monotonic()
                    yield lambda: self._gallery.exists() and socket_path(str(self._gallery.path)) == path

    async def keep_open(self) -> None:
        """Listen whenever there is a gallery, in a process that keeps running for another reason.

        A process that only serves the command line is told to exit. Ends when it is cancelled, or at once on systems
        without such sockets, where no client can connect.
        """
        if not hasattr(os, "geteuid"):
            return
        told = ""
        while not self.stopping.is_set():
            wait_s = LOOK_S
            try:
                async with self.opened() as is_there:
                    while is_there() and not self.stopping.is_set():
                        await self.stopped_within(LOOK_S)
            except Taken as error:
                other = await asyncio.to_thread(state_of, str(self._gallery.path), "stop")
                if other is None or other["page"] is None:  # it leaves
                    wait_s = _TAKE_OVER_S
                else:
                    told = _told_once(told, error)
            except GalleryNotFound:
                pass  # the page explains how to create one
            except SettingsError as error:
                told = _told_once(told, error)
            await self.stopped_within(wait_s)

    async def stopped_within(self, seconds: float) -> bool:
        """Wait at most this long until this process is told to exit; returns whether it was."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        return self.stopping.is_set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, EOFError):  # a client that has disconnected or sent an invalid request
            try:
                if is_own_peer(writer.get_extra_info("socket")):
                    async with asyncio.timeout(_REQUEST_WAIT_S):
                        size = int.from_bytes(await reader.readexactly(LENGTH), "big")
                        request = await reader.readexactly(size) if size <= MAX_REQUEST else b""
                    self.last = time.monotonic()
                    answer = await self._answer(request.decode("utf-8", "surrogateescape").split("\0"))
                    async with asyncio.timeout(_REQUEST_WAIT_S):
                        writer.write(answer.message())
                        await writer.drain()
            finally:
                writer.close()

    async def _answer(self, request: Sequence[str]) -> Answer:
        op = request[1] if len(request) > 1 else ""
        if op == "stop" and self._page is None:
            self.stopping.set()
        if op in ("status", "stop"):
            state = {"pid": os.getpid(), "served": self.served, "idle_s": self._idle_s, "page": self._page}
            return Answer(0, b"", json.dumps({**state, "bytes": _memory()}).encode())
        try:
            asked = self._checked(request)
            async with asyncio.timeout(WAIT_S):  # clients do not wait longer
                answer = await self._engine_thread.run(partial(self._searched, asked))
        except Exception as error:  # the client will run the command itself and report any error properly
            return Answer(REFUSED, f"{type(error).__name__}: {error}"[:300].encode("utf-8", "replace"), b"")
        self.served += 1
        return answer

    def _checked(self, request: Sequence[str]) -> _Asked:
        """The request, if it comes from the same program with the same settings and is for this gallery.

        Raises:
            LeftToAsker: it is not.
            ValueError, OSError: an invalid request, or no such gallery.
        """
        version, op, of_program, of_settings, folder, gallery, named, errors, *argv = request
        if (version, op, of_program, of_settings) != (VERSION, "run", program(), settings()):
            raise LeftToAsker("another program, or other settings")
        if self._program.are_exchanged():
            if self._page is None:
                self.stopping.set()
            raise LeftToAsker("the program was exchanged since this process was started")
        if errors not in ("strict", "surrogateescape"):
            raise LeftToAsker("another kind of output")
        if not Path(folder, gallery).samefile(self._gallery.path):
            raise LeftToAsker("another gallery")
        return _Asked(folder, gallery if named else None, errors, argv)

    def _searched(self, asked: _Asked, engine: QueryEngine) -> Answer:
        """Run a search on the engine thread."""
        raw, err = io.BytesIO(), io.StringIO()
        out = io.TextIOWrapper(raw, "utf-8", asked.errors, write_through=True)
        with asked_by(Asker(out, err, asked.folder, asked.gallery)):
            code = self._run(asked.argv, engine)
        out.flush()
        return Answer(code, err.getvalue().encode(), raw.getvalue())


class _Asked(NamedTuple):
    """A command line, its client's working folder and name of the gallery, and its error handler for encoding."""

    folder: str
    gallery: str | None
    errors: str
    argv: list[str]


def _told_once(told: str, error: SettingsError) -> str:
    if error.message != told:
        logger.warning("searches of the command line are not answered: %s\n%s", error.message, error.hint)
    return error.message


def _memory() -> int | None:
    """Bytes of this process in memory; None if the system does not report it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _socket_of(gallery: Gallery) -> str:
    """The path of a gallery's socket; raises like :meth:`SocketDoor.opened`."""
    if not gallery.exists():
        raise GalleryNotFound(f"there is no gallery at {gallery.path}", "create one: photoseek index FOLDER")
    path = socket_path(str(gallery.path))
    if path is None:
        raise SettingsError("this system does not support the daemon's sockets", "search without a daemon")
    return path


@contextmanager
def _sole(path: str) -> Iterator[None]:
    """Hold the lock of a socket, in a folder that only the user can access."""
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
            raise Taken("a daemon is already running for this gallery", "see: photoseek daemon status") from None
        yield


@contextmanager
def _listening(path: str) -> Iterator[socket.socket]:
    """A socket that only this user may connect to; the lock's holder may remove one left by a killed process."""
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

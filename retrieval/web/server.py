"""Run the application: socket, uvicorn, signals, and console output."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from types import FrameType
from typing import Any
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from retrieval.errors import SettingsError
from retrieval.gallery import Gallery
from retrieval.interrupts import ENDING, own_time
from retrieval.regular_files import is_short
from retrieval.server.door import Run, SocketDoor
from retrieval.web.app import create_app
from retrieval.web.front.protocol import patient
from retrieval.web.front.security import is_wildcard
from retrieval.web.settings import Settings

logger = logging.getLogger("photoseek")

_SHORTEST_TOKEN = 16  # characters of a token that strangers may try to guess
_MAX_HEADERS = 65_536  # bytes: an address to share holds a whole search
_OWN_DESCRIPTORS = 512  # for files of the catalog and of models, pictures that are read, pipes to child processes
_QUEUED = 512  # connections that the system keeps until they are accepted
_ACCEPTED_AT_ONCE = 8
"""Connections that asyncio accepts in a turn of its loop (its ``backlog``); it tells of them some turns later."""
_SAID_AGAIN_S = 60.0
_GRACE_S = 2.0  # after running requests had their time: to stop an indexing run, and close files and threads


def serve(
    gallery: Gallery,
    settings: Settings,
    say: Callable[[str], None],
    run: Run | None = None,
    *,
    open_page: bool = False,
) -> None:
    """Serve a gallery until SIGINT, SIGTERM or SIGHUP.

    Args:
        gallery: may be empty.
        settings: without a token, one is generated if other machines can connect.
        say: prints a line for the person: the address, once the server listens on it.
        run: runs the searches of the command line on the same engine; None: they are not answered. Nor are they
            with ``settings.model``, since they mean the active model.
        open_page: show it in the browser.

    Raises:
        SettingsError: the port is taken, the host is not this machine's, or the token is too short for strangers.
    """
    listener = listen(settings.host, settings.port)
    is_ours_alone = ip_address(listener.getsockname()[0]).is_loopback
    is_made = settings.token is None and not is_ours_alone
    if is_made:
        settings = replace(settings, token=secrets.token_urlsafe(32))
    elif not is_ours_alone and (shortest := min(map(len, settings.tokens), default=0)) < _SHORTEST_TOKEN:
        listener.close()
        raise SettingsError(f"a token of {shortest} characters is too easy to guess", "omit --token to generate one")
    settings = with_descriptors(settings)
    url = _url(settings.host, listener)
    entry = url if settings.token is None else f"{url}/?token={quote(settings.token, safe='')}"

    def ready() -> None:
        say(f"photoseek: {entry if is_made else url}  (Ctrl-C stops it)")
        if open_page:  # without the token, which the page asks for: other users of the machine can see command lines
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    leaving = partial(_leave_in_any_case, settings.stop_within_s + _GRACE_S)
    door = None if run is None or settings.model is not None else partial(SocketDoor, gallery, run, page=url)
    server = Server(create_app(gallery, settings, door), settings, ready, leaving)
    asyncio.run(server.serve([listener]))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingsError: the address is not available.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"cannot listen on {host}: {error}", "give an address of this machine to --host") from error
    try:
        if os.name == "posix":  # on other systems it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_QUEUED)
    except OSError as error:
        listener.close()
        problem = f"cannot listen on {host}, port {port}: {error.strerror or error}"
        raise SettingsError(problem, "use another one; --port 0 uses any free port") from error
    listener.setblocking(False)
    return listener


def with_descriptors(settings: Settings) -> Settings:
    """The settings with no more connections than the process may have descriptors for, after raising its own limit.

    Where connections take the last descriptor, nobody is answered any more, and no picture can be read.
    """
    if os.name != "posix":
        return settings
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + _OWN_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return settings
    return replace(settings, max_connections=min(settings.max_connections, max(soft - _OWN_DESCRIPTORS, soft // 3)))


class Server(uvicorn.Server):
    """uvicorn's server with our limits, which exits without an error when it is stopped.

    Args:
        app: from :func:`retrieval.web.app.create_app`.
        settings: those of ``app``.
        ready: called when requests are answered.
        leaving: called when no more requests are accepted.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, ready: Callable[[], None], leaving: Callable[[], None]
    ) -> None:
        super().__init__(_config(app, settings))
        self._state, self._ready, self._leaving = app.state, ready, leaving
        self._say_again = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen; raises what the application raised."""
        asyncio.get_running_loop().set_exception_handler(self._unhandled)
        # The application reports errors; uvicorn would repeat them with a traceback.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        try:
            await super().startup(sockets)
        except SystemExit:
            raise self._state.failure or SettingsError("the server could not be started", "try again") from None
        if self.started:
            for listener in sockets or ():
                listener.listen(_QUEUED)  # asyncio has set it to how many it accepts at once
            self._ready()

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error of no request. Without a descriptor for a connection, asyncio tries again after a second."""
        error = context.get("exception")
        if not isinstance(error, OSError) or not is_short(error):
            loop.default_exception_handler(context)
        elif loop.time() >= self._say_again:
            self._say_again = loop.time() + _SAID_AGAIN_S
            logger.warning("new connections wait: %s", error.strerror)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, let answers finish for a limited time, stop the application."""
        self._leaving()
        self._state.stopping.set()
        self._state.index_job.stop()  # it may need all the available time
        await super().shutdown(sockets)
        if self.force_exit:  # the application was not notified, and its run would go on without a server
            await self._state.index_job.close(at_once=True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a handled signal is not raised again."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread receives signals
            return
        numbers = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            with own_time():  # _leave_in_any_case
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal requests a stop, the second one forces it."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=patient(settings),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # there is no proxy in front whose statement of the client's address would count
        backlog=_ACCEPTED_AT_ONCE,
        timeout_keep_alive=max(1, round(settings.keep_alive_s)),
        timeout_graceful_shutdown=max(1, round(settings.stop_within_s)),
        h11_max_incomplete_event_size=_MAX_HEADERS,
    )


def _leave_in_any_case(after_s: float) -> None:
    """Exit in any case: a running model cannot be interrupted, and the rest of its work is not worth waiting for."""
    leave = threading.Timer(after_s, os._exit, (0,))
    leave.daemon = True
    leave.start()


def _url(host: str, listener: socket.socket) -> str:
    """An address that the person can open in a browser."""
    if is_wildcard(host):
        host = _own_address(listener.family)
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _own_address(family: socket.AddressFamily) -> str:
    """This machine's address in its network; loopback if there is none."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: connecting a datagram socket only consults the routing table. Addresses of documentation.
            probe.connect(("2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1", 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"

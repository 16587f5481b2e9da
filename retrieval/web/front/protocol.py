"""uvicorn's HTTP connection with limits: uvicorn waits indefinitely for headers and slow readers, and takes as many
connections as there are descriptors.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from retrieval.web.front.security import DATA_POLICY
from retrieval.web.settings import Settings


def patient(settings: Settings) -> type[H11Protocol]:
    """The class of a server's connections, with the limits of its settings."""

    class Patient(_PatientProtocol):
        limits = settings
        idle: ClassVar[dict[_PatientProtocol, None]] = {}

    return Patient


class _PatientProtocol(H11Protocol):
    """Closes connections whose headers do not arrive or whose answers are not read.

    If there are too many, the one that has been without a request for longest makes room: connections that only wait
    must not keep anybody out. If each has a request in progress, the new one is closed.
    """

    limits: Settings
    idle: ClassVar[dict[_PatientProtocol, None]]
    """Connections without a request in progress, in the order in which they became so."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._until_headers: asyncio.TimerHandle | None = None
        self._until_read: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            for longest in self.idle:
                longest.leave()
                break
            else:
                self.leave()
                return
        self.idle[self] = None
        self._await_headers()

    def leave(self) -> None:
        """Close the connection at once, and count it no more."""
        self.connections.discard(self)  # further ones may come before the loop tells that it is lost
        self.idle.pop(self, None)
        self.transport.abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # which may begin the next request
        self.idle.pop(self, None)
        if self._is_idle() and not self.transport.is_closing():
            self.idle[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.pop(self, None)
        self._forget_headers()
        self._forget_reading()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._until_headers is None and self._is_idle():
            self._await_headers()  # of the next request on this connection
        super().data_received(data)
        if not self._is_idle():
            self.idle.pop(self, None)
            self._forget_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._forget_reading()
        self._until_read = self.loop.call_later(self.limits.write_wait_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._forget_reading()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer input that is not HTTP with a problem, like all other errors."""
        problem = {"type": "about:blank", "title": "this is not a request in HTTP/1.1", "status": 400}
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", DATA_POLICY.encode("ascii")),
            (b"connection", b"close"),
        ]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        try:
            for event in (answer, h11.Data(data=json.dumps(problem).encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass  # an answer to an earlier request is in progress
        self.transport.close()

    def _is_idle(self) -> bool:
        """True while no request with complete headers is in progress."""
        return self.cycle is None or self.cycle.response_complete

    def _await_headers(self) -> None:
        self._until_headers = self.loop.call_later(self.limits.header_wait_s, self.transport.abort)

    def _forget_headers(self) -> None:
        if self._until_headers is not None:
            self._until_headers.cancel()
            self._until_headers = None

    def _forget_reading(self) -> None:
        if self._until_read is not None:
            self._until_read.cancel()
            self._until_read = None

"""Answers in JSON are sent compressed to clients that take that; pictures and archives are compressed already."""

from __future__ import annotations

import gzip
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\b")
_LEAST_BYTES = 1024
"""Below this, the headers of a packet are most of it."""
_LEVEL = 4
"""A fifth of the time of the highest level for a tenth more bytes (measured on lists of hits)."""


class Compression:
    """Compresses answers in JSON that are sent as a whole; streams of events are sent as they come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _takes_gzip(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        begun: Message | None = None

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if _JSON.match(headers.get("content-type", "")) and "content-encoding" not in headers:
                    begun = message
                    return
            elif begun is not None:
                message = _packed(begun, message)
                begin, begun = begun, None
                await send(begin)
            await send(message)

        await self._app(scope, receive, sent)


def _packed(begin: Message, message: Message) -> Message:
    """The body in a smaller form if that is worth it; the headers in ``begin`` are changed accordingly."""
    headers = MutableHeaders(scope=begin)
    headers.add_vary_header("Accept-Encoding")
    body = message.get("body", b"")
    if message.get("more_body") or len(body) < _LEAST_BYTES:
        return message
    packed = gzip.compress(body, _LEVEL, mtime=0)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(packed))
    return {**message, "body": packed}


def _takes_gzip(headers: Headers) -> bool:
    """True if ``Accept-Encoding`` (RFC 9110, 12.5.3) has gzip with a weight above 0."""
    for part in headers.get("accept-encoding", "").split(","):
        coding, _, parameter = part.partition(";")
        if coding.strip().lower() in ("gzip", "x-gzip"):
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", parameter) is None
    return False

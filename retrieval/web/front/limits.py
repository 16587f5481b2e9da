"""Limits on requests: size and duration of the body, and number of requests at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.errors import Busy
from retrieval.web.front.problems import Problem, problem_of
from retrieval.web.settings import Settings

_ALWAYS_ANSWERED = ("/healthz", "/readyz", "/api/v1/healthz", "/api/v1/readyz")
_LAST_WORDS_S = 1.0  # for a handler that was cancelled
_DISCARD_S = 3.0
_CLOSE = {"Connection": "close"}


@dataclass
class _Body:
    """How many bytes of a request's body have arrived, and when all of it has to be there."""

    most: int
    until: float
    taken: int = 0
    is_complete: bool = False


class Limits:
    """Counts requests and bodies; stops a handler whose client has disconnected.

    Args:
        settings: ``max_requests``, ``max_json_bytes``, ``max_upload_bytes``, ``max_bodies_bytes``, ``body_wait_s``,
            ``body_total_s``.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._running = 0
        self._held = 0  # bytes of the bodies of these requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._running >= self._settings.max_requests and scope["path"] not in _ALWAYS_ANSWERED:
            await problem_of(Busy(), scope["path"])(scope, receive, send)
            return
        self._running += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._running -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers and "content-length" in headers:  # a proxy may use the other one
            said = "the request says its length twice", "send Content-Length or Transfer-Encoding, not both"
            await Problem(400, *said, instance=scope["path"], headers=_CLOSE)(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD") and not _has_body(headers):
            await _while_wanted(self._app, scope, receive, send)
        else:
            await self._answer_body(headers, scope, receive, send)

    async def _answer_body(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        is_upload = headers.get("content-type", "").lower().startswith("multipart/form-data")
        most = self._settings.max_upload_bytes if is_upload else self._settings.max_json_bytes
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            if "expect" not in headers:  # a client that asks before sending need not send it
                await _discard(receive, most)
            await Problem(413, *_too_large(most), instance=scope["path"], headers=_CLOSE)(scope, receive, send)
            return
        body = _Body(most, asyncio.get_running_loop().time() + self._settings.body_total_s)
        try:
            await self._app(scope, self._bounded(receive, body), send)
        finally:
            self._held -= body.taken

    def _bounded(self, receive: Receive, body: _Body) -> Receive:
        """``receive`` for a body that must keep arriving and not be too large, whatever its declared length."""

        async def bounded() -> Message:
            if body.is_complete:
                return await receive()
            left = min(self._settings.body_wait_s, body.until - asyncio.get_running_loop().time())
            try:
                message = await asyncio.wait_for(receive(), max(0.0, left))
            except TimeoutError:
                raise HTTPException(408, "the request body did not arrive in time\nsend it again", _CLOSE) from None
            size = len(message.get("body", b""))
            body.taken += size
            self._held += size
            body.is_complete = not message.get("more_body", False)
            if body.taken > body.most:
                if not body.is_complete:
                    await _discard(receive, body.most)
                raise HTTPException(413, "\n".join(_too_large(body.most)), _CLOSE)
            if self._held > self._settings.max_bodies_bytes:
                raise Busy
            return message

        return bounded


async def _while_wanted(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request without a body; if its client disconnects before the answer, stop.

    A page that searches while one types abandons its request at every key: these must not keep the model from the
    last one.
    """
    is_answered, gone = False, asyncio.Event()
    first: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def once() -> Message:
        if first:
            return first.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def watched(message: Message) -> None:
        nonlocal is_answered
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_answered = True

    answering = asyncio.ensure_future(app(scope, once, watched))
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        gone.set()
        if not is_answered:
            answering.cancel()  # does nothing if it is done
        await asyncio.wait((answering,))
        if not answering.cancelled():
            answering.result()  # or raise its exception
    finally:
        leaving.cancel()
        answering.cancel()
        await asyncio.wait((answering, leaving), timeout=_LAST_WORDS_S)


async def _discard(receive: Receive, most: int) -> None:
    """Read the rest of a body, up to a limit: a client still sending when the connection closes never reads why."""
    taken = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            while taken <= most:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


async def _left(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _too_large(most: int) -> tuple[str, str]:
    return "the request's body is too large", f"send at most {most:,} bytes"

"""Count and time every request, and turn every exception into an error response."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.server.job_queue import Stopping
from retrieval.web.front.metrics import IN_PROGRESS, REQUEST_SECONDS, REQUESTS
from retrieval.web.front.problems import problem_of

logger = logging.getLogger("photoseek")


class Watch:
    """Outside the checks, too, so that refused requests are counted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        IN_PROGRESS.inc()
        try:
            error = await self._outcome(scope, receive, watched)
            if isinstance(error, ClientDisconnect):  # disconnected during the upload: no client waits for an answer
                logger.debug("%s: the client left", scope["path"])
            elif error is not None and not status:
                await problem_of(error, scope["path"])(scope, receive, watched)
            elif error is not None and not isinstance(error, Stopping):
                logger.error("%s ended early: %s", scope["path"], error, exc_info=error)
        finally:
            IN_PROGRESS.dec()
            route = getattr(scope.get("route"), "path", "other")  # no labels made by strangers
            REQUESTS.labels(route, status or "left").inc()
            REQUEST_SECONDS.labels(route).observe(time.perf_counter() - start)

    async def _outcome(self, scope: Scope, receive: Receive, send: Send) -> Exception | None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:  # the server is stopping and has waited long enough
            return Stopping()
        except Exception as error:
            return error
        return None

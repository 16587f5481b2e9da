"""How many requests each token may send."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from retrieval.web.front.problems import Problem
from retrieval.web.front.security import TOKEN, needs_no_token


class Rate:
    """Refuses requests above so many a minute, counted for each token; as many may come at once.

    What needs no token is not counted. A server without a token counts all requests together.

    Args:
        per_minute: requests.
        clock: monotonic, in seconds.
    """

    def __init__(self, app: ASGIApp, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._most, self._each_s, self._clock = app, per_minute, 60 / per_minute, clock
        # Per token, when its holder has the whole allowance again; there are as many as the server has tokens.
        self._until: defaultdict[int, float] = defaultdict(float)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or needs_no_token(scope["path"]):
            await self._app(scope, receive, send)
            return
        who, now = int(scope.get(TOKEN, 0)), self._clock()
        behind = max(self._until[who], now) - now + self._each_s - self._most * self._each_s
        if behind > 1e-9:
            seconds = math.ceil(behind)
            title = f"more than {self._most:,} requests a minute came with this token"
            problem = Problem(
                429, title, f"try again in {seconds} s", instance=scope["path"], headers={"Retry-After": str(seconds)}
            )
            await problem(scope, receive, send)
            return
        self._until[who] = max(self._until[who], now) + self._each_s
        await self._app(scope, receive, send)

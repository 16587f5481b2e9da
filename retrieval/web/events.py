"""``/events``: whether the gallery has changed, by whomever, as server-sent events.

One task asks the catalog for the name of its present content twice a second, however many clients listen, and not at
all while nobody does. A commit gives the content a new name, whichever process makes it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import StreamingResponse

from retrieval.catalog.reader import CatalogReader
from retrieval.errors import Busy, RetrievalError
from retrieval.web import app_state
from retrieval.web.readers import Readers

router = APIRouter(tags=["events"])

ASKED_EVERY_S = 0.5
HEARTBEAT_S = 15.0
MOST_LISTENERS = 64

_EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "description": "The name of the gallery's content, as in `version`."},
        "event": {"enum": ["gallery"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "`version`: a new name after every change; `change`: the change number of the pictures, "
            "which labels and albums leave as it is.",
        },
    },
}


class GalleryEvents:
    """Tells listeners of each new state of the gallery; all methods belong to the event loop's thread.

    Args:
        readers: of the gallery.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._state: tuple[str, int] | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listeners = 0

    @property
    def listeners(self) -> int:
        """How many clients listen now; at most ``MOST_LISTENERS`` should."""
        return self._listeners

    async def events(self, stopping: asyncio.Event, seen: str = "") -> AsyncIterator[str]:
        """The present state, unless the listener has seen it, and then every new one, until the server stops.

        Args:
            seen: the id of the last event that the listener received.
        """
        self._listeners += 1
        if self._task is None:
            await self._ask()
            self._task = asyncio.create_task(self._watch(), name="photoseek-gallery-events")
        try:
            yield "retry: 2000\n\n"
            while not stopping.is_set():
                changed, state = self._changed, self._state
                if state is not None and state[0] != seen:
                    seen = state[0]
                    data = json.dumps({"version": state[0], "change": state[1]})
                    yield f"id: {seen}\nevent: gallery\ndata: {data}\n\n"
                if not await _any_set(changed, stopping):
                    yield ": still here\n\n"
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._end()

    def close(self) -> None:
        """Stop asking."""
        self._end()

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(ASKED_EVERY_S)
            await self._ask()

    async def _ask(self) -> None:
        with suppress(RetrievalError):  # no gallery yet, one that is being replaced, or too much to do: asked again
            state = await self._readers.run(_state)
            if state != self._state:
                self._state = state
                self._changed.set()
                self._changed = asyncio.Event()


def _state(reader: CatalogReader) -> tuple[str, int]:
    return reader.version(), reader.change()


async def _any_set(*events: asyncio.Event) -> bool:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waiting, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for each in waiting:
            each.cancel()


@router.get(
    "/events",
    summary="Watch the gallery",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `gallery` at the beginning and after every change of pictures, labels "
            "or albums, made here or elsewhere.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
    },
)
async def watch_gallery(
    request: Request, last_event_id: Annotated[str, Header(max_length=100)] = ""
) -> StreamingResponse:
    """Says within a second that something has changed; what it is, the other addresses tell."""
    watching = app_state.gallery_events(request)
    if watching.listeners >= MOST_LISTENERS:
        raise Busy
    events = watching.events(app_state.stopping(request), last_event_id)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})

"""The web application: routes, the checks before them, and objects that live as long as the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI

from retrieval.gallery import Gallery
from retrieval.server.door import SocketDoor
from retrieval.server.engine_thread import EngineThread
from retrieval.web import events, health, page_files
from retrieval.web.duplicates import api as duplicates_api
from retrieval.web.duplicates.job import DuplicatesJob
from retrieval.web.edits import albums_api
from retrieval.web.edits import api as edits_api
from retrieval.web.edits.undo import Undos
from retrieval.web.edits.writing import Writing
from retrieval.web.events import GalleryEvents
from retrieval.web.facets import api as facets_api
from retrieval.web.facets.counting import Facets
from retrieval.web.facets.live_albums import LiveAlbums
from retrieval.web.facets.suggesting import Suggestions
from retrieval.web.front import problems
from retrieval.web.front.compression import Compression
from retrieval.web.front.limits import Limits
from retrieval.web.front.metrics import QueueMeter
from retrieval.web.front.problems import CONTENT, SCHEMA
from retrieval.web.front.rate import Rate
from retrieval.web.front.security import BrowserHeaders, HostCheck, OriginCheck, TokenCheck
from retrieval.web.front.sign_in import cookie_key
from retrieval.web.front.watch import Watch
from retrieval.web.indexing import api as index_api
from retrieval.web.indexing.job import IndexJob
from retrieval.web.people import api as people_api
from retrieval.web.pictures import api as images_api
from retrieval.web.pictures.thumbnails import Thumbnails
from retrieval.web.readers import Readers
from retrieval.web.readiness import Readiness
from retrieval.web.search import api as search_api
from retrieval.web.search.lists import Lists
from retrieval.web.settings import Settings

logger = logging.getLogger("photoseek")

API = "/api/v1"
_TITLE = "photoseek"
_ABOUT = "Search your pictures with words and with pictures. Everything stays on this machine."


def create_app(
    gallery: Gallery, settings: Settings, socket_door: Callable[[EngineThread], SocketDoor] | None = None
) -> FastAPI:
    """The application for one gallery; its parts are made when it starts and closed when it stops.

    Args:
        socket_door: makes the second entry to the same engine, a socket.
    """
    app = FastAPI(
        title=_TITLE,
        description=_ABOUT,
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # FastAPI's documentation pages load scripts from other sites
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.gallery, app.state.settings, app.state.socket_door = gallery, settings, socket_door
    problems.add_handlers(app)
    labels = (people_api, edits_api, albums_api)
    parts = (search_api, images_api, facets_api, *labels, duplicates_api, index_api, events, health)
    for part in parts:
        app.include_router(part.router, prefix=API, responses=problems.RESPONSES)
    app.include_router(health.unversioned, include_in_schema=False)
    files = page_files.page_files()
    pages = page_files.pages(settings.title, read_only=settings.read_only)
    app.include_router(page_files.page_router(files, pages, settings.title), include_in_schema=False)
    app.openapi = documented(app, asks_for_token=settings.token is not None)  # type: ignore[method-assign]
    _guard(app, gallery, settings)
    return app


def _guard(app: FastAPI, gallery: Gallery, settings: Settings) -> None:
    """Add the middlewares; those added later are outside those added earlier."""
    app.add_middleware(Limits, settings=settings)
    if settings.requests_per_minute:
        app.add_middleware(Rate, per_minute=settings.requests_per_minute)
    if settings.token is not None:  # of nothing but empty lines, nobody is let in
        key = cookie_key(gallery.path) if settings.page_key is None else bytes.fromhex(settings.page_key)
        app.add_middleware(TokenCheck, tokens=settings.tokens, key=key, form_wait_s=settings.header_wait_s)
    app.add_middleware(OriginCheck)
    app.add_middleware(HostCheck, host=settings.host, names=settings.allowed_hosts)
    app.add_middleware(Compression)
    app.add_middleware(Watch)
    app.add_middleware(BrowserHeaders)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """As :func:`_running`; what keeps it from starting is left in ``app.state.failure``, for the server to raise."""
    app.state.failure = None
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(_running(app))
        except BaseException as error:
            app.state.failure = error
            raise
        yield


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    gallery, settings, state = app.state.gallery, app.state.settings, app.state
    state.stopping = asyncio.Event()
    state.engine_thread = EngineThread(gallery, settings, QueueMeter())
    state.readers = Readers(gallery, settings)
    state.lists = Lists()
    state.thumbnails = Thumbnails(gallery, settings)
    state.facets, state.live_albums = Facets(), LiveAlbums()
    state.duplicates = DuplicatesJob(gallery)
    state.suggestions = Suggestions(state.facets)
    state.index_job = IndexJob(gallery, settings)
    state.writing, state.undos = Writing(gallery), Undos()
    state.gallery_events = GalleryEvents(state.readers)
    state.readiness = Readiness(gallery)
    door = None
    if state.socket_door is not None:
        door = asyncio.create_task(state.socket_door(state.engine_thread).keep_open())
    try:
        yield
    finally:
        state.stopping.set()
        if door is not None:
            door.cancel()
            with suppress(asyncio.CancelledError):
                await door
        await state.index_job.close()
        state.gallery_events.close()
        state.readiness.close()
        state.duplicates.close()
        state.thumbnails.close()
        await asyncio.gather(
            *(asyncio.to_thread(each.close) for each in (state.engine_thread, state.readers, state.writing))
        )


def documented(app: FastAPI, *, asks_for_token: bool) -> Callable[[], dict[str, Any]]:
    """A replacement for ``app.openapi``: made at the first call, and kept."""
    made = app.openapi
    kept: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not kept:
            kept.update(made())
            parts = kept.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = SCHEMA
            for path in kept["paths"].values():
                for operation in path.values():
                    _complete(operation)
            if asks_for_token:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                kept["security"] = [{"token": []}]
        return kept

    return document


def _complete(operation: dict[str, Any]) -> None:
    """Every error of an operation is a problem, even if its route only describes its meaning."""
    for status, response in operation["responses"].items():
        if status.isdecimal() and int(status) >= 400:
            response.setdefault("content", CONTENT)

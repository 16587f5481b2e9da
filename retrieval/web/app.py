"""The web application: routes, the checks in front of them, and objects that live as long as the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from retrieval.gallery import Gallery
from retrieval.web import health, page_files
from retrieval.web.duplicates import api as duplicates_api
from retrieval.web.duplicates.job import Duplicates
from retrieval.web.facets import api as facets_api
from retrieval.web.facets.counting import Facets
from retrieval.web.front import problems
from retrieval.web.front.document import documented
from retrieval.web.front.headers import BrowserHeaders
from retrieval.web.front.limits import Limits
from retrieval.web.front.security import HostCheck, OriginCheck, TokenCheck
from retrieval.web.front.watch import Watch
from retrieval.web.indexing import api as index_api
from retrieval.web.indexing.job import IndexJob
from retrieval.web.pictures import api as images_api
from retrieval.web.pictures.thumbnails import Thumbnails
from retrieval.web.search import api as search_api
from retrieval.web.search.lists import Lists
from retrieval.web.settings import Settings
from retrieval.web.work.engine_thread import EngineThread
from retrieval.web.work.readers import Readers

logger = logging.getLogger("photoseek")

API = "/api/v1"
_TITLE = "photoseek"
_ABOUT = "Search your pictures with words and with pictures. Everything stays on this machine."


def create_app(gallery: Gallery, settings: Settings) -> FastAPI:
    """The application for one gallery; its parts are made when it starts and closed when it stops."""
    app = FastAPI(
        title=_TITLE,
        description=_ABOUT,
        version="1",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # the pages that FastAPI offers load their scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.gallery, app.state.settings = gallery, settings
    problems.add_handlers(app)
    for part in (search_api, images_api, facets_api, duplicates_api, index_api, health):
        app.include_router(part.router, prefix=API, responses=problems.RESPONSES)
    app.include_router(health.unversioned, include_in_schema=False)
    app.include_router(page_files.router, include_in_schema=False)
    app.openapi = documented(app, asks_for_token=settings.token is not None)  # type: ignore[method-assign]
    _guard(app, settings)
    return app


def _guard(app: FastAPI, settings: Settings) -> None:
    """Put the middlewares in front; what is added later stands further outside."""
    app.add_middleware(Limits, settings=settings)
    if settings.token is not None:
        app.add_middleware(TokenCheck, token=settings.token)
    app.add_middleware(OriginCheck)
    app.add_middleware(HostCheck, host=settings.host, names=settings.allowed_hosts)
    app.add_middleware(Watch)
    app.add_middleware(BrowserHeaders)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    gallery, settings, state = app.state.gallery, app.state.settings, app.state
    state.stopping = asyncio.Event()
    state.engine_thread, state.readers = EngineThread(gallery, settings), Readers(gallery, settings)
    state.lists = Lists()
    state.thumbnails = Thumbnails(gallery, settings)
    state.facets, state.duplicates = Facets(), Duplicates(gallery)
    state.index_job = IndexJob(gallery, settings)
    try:
        yield
    finally:
        state.stopping.set()
        await state.index_job.close()
        state.duplicates.close()
        state.thumbnails.close()
        await asyncio.gather(asyncio.to_thread(state.engine_thread.close), asyncio.to_thread(state.readers.close))

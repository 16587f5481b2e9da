"""Objects that request handlers use: the parts of one running server, with their types.

``app.py`` makes them when the server starts and closes them when it stops::

    state.gallery        Gallery
    state.settings       Settings
    state.engine_thread  EngineThread(gallery, settings)  await engine_thread.run(lambda engine: ..., texts=[...])
    state.readers        Readers(gallery, settings)       await readers.run(lambda reader: ...)
    state.lists          Lists()                          retrieval/web/search/lists.py
    state.thumbnails     Thumbnails(gallery, settings)    retrieval/web/pictures/thumbnails.py; close()
    state.facets         Facets()                         retrieval/web/facets/counting.py
    state.duplicates     Duplicates(gallery)              retrieval/web/duplicates/job.py; close()
    state.index_job      IndexJob(gallery, settings)      retrieval/web/indexing/job.py; await close()
    state.stopping       asyncio.Event: set as soon as the server is told to stop; a stream ends then
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from fastapi import Request

if TYPE_CHECKING:
    from retrieval.gallery import Gallery
    from retrieval.web.duplicates.job import Duplicates
    from retrieval.web.facets.counting import Facets
    from retrieval.web.indexing.job import IndexJob
    from retrieval.web.pictures.thumbnails import Thumbnails
    from retrieval.web.search.lists import Lists
    from retrieval.web.settings import Settings
    from retrieval.web.work.engine_thread import EngineThread
    from retrieval.web.work.readers import Readers


def gallery(request: Request) -> Gallery:
    """The gallery that is served; its catalog may not exist yet."""
    return cast("Gallery", request.app.state.gallery)


def settings(request: Request) -> Settings:
    """What the server was told."""
    return cast("Settings", request.app.state.settings)


def engine_thread(request: Request) -> EngineThread:
    """The thread that owns the query engine."""
    return cast("EngineThread", request.app.state.engine_thread)


def readers(request: Request) -> Readers:
    """The threads that read the catalog."""
    return cast("Readers", request.app.state.readers)


def lists(request: Request) -> Lists:
    """Whole ranked lists, remembered."""
    return cast("Lists", request.app.state.lists)


def thumbnails(request: Request) -> Thumbnails:
    """Small pictures."""
    return cast("Thumbnails", request.app.state.thumbnails)


def facets(request: Request) -> Facets:
    """Counts of what the gallery's pictures are like."""
    return cast("Facets", request.app.state.facets)


def duplicates(request: Request) -> Duplicates:
    """What is there twice, found in the background and remembered."""
    return cast("Duplicates", request.app.state.duplicates)


def index_job(request: Request) -> IndexJob:
    """The indexing run that this server started, if any."""
    return cast("IndexJob", request.app.state.index_job)


def stopping(request: Request) -> asyncio.Event:
    """Set as soon as the server is told to stop; whatever streams without an end has to end then."""
    return cast("asyncio.Event", request.app.state.stopping)

"""Objects that request handlers use: the parts of one running server, with their types.

``app.py`` makes them when the server starts and closes them when it stops::

    state.gallery        Gallery
    state.settings       Settings
    state.engine_thread  EngineThread(gallery, settings)  await engine_thread.run(lambda engine: ..., texts=[...])
    state.readers        Readers(gallery, settings)       await readers.run(lambda reader: ...)
    state.lists          Lists()                          retrieval/web/search/lists.py
    state.thumbnails     Thumbnails(gallery, settings)    retrieval/web/pictures/thumbnails.py; close()
    state.facets         Facets()                         retrieval/web/facets/counting.py
    state.suggestions    Suggestions(facets)              retrieval/web/facets/suggesting.py
    state.live_albums    LiveAlbums()                     retrieval/web/facets/live_albums.py
    state.duplicates     Duplicates(gallery)              retrieval/web/duplicates/job.py; close()
    state.index_job      IndexJob(gallery, settings)      retrieval/web/indexing/job.py; await close()
    state.writing        Writing(gallery)                 retrieval/web/edits/writing.py; close()
    state.undos          Undos()                          retrieval/web/edits/undo.py
    state.gallery_events GalleryEvents(readers)           retrieval/web/events.py; close()
    state.readiness      Readiness(gallery)               retrieval/web/readiness.py; close()
    state.stopping       asyncio.Event: set as soon as the server is told to stop; a stream ends then
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from fastapi import Request

if TYPE_CHECKING:
    from retrieval.gallery import Gallery
    from retrieval.server.engine_thread import EngineThread
    from retrieval.web.duplicates.job import DuplicatesJob
    from retrieval.web.edits.undo import Undos
    from retrieval.web.edits.writing import Writing
    from retrieval.web.events import GalleryEvents
    from retrieval.web.facets.counting import Facets
    from retrieval.web.facets.live_albums import LiveAlbums
    from retrieval.web.facets.suggesting import Suggestions
    from retrieval.web.indexing.job import IndexJob
    from retrieval.web.pictures.thumbnails import Thumbnails
    from retrieval.web.readers import Readers
    from retrieval.web.readiness import Readiness
    from retrieval.web.search.lists import Lists
    from retrieval.web.settings import Settings


def gallery(request: Request) -> Gallery:
    """The gallery that is served; its catalog may not exist yet."""
    return cast("Gallery", request.app.state.gallery)


def settings(request: Request) -> Settings:
    """The settings of the server."""
    return cast("Settings", request.app.state.settings)


def engine_thread(request: Request) -> EngineThread:
    """The thread that owns the query engine."""
    return cast("EngineThread", request.app.state.engine_thread)


def readers(request: Request) -> Readers:
    """The threads that read the catalog."""
    return cast("Readers", request.app.state.readers)


def lists(request: Request) -> Lists:
    """The cache of whole ranked lists."""
    return cast("Lists", request.app.state.lists)


def thumbnails(request: Request) -> Thumbnails:
    """Small pictures."""
    return cast("Thumbnails", request.app.state.thumbnails)


def facets(request: Request) -> Facets:
    """Counts of the properties of the gallery's pictures."""
    return cast("Facets", request.app.state.facets)


def suggestions(request: Request) -> Suggestions:
    """What questions may go on with."""
    return cast("Suggestions", request.app.state.suggestions)


def live_albums(request: Request) -> LiveAlbums:
    """The pictures of albums that are saved searches."""
    return cast("LiveAlbums", request.app.state.live_albums)


def duplicates(request: Request) -> DuplicatesJob:
    """Duplicates, found in the background and remembered."""
    return cast("DuplicatesJob", request.app.state.duplicates)


def index_job(request: Request) -> IndexJob:
    """The indexing run that this server started, if any."""
    return cast("IndexJob", request.app.state.index_job)


def writing(request: Request) -> Writing:
    """The thread that changes labels, albums and duplicates."""
    return cast("Writing", request.app.state.writing)


def undos(request: Request) -> Undos:
    """The changes that can be taken back."""
    return cast("Undos", request.app.state.undos)


def gallery_events(request: Request) -> GalleryEvents:
    """Whether the gallery has changed, for those who listen."""
    return cast("GalleryEvents", request.app.state.gallery_events)


def readiness(request: Request) -> Readiness:
    """Whether questions can be answered now."""
    return cast("Readiness", request.app.state.readiness)


def stopping(request: Request) -> asyncio.Event:
    """Set as soon as the server is told to stop; endless streams have to end then."""
    return cast("asyncio.Event", request.app.state.stopping)

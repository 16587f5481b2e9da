"""``/index``: start a run, stop it, and watch it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from retrieval.catalog.reader import CatalogReader
from retrieval.errors import Busy, GalleryNotFound
from retrieval.paths import as_text
from retrieval.web.app_state import index_job, readers, settings, stopping
from retrieval.web.edits.writing import REFUSED, may_write
from retrieval.web.indexing.browsing import browsable, is_allowed, listing
from retrieval.web.indexing.folders import allowed_folders
from retrieval.web.indexing.job import MOST_LISTENERS
from retrieval.web.indexing.models import Failing, FolderListing, IndexAnswer, IndexRequest, IndexState

router = APIRouter(tags=["index"])

_SHOWN_FAILURES = 100

_EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["state", "progress", "report"]},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "An IndexState."},
    },
}


@router.get("/index", summary="How the last indexing run stands")
async def get_index(request: Request) -> IndexAnswer:
    """The run that this server started last, and the files that cannot be used."""
    try:
        failures = await readers(request).run(_failures)
    except GalleryNotFound:
        failures = []
    state = index_job(request).state
    may_browse = not settings(request).read_only and bool(await asyncio.to_thread(browsable, settings(request)))
    may_add = settings(request).allow_new_folders
    return IndexAnswer(**dict(state), may_add=may_add, may_browse=may_browse, failures=failures)


@router.get(
    "/index/folders",
    dependencies=[Depends(may_write)],
    summary="Folders of this machine that may be indexed",
    responses=REFUSED | {400: {"description": "No folder, one that cannot be looked into, or may not be chosen."}},
)
async def browse_folders(
    request: Request,
    path: Annotated[str | None, Query(max_length=4096, description="A whole path. Omitted: where to begin.")] = None,
) -> FolderListing:
    """The folders in one of the home folder, of mounted drives, or of ``photoseek serve --allow-folder``.

    Nothing outside is told, whatever links lead there. On a server that others can reach, only the last kind counts.
    Needs the header of requests that write: it is the first step of one.
    """
    roots = await asyncio.to_thread(browsable, settings(request))
    return await asyncio.to_thread(listing, path, roots)


@router.post(
    "/index",
    dependencies=[Depends(may_write)],
    status_code=202,
    summary="Start an indexing run",
    responses=REFUSED
    | {
        400: {"description": "A folder that the gallery does not know, or that is none."},
        409: {"description": "This server or another process is writing to the gallery."},
    },
)
async def start_index(request: Request, asked: IndexRequest) -> IndexState:
    """Look through folders for what is new, changed or gone, in a process of its own; only one at a time.

    Folders have to lie in those that the gallery knows or that ``GET /index/folders`` offers, unless the server was
    started with ``--allow-new-folders``: whoever reaches this address should not get any folder of this machine read.
    """
    try:
        roots = await readers(request).run(CatalogReader.roots)
    except GalleryNotFound:
        roots = []
    may_add = settings(request).allow_new_folders
    offered = await asyncio.to_thread(browsable, settings(request))
    folders = await asyncio.to_thread(
        allowed_folders, asked.folders, roots, may_add=may_add, is_offered=lambda path: is_allowed(path, offered)
    )
    return await index_job(request).start(folders)


@router.delete(
    "/index",
    dependencies=[Depends(may_write)],
    summary="Stop the indexing run",
    responses=REFUSED | {202: {"description": "It was asked to stop.", "model": IndexState}},
)
async def stop_index(request: Request, response: Response) -> IndexState:
    """Nothing is lost: what was read is kept, and the next run continues from there. Without a run nothing happens."""
    state = index_job(request).stop()
    response.status_code = 202 if state.running else 200
    return state


@router.get(
    "/index/events",
    summary="Watch the indexing run",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: state, progress (up to four a second), report at the end. The data of "
            "each is a whole IndexState in JSON.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        204: {"description": "Nothing runs, and the last event that the listener knows is the last one there is."},
    },
)
async def watch_index(request: Request, last_event_id: Annotated[str, Header(max_length=100)] = "") -> Response:
    """The present state first, then every change, until the run ends; a browser that comes back is told to stay away
    (204) once there is nothing more to tell."""
    job = index_job(request)
    if job.knows(last_event_id):
        return Response(status_code=204)
    if job.listeners >= MOST_LISTENERS:
        raise Busy
    events = job.events(stopping(request), last_event_id)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _failures(reader: CatalogReader) -> list[Failing]:
    return [
        Failing(path=as_text(failure.path), reason=failure.reason) for failure in reader.failures()[:_SHOWN_FAILURES]
    ]

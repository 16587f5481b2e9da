"""Pictures by id: details, thumbnail, file. Requests never contain a path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from enum import IntEnum
from pathlib import Path as FilePath
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response

from retrieval.catalog.faces import Box
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import FileChanged, ImageRecord
from retrieval.catalog.texts import texts_of
from retrieval.errors import RetrievalError, UnknownImage
from retrieval.labels.reading import labels_of
from retrieval.pictures.formats import DRAWN_BY_BROWSERS, MEDIA_TYPES, PLAYED_BY_BROWSERS, is_still, media_type
from retrieval.pictures.motion import MOTION_TYPES, media_type_of_motion
from retrieval.regular_files import is_short
from retrieval.rendering.thumbnail_store import FORM
from retrieval.search.shots import mates
from retrieval.sources.reading import source_of
from retrieval.system_errors import of_os
from retrieval.web import app_state
from retrieval.web.edits.writing import may_write
from retrieval.web.front.problems import CONTENT
from retrieval.web.pictures import showing
from retrieval.web.pictures.file_response import PICTURE_HEADERS, OpenFileResponse, disposition, is_known
from retrieval.web.pictures.models import ImageDetails, Showable, details, text_out
from retrieval.web.pictures.thumbnails import VIEW, Thumbnails, small_key

router = APIRouter(tags=["images"])

_Handler = TypeVar("_Handler", bound=Callable[..., Awaitable[Response]])

_IMMUTABLE = "private, max-age=31536000, immutable"
_ASK_AGAIN = "private, no-cache"
_SHOWN_BY_BROWSERS = DRAWN_BY_BROWSERS | PLAYED_BY_BROWSERS
_HEAD_BYTES = 512  # of a file, which identify its type

ImageId = Annotated[int, Path(ge=1, le=2**63 - 1, description="From a hit; it stays when a file is renamed or moved.")]
Version = Annotated[
    str | None,
    Query(max_length=64, description="The picture's `hash`. If it is right, the answer may be kept forever."),
]

Words = Annotated[
    Sequence[Annotated[str, StringConstraints(max_length=1000)]],
    Query(max_length=50, description="What the places of are marked in its text: words, phrases in quotes."),
]


Time = Annotated[
    float | None,
    Query(ge=0, le=1e7, allow_inf_nan=False, description="Of a video: seconds from its beginning. Ignored otherwise."),
]


class Size(IntEnum):
    """Pixels of the longer side: for a grid, for one on a screen with two pixels a point, for a phone's viewer."""

    SMALL = 240
    MEDIUM = 480
    LARGE = 1024


def _binary(description: str, *types: str) -> dict[str, Any]:
    content = {name: {"schema": {"type": "string", "format": "binary"}} for name in types}
    return {"description": description, "content": content}


_NOT_MODIFIED = {"description": "Not changed since the version that `If-None-Match` names."}
SMALL: dict[int | str, dict[str, Any]] = {200: _binary("A WebP picture.", "image/webp"), 304: _NOT_MODIFIED}
_FILE: dict[int | str, dict[str, Any]] = {
    200: _binary("The file.", *MEDIA_TYPES),
    206: _binary("The part of it that `Range` asks for.", *MEDIA_TYPES),
    304: _NOT_MODIFIED,
}
_MOTION: dict[int | str, dict[str, Any]] = {
    200: _binary("The video.", *MOTION_TYPES),
    206: _binary("The part of it that `Range` asks for.", *MOTION_TYPES),
    304: _NOT_MODIFIED,
}


def get_and_head(
    path: str, summary: str, responses: dict[int | str, dict[str, Any]], to: APIRouter = router
) -> Callable[[_Handler], _Handler]:
    """Answer both methods with one route, so that ``Allow`` names both; two more routes document them."""

    def added(handler: _Handler) -> _Handler:
        to.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(handler)
        to.get(path, summary=summary, response_class=Response, responses=responses)(handler)
        to.head(path, summary=f"{summary}: headers only", response_class=Response, responses=responses)(handler)
        return handler

    return added


@router.get("/images/{id}", summary="What is known of a picture")
async def image(request: Request, id: ImageId, words: Words = ()) -> ImageDetails:
    """Its metadata, the tags and captions that people gave it, the tags that the model predicts, the words in it."""
    at = f"{request.url.path.rpartition('/')[0]}/{id}"

    def read(reader: CatalogReader) -> ImageDetails:
        record_of(reader, id)
        text = text_out(texts_of(reader, [id]).get(id), words)
        return details(labels_of(reader, [id])[0], at, mates(reader, [id]).get(id, ()), text)

    return await app_state.readers(request).run(read)


@router.get("/images/{id}/shown", summary="Whether its file can be shown in the file manager")
async def can_be_shown(request: Request, id: ImageId) -> Showable:
    """True for a client on the server's machine, if that has a screen and a file manager."""
    image = await app_state.readers(request).run(lambda reader: record_of(reader, id))
    is_file = source_of(image.path) is None
    return Showable(showable=is_file and showing.is_local(request) and bool(showing.commands(FilePath(image.path))))


@router.post(
    "/images/{id}/shown",
    status_code=204,
    summary="Show its file in the file manager",
    dependencies=[Depends(may_write)],
    responses={
        403: {"description": "The client is not on the server's machine, or as for what writes.", "content": CONTENT},
        404: {"description": "No such picture, or its file is not there.", "content": CONTENT},
        409: {"description": "This machine has no screen or no file manager.", "content": CONTENT},
    },
)
async def show(request: Request, id: ImageId) -> None:
    """Opens a window on the machine of the server, for a client there."""
    if not showing.is_local(request):
        raise HTTPException(403, "a file can only be shown on the machine of the server\ncopy its path instead")
    image = await app_state.readers(request).run(lambda reader: record_of(reader, id))
    if source_of(image.path) is not None:
        raise HTTPException(
            409, "the picture is inside an archive, which a file manager cannot show\ncopy its path instead"
        )
    if image.on_disk() == "missing":
        raise HTTPException(404, "the file is not there\nmount its drive, or run: photoseek index")
    if not await asyncio.to_thread(showing.show, showing.commands(FilePath(image.path))):
        raise HTTPException(409, "this machine has no file manager that can be opened\ncopy the path instead")


@get_and_head("/images/{id}/thumbnail", "A small picture", SMALL)
async def thumbnail(
    request: Request, id: ImageId, size: Size = Size.SMALL, v: Version = None, t: Time = None
) -> Response:
    """The picture upright, in sRGB and without metadata, as WebP of at most so many pixels a side, never enlarged.

    Of a video one of its frames.
    """
    return await _small(request, id, int(size), v, t)


@get_and_head("/images/{id}/view", "A picture that any browser draws", SMALL)
async def view(request: Request, id: ImageId, v: Version = None, t: Time = None) -> Response:
    """As a thumbnail of at most 2048 pixels a side: stands in for originals that browsers do not draw."""
    return await _small(request, id, VIEW, v, t)


@get_and_head("/images/{id}/file", "The original file", _FILE)
async def file(request: Request, id: ImageId) -> Response:
    """The file byte for byte, or a part of it, if it still is the one that was indexed.

    404: it is gone. 410: it has changed since. What browsers do not draw comes as a download.
    """
    condition = request.headers.get("if-none-match")

    def opened(reader: CatalogReader) -> Response:
        try:
            return _file(record_of(reader, id), condition)
        except OSError as error:
            raise _gone(error) from error

    return await app_state.readers(request).run(opened)


def _file(image: ImageRecord, condition: str | None) -> Response:
    tag = f'"{image.content_hash.hex()}"'
    opened = image.open()
    try:
        head = opened.read(_HEAD_BYTES)
        if not is_still(head, image.format):
            raise FileChanged(f"{image.path} was a {image.format}")
        headers = {
            "Cache-Control": _ASK_AGAIN,
            "Content-Disposition": disposition(
                "inline" if image.format in _SHOWN_BY_BROWSERS else "attachment", os.path.basename(image.path)
            ),
        }
        if is_known(condition, tag):
            opened.close()
            return Response(status_code=304, headers={"ETag": tag, **headers})
        kind = media_type(head, image.format)
        return OpenFileResponse(opened, image.size, image.mtime_ns, tag=tag, media_type=kind, headers=headers)
    except BaseException:
        opened.close()
        raise


@get_and_head("/images/{id}/motion", "The short video of a picture", _MOTION)
async def motion(request: Request, id: ImageId) -> Response:
    """The video of a motion photo, which is inside its file, or of a live photo, which is a file beside it.

    404: the picture has none. 410: the file has changed since it was indexed.
    """
    condition = request.headers.get("if-none-match")

    def opened(reader: CatalogReader) -> Response:
        image = record_of(reader, id)
        try:
            if image.motion == "beside" and image.clip is not None:
                return _file(record_of(reader, image.clip), condition)
            return _inside(image, condition)
        except OSError as error:
            raise _gone(error) from error

    return await app_state.readers(request).run(opened)


def _inside(image: ImageRecord, condition: str | None) -> Response:
    """The video of a motion photo."""
    if image.motion_offset is None or image.motion_bytes is None:
        raise HTTPException(404, "this picture has no short video\nuse a picture with `motion`")
    tag = f'"{image.content_hash.hex()}-motion"'
    headers = {"Cache-Control": _ASK_AGAIN}
    opened = image.open()
    try:
        opened.seek(image.motion_offset)
        kind = media_type_of_motion(opened.read(_HEAD_BYTES))
        if is_known(condition, tag):
            opened.close()
            return Response(status_code=304, headers={"ETag": tag, **headers})
        return OpenFileResponse(
            opened,
            image.motion_bytes,
            image.mtime_ns,
            tag=tag,
            media_type=kind,
            headers=headers,
            offset=image.motion_offset,
        )
    except BaseException:
        opened.close()
        raise


async def _small(request: Request, id_: int, side: int, version: str | None, time: float | None) -> Response:
    def found(reader: CatalogReader) -> tuple[ImageRecord, None]:
        image = record_of(reader, id_)
        if time is not None and image.duration_s is not None:
            image = replace(image, time_s=round(min(time, image.duration_s), 3))
        return image, None

    return await small_picture(request, found, side, version)


async def small_picture(
    request: Request,
    find: Callable[[CatalogReader], tuple[ImageRecord, Box | None]],
    side: int,
    version: str | None,
) -> Response:
    """A small picture, made if it is not stored, or 304.

    Args:
        find: the picture; with the place of a face in it, a portrait of that.
        side: at most so many pixels.
        version: that of the request: the picture's or the portrait's; if it is right, the answer may be kept forever.
    """
    thumbnails = app_state.thumbnails(request)
    condition = request.headers.get("if-none-match")

    def looked_up(reader: CatalogReader) -> tuple[ImageRecord, Box | None, str, bytes | None]:
        image, box = find(reader)
        tag = f'W/"{small_key(image, box).hex()[:32]}-{side}-{FORM}"'
        known = is_known(condition, tag)
        return image, box, tag, b"" if known else thumbnails.find(image, side, box)

    image, box, tag, data = await app_state.readers(request).run(looked_up)
    is_right = version == (image.content_hash if box is None else small_key(image, box)).hex()[:16]
    headers = {"ETag": tag, "Cache-Control": _IMMUTABLE if is_right else _ASK_AGAIN, **PICTURE_HEADERS}
    if data == b"":
        return Response(status_code=304, headers=headers)
    if data is None:
        try:
            data = await thumbnails.make(image, side, box)
        except OSError as error:
            # Of a file that is gone, any size that was made while it was there says more than none.
            if box is None:
                data = await app_state.readers(request).run(lambda _: _any_size(thumbnails, image))
            if data is None:
                raise _gone(error) from error
            headers = {"Cache-Control": "no-store", **PICTURE_HEADERS}
    headers["Content-Length"] = str(len(data))
    return Response(b"" if request.method == "HEAD" else data, media_type="image/webp", headers=headers)


def _any_size(thumbnails: Thumbnails, image: ImageRecord) -> bytes | None:
    """The largest small picture that is stored."""
    return next((data for size in sorted(Size, reverse=True) if (data := thumbnails.find(image, int(size)))), None)


def _gone(error: OSError) -> HTTPException | RetrievalError:
    if is_short(error):  # the server has run out of descriptors or memory: 503
        return of_os(OSError(error.errno, error.strerror))
    if isinstance(error, FileChanged):
        return HTTPException(410, "the file has changed since it was indexed\nrun: photoseek index")
    return HTTPException(404, "the file is not there, or cannot be read\nmount its drive, or run: photoseek index")


def record_of(reader: CatalogReader, id_: int) -> ImageRecord:
    """The record of a picture.

    Raises:
        UnknownImage: there is none with this id.
    """
    found = reader.records([id_])
    if not found:
        raise UnknownImage(f"there is no image {id_} in this gallery", "use an id from a search")
    return found[0]

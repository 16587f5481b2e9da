"""Pictures by id: details, thumbnail, file. Requests never contain a path."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.responses import Response

from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import FileChanged, ImageRecord
from retrieval.errors import UnknownImage
from retrieval.labels.reading import labels_of
from retrieval.pictures.formats import DRAWN_BY_BROWSERS, MEDIA_TYPES, media_type, sniff
from retrieval.rendering.thumbnail_store import FORM
from retrieval.web import app_state
from retrieval.web.pictures.file_response import PICTURE_HEADERS, OpenFileResponse, disposition, is_known
from retrieval.web.pictures.models import ImageDetails, details
from retrieval.web.pictures.thumbnails import VIEW

router = APIRouter(tags=["images"])

_Handler = TypeVar("_Handler", bound=Callable[..., Awaitable[Response]])

_IMMUTABLE = "private, max-age=31536000, immutable"
_ASK_AGAIN = "private, no-cache"
_HEAD_BYTES = 512  # of a file, which say what it is

ImageId = Annotated[int, Path(ge=1, le=2**63 - 1, description="From a hit; it stays when a file is renamed or moved.")]
Version = Annotated[
    str | None,
    Query(max_length=64, description="The picture's `hash`. If it is right, the answer may be kept forever."),
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
_SMALL: dict[int | str, dict[str, Any]] = {200: _binary("A WebP picture.", "image/webp"), 304: _NOT_MODIFIED}
_FILE: dict[int | str, dict[str, Any]] = {
    200: _binary("The file.", *MEDIA_TYPES),
    206: _binary("The part of it that `Range` asks for.", *MEDIA_TYPES),
    304: _NOT_MODIFIED,
}


def _get_and_head(
    path: str, summary: str, responses: dict[int | str, dict[str, Any]]
) -> Callable[[_Handler], _Handler]:
    """Answer both methods: by one route, so that ``Allow`` names both; two more say so in the documentation."""

    def added(handler: _Handler) -> _Handler:
        router.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(handler)
        router.get(path, summary=summary, response_class=Response, responses=responses)(handler)
        router.head(path, summary=f"{summary}: headers only", response_class=Response, responses=responses)(handler)
        return handler

    return added


@router.get("/images/{id}", summary="What is known of a picture")
async def image(request: Request, id: ImageId) -> ImageDetails:
    """Its metadata, the tags and captions that people gave it, and the tags that the model predicts."""
    at = f"{request.url.path.rpartition('/')[0]}/{id}"

    def read(reader: CatalogReader) -> ImageDetails:
        _record(reader, id)
        return details(labels_of(reader, [id])[0], at)

    return await app_state.readers(request).run(read)


@_get_and_head("/images/{id}/thumbnail", "A small picture", _SMALL)
async def thumbnail(request: Request, id: ImageId, size: Size = Size.SMALL, v: Version = None) -> Response:
    """The picture upright, in sRGB and without metadata, as WebP of at most so many pixels a side, never enlarged."""
    return await _small(request, id, int(size), v)


@_get_and_head("/images/{id}/view", "A picture that any browser draws", _SMALL)
async def view(request: Request, id: ImageId, v: Version = None) -> Response:
    """As a thumbnail of at most 2048 pixels a side: stands in for originals that browsers do not draw."""
    return await _small(request, id, VIEW, v)


@_get_and_head("/images/{id}/file", "The original file", _FILE)
async def file(request: Request, id: ImageId) -> Response:
    """The file byte for byte, or a part of it, if it still is the one that was indexed.

    404: it is gone. 410: it has changed since. What browsers do not draw comes as a download.
    """
    condition = request.headers.get("if-none-match")

    def opened(reader: CatalogReader) -> Response:
        try:
            return _file(_record(reader, id), condition)
        except OSError as error:
            raise _gone(error) from error

    return await app_state.readers(request).run(opened)


def _file(image: ImageRecord, condition: str | None) -> Response:
    tag = f'"{image.content_hash.hex()}"'
    opened = image.open()
    try:
        head = opened.read(_HEAD_BYTES)
        if sniff(head) != image.format:
            raise FileChanged(f"{image.path} was a {image.format}")
        headers = {
            "Cache-Control": _ASK_AGAIN,
            "Content-Disposition": disposition(
                "inline" if image.format in DRAWN_BY_BROWSERS else "attachment", os.path.basename(image.path)
            ),
        }
        if is_known(condition, tag):
            opened.close()
            return Response(status_code=304, headers={"ETag": tag, **headers})
        kind = media_type(head)
        return OpenFileResponse(opened, image.size, image.mtime_ns, tag=tag, media_type=kind, headers=headers)
    except BaseException:
        opened.close()
        raise


async def _small(request: Request, id_: int, side: int, version: str | None) -> Response:
    thumbnails = app_state.thumbnails(request)
    condition = request.headers.get("if-none-match")

    def looked_up(reader: CatalogReader) -> tuple[ImageRecord, str, bytes | None]:
        image = _record(reader, id_)
        tag = f'W/"{image.content_hash.hex()[:32]}-{side}-{FORM}"'
        known = is_known(condition, tag)
        return image, tag, b"" if known else thumbnails.find(image, side)

    image, tag, data = await app_state.readers(request).run(looked_up)
    is_right = version == image.content_hash.hex()[:16]
    headers = {"ETag": tag, "Cache-Control": _IMMUTABLE if is_right else _ASK_AGAIN, **PICTURE_HEADERS}
    if data == b"":
        return Response(status_code=304, headers=headers)
    if data is None:
        try:
            data = await thumbnails.make(image, side)
        except OSError as error:
            raise _gone(error) from error
    headers["Content-Length"] = str(len(data))
    return Response(b"" if request.method == "HEAD" else data, media_type="image/webp", headers=headers)


def _gone(error: OSError) -> HTTPException:
    if isinstance(error, FileChanged):
        return HTTPException(410, "the file has changed since it was indexed\nrun: photoseek index")
    return HTTPException(404, "the file is not there, or cannot be read\nmount its drive, or run: photoseek index")


def _record(reader: CatalogReader, id_: int) -> ImageRecord:
    found = reader.records([id_])
    if not found:
        raise UnknownImage(f"there is no image {id_} in this gallery", "use an id from a search")
    return found[0]

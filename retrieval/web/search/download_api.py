"""Routes for many pictures at once: a list as CSV, originals as a ZIP."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from retrieval.errors import Busy, UnknownImage
from retrieval.output import cell
from retrieval.search.ranking import MOST_LISTED
from retrieval.server.job_queue import Stopping
from retrieval.web import app_state
from retrieval.web.front.problems import RESPONSES
from retrieval.web.search.archive import packed
from retrieval.web.search.hits import hit_of, hits_of
from retrieval.web.search.models import DownloadBody, ExportBody, HitOut, ListFields, ListParams
from retrieval.web.search.question import question_of

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.ranked import Content
    from retrieval.web.readers import Readers
    from retrieval.web.search.kept_list import KeptList

T = TypeVar("T")

router = APIRouter(tags=["download"])

LEFT_OUT = "Photoseek-Left-Out"
"""The header with the number of pictures that are not in an archive, as far as can be told before it is packed."""

MOST_BYTES = 8 << 30
"""Of the originals in one archive."""

_ROWS = 1000
_TRIES, _TRY_AGAIN_S = 20, 0.5
_COLUMNS = (
    "rank", "id", "path", "name", "score", "relevance", "burst", "taken_at", "camera", "latitude", "longitude",
    "width", "height", "format", "bytes", "on_disk",
)  # fmt: skip
_PROBLEM = RESPONSES["default"]["content"]


def _said(media_type: str, description: str, **more: str) -> dict[int | str, dict[str, Any]]:
    body = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    said: dict[int | str, dict[str, Any]] = {200: {"description": description, "content": body}}
    return said | {int(status[1:]): {"description": text, "content": _PROBLEM} for status, text in more.items()}


_EXPORTED = _said(
    "text/csv", "A row for each picture, UTF-8, with a head.",
    _400="The query or the filter cannot be answered.", _404="A picture of the query that the gallery does not hold.",
    _410="An uploaded picture was forgotten.", _422="Not what is accepted here; or words for a model without words.",
    _503="Nothing is indexed yet, or the server has too much to do.",
)  # fmt: skip
_PACKED = _said(
    "application/zip", "The originals, and left-out.txt if some are not in it.",
    _404="None of these pictures is in the gallery.", _413="Too much for one archive.",
    _422="Not what is accepted here.", _503="Nothing is indexed yet, or the server has too much to do.",
)  # fmt: skip


class _Attachment(StreamingResponse):
    """A file that is created while it is sent. If the client disconnects, the generator is closed at once: left to the
    garbage collector, an archive would be closed before its open entry, and that would be reported as an error.
    """

    def __init__(
        self, content: Generator[bytes, None, None] | AsyncGenerator[bytes, None], media_type: str, name: str
    ) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(content, media_type=media_type, headers=disposition)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if isinstance(self._content, Generator):
                self._content.close()
            else:
                await self._content.aclose()


@router.get("/export", response_class=StreamingResponse, responses=_EXPORTED)
async def export(request: Request, asked: Annotated[ListParams, Query()]) -> StreamingResponse:
    """A whole list as CSV, without what changed on disk since it was indexed."""
    given = asked.model_dump(by_alias=True) | {"ids": asked.ids or None}
    return await _exported(request, ExportBody.model_validate(given))


@router.post("/export", response_class=StreamingResponse, responses=_EXPORTED)
async def export_these(request: Request, asked: ExportBody) -> StreamingResponse:
    """The same for a query with weights, or for pictures by their ids."""
    return await _exported(request, asked)


@router.post("/download", response_class=StreamingResponse, responses=_PACKED)
async def download(request: Request, asked: DownloadBody) -> StreamingResponse:
    """Originals in one ZIP, as they are on disk."""
    ids = list(dict.fromkeys(asked.ids))
    records = await app_state.readers(request).run(lambda reader: reader.records(ids))
    if not records:
        raise UnknownImage(f"there is no image {ids[0]} in this gallery", "use the ids of hits")
    if (size := sum(record.size for record in records)) > MOST_BYTES:
        raise HTTPException(413, f"{size / 1e9:.1f} GB are too large for one archive\nchoose fewer pictures")
    known = {record.id for record in records}
    unknown = [image_id for image_id in ids if image_id not in known]
    absent = await app_state.readers(request).run(lambda _: sum(record.on_disk() != "same" for record in records))
    attachment = _Attachment(packed(records, unknown), "application/zip", "photoseek.zip")
    attachment.headers[LEFT_OUT] = str(absent + len(unknown))
    return attachment


async def _exported(request: Request, asked: ExportBody) -> StreamingResponse:
    readers = app_state.readers(request)
    if asked.ids is not None:
        ids = list(dict.fromkeys(asked.ids))
        blocks = [partial(_given, ids, start) for start in range(0, len(ids), _ROWS)]
        return _Attachment(_rows(readers, blocks), "text/csv", "photoseek.csv")
    lists, engine_thread = app_state.lists(request), app_state.engine_thread(request)
    ranked = await lists.find(engine_thread, question_of(asked, ListFields.model_validate(_fields(asked)), asked.terms))
    content = await lists.read(ranked, engine_thread, readers, MOST_LISTED, lambda _reader, content: content)
    ranks = count(1)
    blocks = [partial(_listed, ranked, content, start, ranks) for start in range(0, content.total, _ROWS)]
    return _Attachment(_rows(readers, blocks), "text/csv", "photoseek.csv")


def _fields(asked: ListFields) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in ListFields.model_fields}


async def _rows(readers: Readers, blocks: Sequence[Callable[[CatalogReader], bytes]]) -> AsyncGenerator[bytes, None]:
    yield _as_csv([_COLUMNS])
    for block in blocks:
        yield await _patiently(readers, block)


async def _patiently(readers: Readers, do: Callable[[CatalogReader], T]) -> T:
    """After an answer has begun it cannot become an error: wait while others are served."""
    for _ in range(_TRIES):
        try:
            return await readers.run(do)
        except Stopping:
            raise
        except Busy:
            await asyncio.sleep(_TRY_AGAIN_S)
    return await readers.run(do)


def _listed(
    ranked: KeptList, content: Content, start: int, ranks: Iterator[int], reader: CatalogReader
) -> bytes:  # fmt: skip
    """The rows of some ranks of the whole list; missing or changed files have no row and take up no rank."""
    ids = content.ids[start : start + _ROWS]
    records = [record for record in reader.records(ids.tolist()) if record.on_disk() == "same"]
    part = content.taken(np.isin(content.ids, [record.id for record in records]))
    hits = hits_of(ranked, part, 0, records, reader, judging=False)
    return _as_csv(_row(hit.model_copy(update={"rank": next(ranks)})) for hit in hits)


def _given(ids: Sequence[int], start: int, reader: CatalogReader) -> bytes:
    ranks = {image_id: rank for rank, image_id in enumerate(ids[start : start + _ROWS], start + 1)}
    found = [record for record in reader.records(list(ranks)) if record.on_disk() == "same"]
    return _as_csv(_row(hit_of(record, "same", ranks[record.id])) for record in found)


def _row(hit: HitOut) -> list[Any]:
    return [cell(getattr(hit, name)) for name in _COLUMNS]


def _as_csv(rows: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")

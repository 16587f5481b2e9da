"""The search routes: text, pictures, likes and dislikes in, a slice of a ranked list out."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from retrieval.web import app_state
from retrieval.web.front.problems import RESPONSES
from retrieval.web.search import download_api
from retrieval.web.search.hits import Slice, answer
from retrieval.web.search.kept_list import start_of
from retrieval.web.search.models import (
    MOST_ID,
    PageFields,
    QuestionFields,
    SearchAnswer,
    SearchBody,
    SearchParams,
    SimilarParams,
)
from retrieval.web.search.question import Question, question_of
from retrieval.web.search.uploads import read_form

router = APIRouter(tags=["search"])
router.include_router(download_api.router)

JSON, FORM = "application/json", "multipart/form-data"
_PROBLEM = RESPONSES["default"]["content"]
SAID: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": _PROBLEM}
    for status, text in {
        400: "The query or the filter cannot be answered; the detail says what can.",
        404: "A picture that the gallery does not hold.",
        409: "The gallery changed since the page that the cursor is from.",
        410: "The uploaded picture was forgotten.",
        422: "Not what is accepted here; or words for a model without words.",
        503: "Nothing is indexed yet, or the server has too much to do: see Retry-After.",
    }.items()
}
_UPLOAD_SAID: dict[int | str, dict[str, Any]] = SAID | {
    413: {"description": "The upload is too large.", "content": _PROBLEM},
    415: {"description": "Neither JSON nor a form; or the upload is no picture.", "content": _PROBLEM},
}


@router.get("/search", response_model=SearchAnswer, responses=SAID)
async def search(request: Request, asked: Annotated[SearchParams, Query()]) -> Response:
    """A part of the list of pictures that a query finds, best first; without a query, every picture, newest first."""
    return await _answered(request, question_of(asked, asked), asked)


@router.get("/similar/{image_id}", response_model=SearchAnswer, responses=SAID)
async def similar(
    request: Request,
    image_id: Annotated[int, Path(ge=0, le=MOST_ID, description="The id of a picture of the gallery.")],
    asked: Annotated[SimilarParams, Query()],
) -> Response:
    """What looks like a picture of the gallery, which is itself left out."""
    return await _answered(request, question_of(QuestionFields(like=[str(image_id)]), asked), asked)


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references, which would point elsewhere in the API's document."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return resolved(parts[value["$ref"].rpartition("/")[2]])
            return {key: resolved(each) for key, each in value.items()}
        return [resolved(each) for each in value] if isinstance(value, list) else value

    found: dict[str, Any] = resolved(schema)
    return found


_FORM_SCHEMA = {
    "type": "object",
    "required": ["picture"],
    "properties": {
        "picture": {"type": "string", "format": "binary", "description": "A picture file of any known format."},
        "query": {"type": "string", "description": "The same JSON as without a picture.", "contentMediaType": JSON},
    },
    "additionalProperties": False,
}
_BODY = {
    "required": True,
    "content": {JSON: {"schema": _inlined(SearchBody)}, FORM: {"schema": _FORM_SCHEMA}},
}


@router.post("/search", response_model=SearchAnswer, responses=_UPLOAD_SAID, openapi_extra={"requestBody": _BODY})
async def search_with(request: Request) -> Response:
    """The same with JSON; or with a picture to look for, which is kept in memory only, and as a vector.

    The answer's `upload` stands for the picture in further requests, as `like`.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    upload = None
    if kind == FORM:
        lists, engine_thread = app_state.lists(request), app_state.engine_thread(request)
        form = await read_form(content_type, request.stream(), app_state.settings(request).max_upload_bytes)
        body = _read(SearchBody, form.query or b"{}", "query")
        upload = await lists.uploads.add(engine_thread, form.picture)
    elif kind == JSON:
        body = _read(SearchBody, await request.body(), "body")
    else:
        raise HTTPException(415, f"a search must be {JSON} or {FORM}\nset the Content-Type")
    return await _answered(request, question_of(body, body, body.terms, upload), body, upload)


def _read(model: type[SearchBody], data: bytes, where: str) -> SearchBody:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": (where, *each["loc"])} for each in error.errors(include_url=False, include_input=False)]
        ) from None


async def _answered(request: Request, question: Question, asked: PageFields, upload: str | None = None) -> Response:
    since = time.perf_counter()
    lists, engine_thread = app_state.lists(request), app_state.engine_thread(request)
    ranked = await lists.find(engine_thread, question)
    start = start_of(ranked, asked.offset, asked.cursor)
    do = partial(answer, ranked, Slice(start, asked.k, since, upload, asked.days))
    body = await lists.read(ranked, engine_thread, app_state.readers(request), start.offset + asked.k, do)
    return Response(body, media_type=JSON)

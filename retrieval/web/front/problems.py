"""Errors as RFC 9457 problem details, with the same two lines as on the command line."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match

from retrieval.errors import (
    Busy,
    GalleryLocked,
    GalleryNotFound,
    PageExpired,
    QueryError,
    RetrievalError,
    SettingsError,
    SpecError,
    TextNotSupported,
    UnknownAlbum,
    UnknownEncoder,
    UnknownImage,
    UnknownPerson,
    UnreadableImage,
)
from retrieval.system_errors import explained

logger = logging.getLogger("photoseek")

MEDIA_TYPE = "application/problem+json"
_TYPES = "https://photoseek.invalid/problems/"
_STATUS: Sequence[tuple[type[RetrievalError], int]] = (  # the first matching class counts
    (PageExpired, 409),
    (TextNotSupported, 422),
    (UnreadableImage, 415),
    (UnknownImage, 404),
    (UnknownAlbum, 404),
    (UnknownPerson, 404),
    (GalleryNotFound, 503),
    (GalleryLocked, 409),
    (Busy, 503),
    (QueryError, 400),
    (SettingsError, 400),
    (SpecError, 400),
    (UnknownEncoder, 400),
    (RetrievalError, 503),  # a gallery or a model that is unusable as it is: the two lines of the error say what to do
)
_PLAIN = {  # starlette's messages, in our words
    "Not Found": "there is nothing at this address\nthe page is at /, the API is told at /api/v1/openapi.json",
    "Method Not Allowed": "this address is not asked in this way\nthe API is told at /api/v1/openapi.json",
}
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_ADDRESS = re.compile(r"\b(?:postgres(?:ql)?(?:\+psycopg)?|pgvector|milvus(?:\+https?)?)://[^\s;,)'\"]*")
_OF_LIBPQ = re.compile(r"\b(server at|server on socket|user|role|database|host|host name) \"[^\"]*\"(?:, port \d+)?")
_SHOWN_ERRORS = 20  # of a request with more errors than a person would read

SCHEMA = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "A name for this kind of problem, as a URI."},
        "title": {"type": "string", "description": "What happened, in one line."},
        "detail": {"type": "string", "description": "What can be done about it."},
        "status": {"type": "integer"},
        "instance": {"type": "string", "description": "The path that was asked for."},
    },
}
CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"description": "What went wrong, as RFC 9457 problem details.", "content": CONTENT}
}
"""For ``include_router``: every error of every operation has this form."""


class Problem(JSONResponse):
    """A problem as a response.

    Args:
        status: of the response.
        title: what happened, in one line.
        detail: what the person can do, or empty.
        kind: an error class, whose name becomes the problem's type; None means that of the status.
        instance: the requested path.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        kind: type[Exception] | None = None,
        instance: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        content: dict[str, Any] = {"type": _type_of(kind), "title": _shown(without_servers(title)), "status": status}
        if detail:
            content["detail"] = _shown(without_servers(detail))
        if instance is not None:
            content["instance"] = _shown(instance)
        retry = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        super().__init__(content | dict(more or {}), status, headers={**retry, **(headers or {})})


def problem_of(error: Exception, instance: str | None = None) -> Problem:
    """The problem that a client gets for an error; errors of the program are logged and their details withheld."""
    if isinstance(error, RetrievalError):
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        if error.outside:
            logger.error("%s could not be answered: %s", instance, error.message)
            return Problem(status, error.outside, "try again later", kind=type(error), instance=instance)
        return Problem(status, error.message, error.hint, kind=type(error), instance=instance)
    if isinstance(error, HTTPException):
        title, _, detail = _PLAIN.get(error.detail, str(error.detail)).partition("\n")
        return Problem(error.status_code, title, detail, instance=instance, headers=error.headers)
    known = explained(error)
    # A missing file of ours is a fault of the program, not of the machine: its log has the traceback.
    if known is not None and not isinstance(error, FileNotFoundError):
        logger.error("%s could not be answered: %s", instance, known.message)
        return problem_of(known, instance)
    logger.error("%s could not be answered: %s", instance, error, exc_info=error)
    return Problem(500, "internal error", "the log of photoseek serve says more", instance=instance)


def without_servers(text: str) -> str:
    """A message without the addresses of databases and their users, which are nothing for clients."""
    return _OF_LIBPQ.sub(r"\1", _ADDRESS.sub("its server", text))


def add_handlers(app: FastAPI) -> None:
    """Give every error of an application its problem."""
    app.add_exception_handler(RetrievalError, _answered)
    app.add_exception_handler(HTTPException, _answered)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _answered(request: Request, error: Exception) -> Problem:
    problem = problem_of(error, request.url.path)
    if problem.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = ", ".join(_allowed(request))
    return problem


def _allowed(request: Request) -> list[str]:
    """Every method of an address; starlette names only those of the first route that has it."""
    scopes = [{**request.scope, "method": method} for method in _METHODS]
    routes = request.app.router.routes
    return [s["method"] for s in scopes if any(route.matches(dict(s))[0] is Match.FULL for route in routes)]


async def _invalid(request: Request, error: Exception) -> Problem:
    assert isinstance(error, RequestValidationError)
    broken = [
        {"where": ".".join(str(part) for part in each["loc"]), "message": _shown(str(each["msg"]))}
        for each in error.errors()[:_SHOWN_ERRORS]
    ]
    detail = "; ".join(f"{each['where']}: {each['message']}" for each in broken)
    title = "the request does not say what this address accepts"
    return Problem(422, title, detail, kind=RequestValidationError, instance=request.url.path, more={"errors": broken})


def _type_of(kind: type[Exception] | None) -> str:
    if kind is None:
        return "about:blank"
    return _TYPES + re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def _shown(text: str) -> str:
    """Text that JSON can carry: half a character (a lone surrogate), in a file name or a query, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

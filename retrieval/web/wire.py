"""Transport between client and server: retries, error responses as exceptions, event streams."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import httpx

from retrieval import errors
from retrieval.errors import QueryError, RetrievalError, SettingsError

_LONGEST_WAIT_S = 5.0  # for one Retry-After: a server that asks for more is not busy but down
_SPREAD_S = 0.25  # so that clients refused together do not retry together
_NOT_FOR_TIME_TO_HEAL = "gallery-not-found"
_MOST_CHARACTERS = 1 << 20  # of one event
_ENCODED_NAME = re.compile(r"""\bfilename\*\s*=\s*utf-8''([^;\s]+)""", re.IGNORECASE)
_QUOTED_NAME = re.compile(r'\bfilename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)


class ServerUnreachable(RetrievalError):
    """Nothing answers at the server's address, or not in time."""


class RequestRefused(RetrievalError):
    """The server refused, for a reason without an error class of its own here.

    Attributes:
        status: of the response: 401 for a missing token, 403 for a name that is not the server's, 410 for lost data,
            413 for too much, 500 for an error of the server, 503 for a server that stayed busy.
    """

    def __init__(self, message: str, hint: str, status: int) -> None:
        super().__init__(message, hint)
        self.status = status


class PatientTransport(httpx.BaseTransport):
    """Sends a request again that was refused with 503, after the time that the server requests.

    Args:
        inner: the transport that sends.
        tries: how often a request is sent at most.
    """

    def __init__(self, inner: httpx.BaseTransport, tries: int) -> None:
        self._inner, self._tries = inner, tries

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(self._tries - 1):
            response = self._inner.handle_request(request)
            wait = _asked_wait(response)
            if wait is None:
                return response
            response.close()
            time.sleep(wait + random.uniform(0, _SPREAD_S))
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def error_of(response: httpx.Response) -> RetrievalError:
    """The exception for an error response: the library's own class of error if there is one.

    Args:
        response: already read.
    """
    problem = _problem(response)
    title = str(problem.get("title") or f"the server answered {response.status_code}")
    hint = str(problem.get("detail") or "")
    kind = _CLASSES.get(str(problem.get("type", "")).rpartition("/")[2])
    if kind is None and response.status_code == httpx.codes.BAD_REQUEST:
        kind = QueryError
    return RequestRefused(title, hint, response.status_code) if kind is None else kind(title, hint)


def event_data(lines: Iterable[str]) -> Iterator[str]:
    """The data of each event of a ``text/event-stream`` (HTML standard, 9.2.6).

    Raises:
        ValueError: an event without an end.
    """
    data: list[str] = []
    for line in lines:
        field, _, value = line.partition(":")
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif field == "data":
            data.append(value.removeprefix(" "))
            if sum(map(len, data)) > _MOST_CHARACTERS:
                raise ValueError("an event without an end")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions in a form for JSON: dates and paths as text, without those that are None."""

    def one(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat()
        return str(value) if isinstance(value, Path) else value

    return {
        name: [one(part) for part in value] if isinstance(value, list | tuple) else one(value)
        for name, value in values.items()
        if value is not None
    }


def in_url(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values in a form for a URL: without False and None, True as a word."""
    asked = {name: value for name, value in values.items() if value is not None and value is not False}
    return {name: "true" if value is True else value for name, value in asked.items()}


def file_name(disposition: str, otherwise: str) -> str:
    """The name in a ``Content-Disposition`` (RFC 6266), without a folder: a server never decides where a file goes."""
    if found := _ENCODED_NAME.search(disposition):
        name = unquote(found[1])
    else:
        found = _QUOTED_NAME.search(disposition)
        name = "" if found is None else re.sub(r"\\(.)", r"\1", found[1])
    name = "".join(c for c in PurePosixPath(name.replace("\\", "/")).name if c.isprintable())
    return otherwise if name in ("", "..") else name


def _asked_wait(response: httpx.Response) -> float | None:
    """Seconds after which the server may have time; None if it is not busy."""
    asked = response.headers.get("Retry-After", "")
    if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or not asked.isdecimal():
        return None
    response.read()
    is_busy = not str(_problem(response).get("type", "")).endswith(_NOT_FOR_TIME_TO_HEAL)
    return float(asked) if is_busy and float(asked) <= _LONGEST_WAIT_S else None


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The RFC 9457 problem details of a response; empty if another program answered."""
    if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return {}
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


_CLASSES: dict[str, type[RetrievalError]] = {_kebab(name): getattr(errors, name) for name in errors.__all__} | {
    "query-syntax-error": QueryError,
    "folder-refused": SettingsError,
}
"""The last part of a problem's type -> the class of the original error."""

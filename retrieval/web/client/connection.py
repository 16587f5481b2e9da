"""Requests to one server and its answers: models, bytes, streams, and errors as the library's exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from retrieval.errors import QueryError
from retrieval.web.wire import PatientTransport, RequestRefused, ServerUnreachable, error_of, file_name

API = "/api/v1"

M = TypeVar("M", bound=BaseModel)

_SENT = {"X-Requested-With": "photoseek"}
"""Required by requests that change something, see ``edits/writing.py``."""


class Connection:
    """One server; see ``client.Client``, which has all its methods."""

    def __init__(
        self, url: str = "http://127.0.0.1:8765", token: str | None = None, *, timeout: float = 30.0, tries: int = 6
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.url + API,
            headers=_SENT | ({} if token is None else {"Authorization": f"Bearer {token}"}),
            timeout=timeout,
            transport=PatientTransport(httpx.HTTPTransport(retries=1), max(1, tries)),
            trust_env=False,  # a system proxy is not meant for a server of this machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _read(self, model: type[M], method: str, path: str, **given: Any) -> M:
        return self._parsed(model, self._answer(method, path, **given))

    def _parsed(self, model: type[M], response: httpx.Response) -> M:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            message = f"{self.url} answers in a form that this version does not know"
            raise RequestRefused(message, "use the same version of photoseek on both sides", 200) from error

    def _answer(self, method: str, path: str, **given: Any) -> httpx.Response:
        with self._reached():
            response = self._http.request(method, path, **given)
        if not response.is_success:
            raise error_of(response)
        return response

    @contextmanager
    def _stream(self, method: str, path: str, **given: Any) -> Iterator[httpx.Response]:
        """A response read as it arrives, with no limit on the time between two pieces."""
        with self._reached(), self._http.stream(method, path, **given) as response:
            if not response.is_success:
                response.read()
                raise error_of(response)
            yield response

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServerUnreachable(f"{self.url} did not answer in time", "wait, or give a larger timeout") from error
        except httpx.TransportError as error:
            raise ServerUnreachable(f"nothing answers at {self.url}: {error}", "start it: photoseek serve") from error
        except httpx.InvalidURL as error:
            raise QueryError(f"{self.url} is not an address: {error}", "write http://127.0.0.1:8765") from error

    def _saved(self, to: str | Path, otherwise: str, method: str, path: str, **given: Any) -> Path:
        """Write an answer as it arrives to a new file, or under its own name into a folder.

        Args:
            otherwise: the name, if the answer has none.

        Raises:
            FileExistsError: the file exists already.
        """
        target = Path(to)
        with self._stream(method, path, **given) as response:
            if target.is_dir():
                target = target / file_name(response.headers.get("Content-Disposition", ""), otherwise)
            with target.open("xb") as file:
                try:
                    for piece in response.iter_bytes():
                        file.write(piece)
                except BaseException:
                    target.unlink()
                    raise
        return target

"""The Python client of ``photoseek serve``: the library's methods over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from retrieval.errors import QueryError, RuntimeUnavailable

try:
    import httpx
    from pydantic import BaseModel, ValidationError

    from retrieval.web.duplicates.models import Duplicates
    from retrieval.web.edits.models import Edited, Undone
    from retrieval.web.facets.models import Albums, FacetCounts, Suggestions, Tags
    from retrieval.web.indexing.models import IndexAnswer, IndexState
    from retrieval.web.pictures.models import ImageDetails
    from retrieval.web.search.models import HitOut, SearchAnswer
    from retrieval.web.wire import (
        PatientTransport,
        RequestRefused,
        ServerUnreachable,
        error_of,
        event_data,
        file_name,
        in_url,
        plain,
    )
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] == "retrieval":
        raise
    raise RuntimeUnavailable(f"{error.name} is not installed", "pip install 'photoseek[web]'") from error

API = "/api/v1"
_POLL_S = 0.5

Picture = str | Path | bytes
Size = Literal[240, 480, 1024]
M = TypeVar("M", bound=BaseModel)


_SENT = {"X-Requested-With": "photoseek"}
"""Required by requests that change something, see ``edits/writing.py``."""


class Client:
    """A connection to one server; use it as a context manager, or call ``close``. One thread at a time.

    Conditions (``**where``) have the names of the command-line flags, with underscores: ``after="2023-06"``,
    ``camera="canon"``, ``no_tag=["receipt"]``; texts, numbers, paths, dates, or lists of them.

    Args:
        url: of the server.
        token: the server's token, if it requires one.
        timeout: seconds to wait for an answer. A search refused by a busy server is sent again, see ``tries``.
        tries: how often a request is sent at most while the server is too busy (503 with ``Retry-After``).

    Raises (every method):
        RetrievalError: the class that the library raises for the same mistake (``QueryError``, ``UnknownImage``,
            ``PageExpired``, ``GalleryNotFound``, ...); ``RequestRefused`` for refusals that only a server makes;
            ``ServerUnreachable``.
    """

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

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # Searching

    def search(
        self,
        *words: str,
        without: Sequence[str] = (),
        like: Sequence[int | str] = (),
        more: Sequence[int] = (),
        less: Sequence[int] = (),
        weights: Mapping[str | int, float] | None = None,
        picture: Picture | None = None,
        k: int = 100,
        offset: int = 0,
        cursor: str | None = None,
        sort: Literal["score", "date", "name"] | None = None,
        reverse: bool = False,
        relevant: bool = False,
        min_score: float | None = None,
        group_minutes: float | None = None,
        raw_pairs: Literal["jpeg", "raw"] | None = None,
        **where: Any,
    ) -> SearchAnswer:
        """A part of the list of hits. Without a query: every picture, newest first.

        Args:
            words: each in photoseek's query language.
            without: words to keep away from.
            like: pictures to look for: ids, or the ``upload`` of an answer.
            more, less: ids of hits that are liked and not liked.
            weights: words or ids of pictures -> how much they count, as further parts of the query.
            picture: a file or its bytes, to search for; the answer's ``upload`` can be used for it afterwards.
            k: how many hits, 500 at most.
            offset: any position in the list, from 0.
            cursor: ``next`` of the part before, in place of ``offset``.
            sort, reverse, relevant, min_score, group_minutes, raw_pairs: as in :class:`retrieval.search.pages.Listing`.

        Raises:
            PageExpired: the gallery changed since the cursor's answer.
            RequestRefused: 410 for an upload that the server has forgotten.
        """
        parts = [{"kind": _kind(value), "value": str(value), "weight": w} for value, w in (weights or {}).items()]
        asked = {
            "q": list(words), "not": list(without), "like": [str(one) for one in like], "more": list(more),
            "less": list(less), "terms": parts, "k": k, "cursor": cursor, "sort": sort, "reverse": reverse,
            "relevant": relevant, "min_score": min_score, "group_minutes": group_minutes,
            "raw_pairs": raw_pairs, **plain(where),
        }  # fmt: skip
        asked |= {"offset": offset} if cursor is None else {}
        asked = {name: value for name, value in asked.items() if value not in (None, [], False)}
        if picture is None:
            return self._read(SearchAnswer, "POST", "/search", json=asked)
        form = {"picture": ("picture", _bytes(picture)), "query": (None, json.dumps(asked).encode())}
        return self._read(SearchAnswer, "POST", "/search", files=form)

    def iter_search(self, *words: str, page: int = 100, **asked: Any) -> Iterator[HitOut]:
        """Every hit of a search, requested page by page; see :meth:`search` for the parameters.

        Raises:
            PageExpired: the gallery changed meanwhile.
        """
        answer = self.search(*words, k=page, **asked)
        yield from answer.hits
        picture = asked.pop("picture", None)
        if picture is not None and answer.upload is not None:
            asked["like"] = [*asked.get("like", ()), answer.upload]
        asked.pop("offset", None)
        while answer.next is not None:
            answer = self.search(*words, k=page, **{**asked, "cursor": answer.next})
            yield from answer.hits

    def similar(
        self, id: int, *, k: int = 100, offset: int = 0, cursor: str | None = None, **where: Any
    ) -> SearchAnswer:
        """Pictures that look like one of the gallery; conditions, order and limits as in :meth:`search`."""
        asked = {"k": k, "cursor": cursor, **plain(where)} | ({"offset": offset} if cursor is None else {})
        return self._read(SearchAnswer, "GET", f"/similar/{int(id)}", params=in_url(asked))

    # Labels

    def label(self, ids: Sequence[int] = (), *, results_of: Mapping[str, Any] | None = None, **changes: Any) -> Edited:
        """Change what people say about pictures; :meth:`undo` takes it back.

        Args:
            ids: of the pictures.
            results_of: instead or as well, everything that a search lists: fields of :meth:`search`, as the API has
                them.
            changes: ``tags``, ``without_tags``, ``caption``, ``without_caption``, ``rating``, ``without_rating``,
                ``favourite``, ``hidden``; as in :class:`retrieval.labels.labelling.LabelEdit`.

        Raises:
            UnknownImage: none of the pictures is in the gallery.
            RequestRefused: 403, the server is read-only.
        """
        found = None if results_of is None else plain(results_of)
        asked = {"ids": [int(one) for one in ids], **plain({"results_of": found, **changes})}
        return self._read(Edited, "POST", "/labels", json=asked)

    def undo(self, token: str) -> Undone:
        """Take a change back, exactly and once; its own ``undo`` makes it again.

        Args:
            token: ``undo`` of the answer to a change.

        Raises:
            RequestRefused: 410, it was taken back already, or is too long ago.
        """
        return self._read(Undone, "POST", f"/undo/{quote(token, safe='')}")

    # Pictures

    def image(self, id: int) -> ImageDetails:
        """Everything that the gallery holds about a picture."""
        return self._read(ImageDetails, "GET", f"/images/{int(id)}")

    def thumbnail(self, id: int, size: Size = 240) -> bytes:
        """A WebP of at most ``size`` pixels a side, upright and without metadata.

        Raises:
            RequestRefused: 404 if the file is gone, 410 if it changed since it was indexed.
        """
        return self._answer("GET", f"/images/{int(id)}/thumbnail", params={"size": size}).content

    def original(self, id: int) -> bytes:
        """The file itself; raises as :meth:`thumbnail`. It is held in memory, unlike with :meth:`save`."""
        return self._answer("GET", f"/images/{int(id)}/file").content

    def save(self, id: int, to: str | Path) -> Path:
        """Write the file itself to a new file, or under its own name into a folder; nothing is overwritten.

        Raises:
            FileExistsError: the file exists already.
        """
        target = Path(to)
        with self._stream("GET", f"/images/{int(id)}/file") as response:
            if target.is_dir():
                target = target / file_name(response.headers.get("Content-Disposition", ""), str(id))
            with target.open("xb") as file:
                try:
                    for piece in response.iter_bytes():
                        file.write(piece)
                except BaseException:
                    target.unlink()
                    raise
        return target

    # The gallery

    def facets(self, **where: Any) -> FacetCounts:
        """How many pictures there are by camera, year, folder, tag, ... under some conditions."""
        return self._read(FacetCounts, "GET", "/facets", params=in_url(plain(where)))

    def tags(self) -> Tags:
        """Every tag, by people and by the model, with counts."""
        return self._read(Tags, "GET", "/tags")

    def suggest(self, q: str = "", *, most: int = 12) -> Suggestions:
        """What the end of a question may become: tags, places, persons, cameras, albums, file names of the gallery."""
        return self._read(Suggestions, "GET", "/suggest", params={"q": q, "most": most})

    def albums(self) -> Albums:
        """Every album, of pictures and of saved searches; ``album="..."`` filters by either kind."""
        return self._read(Albums, "GET", "/albums")

    def duplicates(
        self,
        *,
        look_alikes: bool = False,
        min_score: float | None = None,
        offset: int = 0,
        k: int = 40,
        wait: float = 600.0,
    ) -> Duplicates:
        """Groups of duplicate pictures; waits until the server has found them, for at most ``wait``
        seconds."""
        asked = in_url({"look_alikes": look_alikes, "min_score": min_score, "offset": offset, "k": k})
        until = time.monotonic() + wait
        while (response := self._answer("GET", "/duplicates", params=asked)).status_code == httpx.codes.ACCEPTED:
            if time.monotonic() > until:
                raise ServerUnreachable(f"{self.url} did not find them in time", "ask again; the search continues")
            time.sleep(_POLL_S)
        return self._parsed(Duplicates, response)

    def stats(self) -> dict[str, Any]:
        """What ``photoseek info --json`` prints."""
        found: dict[str, Any] = self._answer("GET", "/stats").json()
        return found

    def is_up(self) -> bool:
        """Whether a server answers."""
        try:
            return bool(self._answer("GET", "/healthz").json().get("status") == "ok")
        except ServerUnreachable:
            return False

    # Indexing

    def index(self, *folders: str | Path) -> IndexState:
        """Start indexing new and changed pictures, in the folders known to the gallery if none is named.

        Raises:
            SettingsError: a folder that the server does not index over HTTP.
            GalleryLocked: something is writing to the gallery.
        """
        return self._read(IndexState, "POST", "/index", json={"folders": [str(folder) for folder in folders]})

    def index_state(self) -> IndexAnswer:
        """The state of the run that the server started last."""
        return self._read(IndexAnswer, "GET", "/index")

    def stop_index(self) -> IndexState:
        """Stop the run; finished work is kept."""
        return self._read(IndexState, "DELETE", "/index")

    def index_events(self) -> Iterator[IndexState]:
        """The present state, then every change (about four a second), until the run ends."""
        with self._stream("GET", "/index/events") as response:
            yield from map(IndexState.model_validate_json, event_data(response.iter_lines()))

    # Transport

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
    def _stream(self, method: str, path: str) -> Iterator[httpx.Response]:
        """A response read as it arrives, with no limit on the time between two pieces."""
        with self._reached(), self._http.stream(method, path) as response:
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


def _kind(value: str | int) -> str:
    return "text" if isinstance(value, str) else "id"


def _bytes(picture: Picture) -> bytes:
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()

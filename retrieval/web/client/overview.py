"""The gallery as a whole: counts, words for questions, duplicates, indexing, and whether it changes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from retrieval.web.client.connection import Connection
from retrieval.web.duplicates.models import Duplicates, Trashed
from retrieval.web.facets.models import FacetCounts, Folders, Period, Suggestions, Tags
from retrieval.web.indexing.models import IndexAnswer, IndexState
from retrieval.web.wire import ServerUnreachable, event_data, in_url, plain

_POLL_S = 0.5


class Overview(Connection):
    """Methods on the whole gallery."""

    def facets(self, **where: Any) -> FacetCounts:
        """How many pictures there are by camera, year, folder, tag, ... under some conditions."""
        return self._read(FacetCounts, "GET", "/facets", params=in_url(plain(where)))

    def folders(self, within: str | None = None, *, folder_name: str = "", **where: Any) -> Folders:
        """Folders one level below ``within``, or the outermost, with counts under some conditions.

        Args:
            folder_name: instead: folders anywhere with this in their name.
        """
        asked = {"within": within, "folder_name": folder_name or None, **plain(where)}
        return self._read(Folders, "GET", "/folders", params=in_url(asked))

    def period(self, text: str) -> Period:
        """A time in words (``last summer``, ``2018 - 2020``) as the conditions ``after`` and ``before``.

        Raises:
            QueryError: it is not a time.
        """
        return self._read(Period, "GET", "/period", params={"text": text})

    def tags(self) -> Tags:
        """Every tag, by people and by the model, with counts."""
        return self._read(Tags, "GET", "/tags")

    def suggest(self, q: str = "", *, most: int = 12) -> Suggestions:
        """What the end of a question may become: tags, places, persons, cameras, albums, file names of the gallery."""
        return self._read(Suggestions, "GET", "/suggest", params={"q": q, "most": most})

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

    def trash_duplicates(self, groups: Mapping[int, Sequence[int]]) -> Trashed:
        """Move duplicates to the gallery's trash; :meth:`undo` puts all of them back.

        Args:
            groups: the picture that stays -> those of its group that go.

        Raises:
            RequestRefused: 403, the server is read-only.
        """
        asked = [{"keeper": int(keeper), "others": [int(one) for one in others]} for keeper, others in groups.items()]
        return self._read(Trashed, "POST", "/duplicates/trash", json={"groups": asked})

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

    def events(self) -> Iterator[str]:
        """A name of the gallery's content: the present one, then a new one after every change, by whomever, until the
        server stops."""
        with self._stream("GET", "/events") as response:
            for data in event_data(response.iter_lines()):
                yield str(json.loads(data)["version"])

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

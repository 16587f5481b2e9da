"""The pictures of albums that are saved searches, found by the engine and remembered, so that facets can count them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retrieval.catalog.albums import all_albums
from retrieval.search.saved_search import live_albums

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.engine import QueryEngine

KEPT_S = 60.0
"""How long an answer is kept if nothing changes: dates in words are relative to now, and files come and go."""


@dataclass(frozen=True)
class Live:
    """Album -> ids of its pictures.

    Attributes:
        name: equal for equal answers.
    """

    albums: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    name: str = ""


def has_live(reader: CatalogReader) -> bool:
    """Whether an album is a saved search."""
    return any(album.recipe is not None for album in all_albums(reader))


class LiveAlbums:
    """Runs the saved searches of a gallery when they are asked for; from any thread, on the engine's.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found = Live()
        self._version: str | None = None
        self._kept_until = 0.0

    def found(self, engine: QueryEngine) -> Live:
        """The pictures of all of them. Searches that cannot be answered now are left out."""
        with self._lock:
            version, now = engine.reader.version(), self._clock()
            if version == self._version and now < self._kept_until:
                return self._found
            albums = live_albums(engine)
            if albums != self._found.albums:
                self._found = Live(albums, f"{version} {now}")
            self._version, self._kept_until = version, self._clock() + KEPT_S
            return self._found

"""Whether this server can answer questions now: for what sends them to one of several servers."""

from __future__ import annotations

import asyncio
import time

from retrieval.errors import GalleryNotFound, GalleryOutdated, GalleryTooNew, RetrievalError
from retrieval.gallery import Gallery
from retrieval.sync import check_reachable

KEPT_S = 2.0
"""Who asks more often is given the same answer: asking needs no token, and opens connections."""

WAIT_S = 5.0
"""Then the answer is no, while the look goes on."""


class Readiness:
    """Looks at the catalog and at the index, on new connections; all methods belong to the event loop's thread.

    Args:
        gallery: with or without a catalog.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._looking: asyncio.Task[str] | None = None
        self._until = 0.0

    async def reason(self) -> str:
        """Why it cannot; empty: it can. Names neither servers nor users."""
        if self._looking is None or (self._looking.done() and time.monotonic() > self._until):
            self._looking = asyncio.create_task(self._look(), name="photoseek-readiness")
        try:
            return await asyncio.wait_for(asyncio.shield(self._looking), WAIT_S)
        except TimeoutError:
            return "the catalog or the index does not answer in time"

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> str:
        found = await asyncio.to_thread(self._reason)
        self._until = time.monotonic() + KEPT_S
        return found

    def _reason(self) -> str:
        try:
            with self._gallery.reader(upgrades=False) as reader:
                check_reachable(self._gallery.index_path, reader)
        except GalleryNotFound:
            # Without a server it is the first start: the page then asks for a folder.
            return "" if not self._gallery.exists() else "there is no catalog"
        except (GalleryOutdated, GalleryTooNew):
            return "the catalog was written by another version of photoseek"
        except RetrievalError as error:
            return error.outside or "the catalog cannot be used"
        except Exception:  # whatever it is, it can answer nothing
            return "the catalog cannot be used"
        return ""

"""The thread that writes to the gallery, one change at a time, and the check in front of every route that writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Header, HTTPException, Request

from retrieval.gallery import Gallery
from retrieval.maintenance.label_backups import keep_labels
from retrieval.server.job_queue import Job, JobQueue, finish
from retrieval.web import app_state
from retrieval.web.front.metrics import QueueMeter

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

T = TypeVar("T")

MOST_WAITING = 64
HEADER = "X-Requested-With"

REFUSED: dict[int | str, dict[str, Any]] = {
    403: {"description": f"The server is read-only; or the header {HEADER} is missing."},
    409: {"description": "Another process keeps the gallery from being changed."},
}
"""The responses that every route which writes may give."""


async def may_write(
    request: Request,
    requested_with: Annotated[
        str | None,
        Header(
            alias=HEADER,
            max_length=200,
            description="Any text. Another site's page cannot make a browser send this header.",
        ),
    ] = None,
) -> None:
    """A dependency of every route that writes.

    ``front.security`` has refused what a browser says comes from another site. A form of another site's page cannot
    set a header, so requiring one also refuses requests of browsers that do not say where they come from.
    """
    if app_state.settings(request).read_only:
        raise HTTPException(403, "this server is read-only\nstart photoseek serve without --read-only")
    if not requested_with:
        raise HTTPException(403, f"a request that changes something needs the header {HEADER}\nsend it with any value")


class Writing:
    """One thread for changes: they are short, and SQLite makes one after the other in any case.

    Args:
        gallery: with or without a catalog.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._has_changed = False
        self._queue = JobQueue("writing", self._work, 1, MOST_WAITING, QueueMeter())
        self._queue.start()

    async def run(self, do: Callable[[Transaction], T]) -> T:
        """The result of ``do`` in a transaction for labels and albums (see ``Gallery.labeller``); all of it or nothing.

        Raises:
            GalleryNotFound: nothing is indexed yet.
            GalleryLocked: another process keeps the gallery from being changed.
            Busy: too many changes are waiting already.
        """

        def written(gallery: Gallery) -> T:
            with gallery.labeller() as catalog, catalog.transaction() as transaction:
                done = do(transaction)
            self._has_changed = True
            return done

        return await self.with_gallery(written)

    async def with_gallery(self, do: Callable[[Gallery], T]) -> T:
        """The result of ``do``, which takes the gallery's lock by itself; raises as :meth:`run`."""
        result: T = await self._queue.done(Job(do))
        return result

    def close(self, within_s: float = 5.0) -> bool:
        """Let the running change finish for up to ``within_s``; False if it still runs."""
        return self._queue.close(within_s)

    def _work(self) -> None:
        while (job := self._queue.next()) is not None:
            finish(job, lambda: self._gallery)
            if self._has_changed:  # after the answer: a copy is due once an hour, and may take a moment
                keep_labels(self._gallery)
                self._has_changed = False

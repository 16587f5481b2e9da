"""Background search for duplicates: one at a time, its result cached until the catalog changes.

Finding reads pictures and may take minutes, so a client gets the progress and asks again. The only writes are
perceptual hashes of pictures that were indexed before hashes existed, and only while nobody else writes to the
gallery (see ``duplicates.fill``): that changes no index or label, and the next search need not decode them again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from retrieval.duplicates.finding import Found, find_duplicates
from retrieval.gallery import Gallery
from retrieval.server.job_queue import Stopping
from retrieval.web.duplicates.models import Finding

logger = logging.getLogger("photoseek")

_REMEMBERED = 4
_STOP_S = 2.0

KEPT_TIMES, KEPT_S = 10.0, 60.0
"""A result may be used for this many times as long as it took, and this many seconds at most, even if the catalog
changed: while an indexer commits every two seconds a larger gallery would otherwise never have a result."""


@dataclass(frozen=True)
class Result:
    """The result of one search.

    Attributes:
        look_alikes: the least cosine of the third kind; None: that kind was left out.
        change: the catalog's change number before the search.
        kept_until: ``time.monotonic`` until which it is valid even if the catalog changed.
        found_at: UTC, ISO 8601.
    """

    found: Found
    look_alikes: float | None
    change: int
    kept_until: float
    found_at: str


class DuplicatesJob:
    """For any thread.

    Args:
        gallery: with or without a catalog.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._lock = threading.Lock()
        self._results: OrderedDict[float | None, Result] = OrderedDict()
        self._thread: threading.Thread | None = None
        self._progress = Finding(stage="", done=0, total=0)
        self._error: Exception | None = None
        self._is_closed = False

    def ask(self, look_alikes: float | None, change: int) -> Result | Finding:
        """The result, or the progress of the search; starts one if there is none. A search with other parameters that
        is in progress is finished first.

        Args:
            look_alikes: the least cosine of the third kind; None leaves it out.
            change: the catalog's change number now.

        Raises:
            RetrievalError: the previous search failed.
        """
        with self._lock:
            result = self._known(look_alikes, change)
            if result is not None:
                return result
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._thread is None and not self._is_closed:
                self._progress = Finding(stage="", done=0, total=0)
                self._thread = threading.Thread(
                    target=self._find, args=(look_alikes,), name="photoseek-duplicates", daemon=True
                )
                self._thread.start()
            return self._progress

    def forget(self) -> None:
        """Forget all results: files were moved, so none of them is right any more."""
        with self._lock:
            self._results.clear()

    def close(self) -> None:
        """End the search, if one is running, at its next step."""
        self._is_closed = True
        thread = self._thread
        if thread is not None:
            thread.join(_STOP_S)

    def _known(self, look_alikes: float | None, change: int) -> Result | None:
        now = time.monotonic()
        for result in reversed(self._results.values()):
            # Look-alikes are searched last, among the remaining pictures: without them, any result will do.
            if look_alikes in (None, result.look_alikes) and (result.change == change or now < result.kept_until):
                return result
        return None

    # On the search's thread

    def _find(self, look_alikes: float | None) -> None:
        try:
            result = self._found(look_alikes)
        except Stopping:
            return
        except Exception as error:  # reported to the next caller
            with self._lock:
                self._error, self._thread = error, None
            return
        with self._lock:
            self._results.pop(look_alikes, None)
            self._results[look_alikes] = result
            if len(self._results) > _REMEMBERED:
                self._results.popitem(last=False)
            self._error = self._thread = None

    def _found(self, look_alikes: float | None) -> Result:
        started = time.monotonic()
        with self._gallery.reader() as reader:
            change = reader.change()
        found = find_duplicates(self._gallery, look_alikes=look_alikes, on_progress=self._tell)
        now = time.monotonic()
        kept_until = now + min(KEPT_TIMES * (now - started), KEPT_S)
        return Result(found, look_alikes, change, kept_until, datetime.now(UTC).isoformat(timespec="seconds"))

    def _tell(self, stage: str, done: int, total: int) -> None:
        if self._is_closed:
            raise Stopping
        self._progress = Finding(stage=stage, done=done, total=total)

"""Background search for duplicates: one at a time, its result cached until the catalog changes.

Finding looks at pictures and may take minutes, so whoever asks is told how far it is and asks again. What it writes are
perceptual hashes of pictures that were indexed before there were any, and these only while nobody else writes to the
gallery (see ``duplicates.fill``): no index or label changes by that, and the next search need not decode them again.
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
from retrieval.web.duplicates.models import Finding
from retrieval.web.work.job_queue import Stopping

logger = logging.getLogger("photoseek")

_REMEMBERED = 4
_STOP_S = 2.0

KEPT_TIMES, KEPT_S = 10.0, 60.0
"""A result may be used for so many times as long as it took, and so many seconds at most, although the catalog changed:
while an indexer commits every two seconds a larger gallery would otherwise never have one."""


@dataclass(frozen=True)
class Result:
    """What one search found.

    Attributes:
        look_alikes: the least cosine of the third kind; None: it was left out.
        change: of the catalog before the search.
        kept_until: ``time.monotonic`` up to which it serves although the catalog changed.
        found_at: UTC, ISO 8601.
    """

    found: Found
    look_alikes: float | None
    change: int
    kept_until: float
    found_at: str


class Duplicates:
    """May be asked from any thread.

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
        """What was found, or how far the search is; begins one if there is none. The search for another question that
        is under way is finished first.

        Args:
            look_alikes: the least cosine of the third kind; None leaves it out.
            change: of the catalog now.

        Raises:
            RetrievalError: the search that somebody asked for last could not be done.
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

    def close(self) -> None:
        """End the search, if there is one, at its next step."""
        self._is_closed = True
        thread = self._thread
        if thread is not None:
            thread.join(_STOP_S)

    def _known(self, look_alikes: float | None, change: int) -> Result | None:
        now = time.monotonic()
        for result in reversed(self._results.values()):
            # Look-alikes come last, from what the other kinds left: without them, any result will do.
            if look_alikes in (None, result.look_alikes) and (result.change == change or now < result.kept_until):
                return result
        return None

    # On the search's thread

    def _find(self, look_alikes: float | None) -> None:
        try:
            result = self._found(look_alikes)
        except Stopping:
            return
        except Exception as error:  # whoever asks next is told
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

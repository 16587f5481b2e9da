"""Events in folders, as hints where to look; reported by the system through watchfiles, in a separate thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress

from retrieval.errors import RuntimeUnavailable
from retrieval.indexing.ignore import IGNORE_FILE
from retrieval.paths import is_below
from retrieval.watching.complete import is_temporary
from retrieval.watching.filesystems import most_queued

MOST_PLACES = 4096
"""Folders and sidecars that are remembered one by one; if there are more, everything is looked at."""

_GROUPED_MS = 100
_SIDECAR = ".xmp"


class Hints:
    """Places where something happened since the last call. Filled by one thread, taken by another; bounded.

    Attributes:
        heard: set whenever there is a hint.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._came: set[str] = set()
        self._came_everywhere = False
        self.heard = threading.Event()
        self._clear()

    def _clear(self) -> None:
        self._folders: set[str] = set()
        self._trees: set[str] = set()
        self._sidecars: set[str] | None = set()
        self._everything = False
        self._first = self._last = 0.0
        self.heard.clear()

    def note(self, path: str) -> None:
        """Note an event for the file or folder at ``path``."""
        folder, name = os.path.split(path)
        if not os.path.isdir(folder):  # noqa: PTH112
            # It was deleted, or renamed and the system still reports its old name: the renamed folder is near it.
            self.look(trees=[_nearest(folder)])
        elif name == IGNORE_FILE:
            self.look(trees=[folder])
        elif name.lower().endswith(_SIDECAR):
            self.look(folders=[folder], sidecars=[path])
        elif os.path.isdir(path):  # noqa: PTH112
            self.look(folders=[folder], trees=[path])
            with self._lock:
                if len(self._came) < MOST_PLACES:
                    self._came.add(path)
                else:
                    self._came_everywhere = True
        elif not is_temporary(name) or not os.path.lexists(path):
            self.look(folders=[folder])

    def look(
        self,
        *,
        folders: Collection[str] = (),
        trees: Collection[str] = (),
        sidecars: Collection[str] | None = (),
        whole: bool = False,
    ) -> None:
        """Request that folders, trees of folders, or everything be looked at; and sidecars, or (None) all of them."""
        if not (folders or trees or sidecars is None or sidecars or whole):
            return
        with self._lock:
            now = time.monotonic()
            self._first = self._first or now
            self._last = now
            self._folders.update(folders)
            self._trees.update(trees)
            if sidecars is None or self._sidecars is None or len(self._sidecars) + len(sidecars) > MOST_PLACES:
                self._sidecars = None
            else:
                self._sidecars.update(sidecars)
            self._everything |= whole or len(self._folders) + len(self._trees) > MOST_PLACES
            if self._everything:
                self._folders.clear()
                self._trees.clear()
            self.heard.set()

    def has_folders_that_came(self) -> bool:
        """True if folders were created or moved since :meth:`folders_that_came` was last called."""
        return bool(self._came)

    def folders_that_came(self) -> set[str] | None:
        """Return these folders, or None if they are too many, and forget them."""
        with self._lock:
            came = None if self._came_everywhere else self._came
            self._came, self._came_everywhere = set(), False
        return came

    def ages(self) -> tuple[float, float]:
        """Seconds since the first hint and since the last one."""
        now = time.monotonic()
        return now - self._first, now - self._last

    def take(self) -> tuple[set[str], set[str], set[str] | None, bool]:
        """Return folders, trees, sidecars (None: all), and whether everything is to be looked at; and forget them."""
        with self._lock:
            taken = self._folders, self._trees, self._sidecars, self._everything
            self._clear()
        return taken


def _nearest(folder: str) -> str:
    """The folder, or its nearest existing ancestor."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):  # noqa: PTH112
        folder = os.path.dirname(folder)
    return folder


class Listener:
    """Listens to folders until it is closed.

    Args:
        roots: resolved and present.
        hints: receives the events.

    Attributes:
        roots: the folders listened to.
        problem: why it ended before it was closed; None if it did not.

    Raises:
        RuntimeUnavailable: watchfiles is not installed.
    """

    def __init__(self, roots: Sequence[str], hints: Hints) -> None:
        try:
            import watchfiles
        except ModuleNotFoundError as error:
            raise RuntimeUnavailable(
                "watching folders needs watchfiles, which is not installed",
                "run: pip install 'photoseek[watch]'; or look every few seconds: --poll 10",
            ) from error
        self._watch = watchfiles.watch
        self.roots = [root for root in roots if not any(is_below(root, other) for other in roots if other != root)]
        self._hints, self._stop = hints, threading.Event()
        self.problem: str | None = None
        self.is_listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="photoseek-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        overflow = most_queued() // 4
        try:
            batches = self._watch(
                *self.roots,
                watch_filter=None, debounce=2 * _GROUPED_MS, step=_GROUPED_MS // 2, rust_timeout=_GROUPED_MS,
                stop_event=self._stop, yield_on_timeout=True, raise_interrupt=False, force_polling=False,
                recursive=True, ignore_permission_denied=True,
            )  # fmt: skip
            for batch in batches:
                self.is_listening.set()
                if len(batch) > overflow:  # the kernel's queue may have overflowed, which is not reported
                    self._hints.look(whole=True)
                else:
                    for _, path in batch:
                        self._hints.note(path)
        except Exception as error:  # the library's own exceptions, of several kinds, including a panic of its thread
            self.problem = str(error) or type(error).__name__
            self._hints.look(whole=True)
        finally:
            self.is_listening.set()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        with suppress(RuntimeError):
            self._thread.join(10)

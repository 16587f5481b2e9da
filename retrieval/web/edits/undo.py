"""What can be taken back: the last changes that this server made, by a name that only their maker knows."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import HTTPException

from retrieval.catalog.changes import Change
from retrieval.catalog.person_changes import PeopleChange

MOST_CHANGES = 500
MOST_ROWS = 1_000_000
"""Rows of all changes together, some 100 bytes each; the newest change is kept whatever its size."""

KEPT_S = 24 * 3600.0


@dataclass(frozen=True)
class Trashed:
    """Files that were moved to folders of the gallery's trash."""

    folders: frozenset[Path]

    def __len__(self) -> int:
        return len(self.folders)


Undoable = Change | PeopleChange | Trashed


@dataclass(frozen=True)
class _Kept:
    what: str
    change: Undoable
    since: float = field(default_factory=time.monotonic)


class Undos:
    """The changes that can be taken back. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def keep(self, what: str, change: Undoable) -> str | None:
        """The token of a change; None if it changed nothing.

        Args:
            what: ``labels``, ``album``, ``people`` or ``trash``.
        """
        if not len(change):
            return None
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[token] = _Kept(what, change)
            self._forget()
        return token

    def take(self, token: str) -> tuple[str, Undoable]:
        """What a change was and did; each is given out once.

        Raises:
            HTTPException: 410, it was taken back already, or is too long ago.
        """
        with self._lock:
            self._forget()
            kept = self._kept.pop(token, None)
        if kept is None:
            raise HTTPException(410, "this can no longer be taken back\nit was already, or too much happened since")
        return kept.what, kept.change

    def give_back(self, token: str, what: str, change: Undoable) -> None:
        """Keep a change under its token again: taking it back failed."""
        with self._lock:
            self._kept[token] = _Kept(what, change)

    def _forget(self) -> None:
        """Drop what is too old, and the oldest beyond the limits."""
        now, rows = time.monotonic(), sum(len(kept.change) for kept in self._kept.values())
        while len(self._kept) > 1:
            oldest = next(iter(self._kept.values()))
            if len(self._kept) <= MOST_CHANGES and rows <= MOST_ROWS and now - oldest.since <= KEPT_S:
                return
            self._kept.popitem(last=False)
            rows -= len(oldest.change)
        for token in [token for token, kept in self._kept.items() if now - kept.since > KEPT_S]:
            del self._kept[token]

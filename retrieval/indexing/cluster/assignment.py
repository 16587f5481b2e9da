"""Who works on which files: those of a worker that was lost are given to others, and nothing has two outcomes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import TypeAlias

from retrieval.catalog.batch import FailedImage
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.outcomes import Outcome, failed

SUSPECT = 2
"""A file that so many lost workers had is read by a worker that has nothing else ..."""

GIVEN_UP = 3
"""... and given up if that is lost, too."""

LOST = "each worker that read this file was lost: it may take too much memory"
"""The reason recorded then; the file is tried again in the next run: machines are lost for other reasons, too."""

Key: TypeAlias = tuple[int, str]


def _key(file: Candidate | Outcome) -> Key:
    return file.folder_id, file.name


class Assignment:
    """The files that wait, and those that each worker has. For one thread."""

    def __init__(self) -> None:
        self._waiting: deque[list[Candidate]] = deque()
        self._suspects: deque[Candidate] = deque()
        self._held: dict[int, dict[Key, Candidate]] = {}
        self._windows: dict[int, int] = {}
        self._tried: dict[int, Key] = {}  # workers that have one suspect and nothing else
        self._losses: Counter[Key] = Counter()

    @property
    def window(self) -> int:
        """Files that may be waiting or worked on."""
        return sum(self._windows.values())

    def put(self, chunk: Sequence[Candidate]) -> None:
        """Add files."""
        self._waiting.append(list(chunk))

    def join(self, worker: int, window: int) -> None:
        """A worker that should have ``window`` files."""
        self._held[worker], self._windows[worker] = {}, window

    def next_for(self, worker: int) -> list[Candidate]:
        """The files to send to a worker now; empty: none."""
        held = self._held[worker]
        if worker in self._tried:
            return []
        if self._suspects and not held:
            suspect = self._suspects.popleft()
            self._tried[worker] = _key(suspect)
            held[_key(suspect)] = suspect
            return [suspect]
        # A worker whose turn it is gets no others before.
        if self._suspects and not self._waiting and not self._tried:
            return []
        if not self._waiting or len(held) >= self._windows[worker]:
            return []
        chunk = self._waiting.popleft()
        held.update((_key(each), each) for each in chunk)
        return chunk

    def accepted(self, worker: int, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Those outcomes that are the first for their files."""
        held = self._held.get(worker, {})
        new = [each for each in outcomes if held.pop(_key(each), None) is not None]
        if not held:
            self._tried.pop(worker, None)
        return new

    def leave(self, worker: int, *, is_lost: bool) -> list[FailedImage]:
        """A worker that works no more: its files wait again, in front; returns those that are given up.

        Args:
            is_lost: it died; one of its files may be the reason.
        """
        held = self._held.pop(worker, {})
        self._windows.pop(worker, None)
        tried = self._tried.pop(worker, None)
        given_up, again = [], []
        for key, candidate in held.items():
            self._losses[key] += is_lost
            if is_lost and key == tried and self._losses[key] >= GIVEN_UP:
                given_up.append(failed(candidate, LOST, is_transient=True))
            elif self._losses[key] >= SUSPECT:
                self._suspects.append(candidate)
            else:
                again.append(candidate)
        if again:
            self._waiting.appendleft(again)
        return given_up

"""Keep a gallery in step with folders: events say where to look, and looking is an ordinary run over those folders.

Nothing depends on the content of an event: everything is looked at when watching begins, now and then, when a
drive is connected or removed, and when events may have been lost.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from retrieval.errors import GalleryLocked, RetrievalError
from retrieval.indexing.focus import Focus
from retrieval.indexing.report import IndexReport
from retrieval.paths import is_below
from retrieval.streams import plural, printable
from retrieval.system_errors import explained
from retrieval.watching.complete import SETTLED_S, Completeness
from retrieval.watching.events import Hints, Listener
from retrieval.watching.filesystems import mounts, network_trees, watch_limit_advice
from retrieval.watching.politeness import CpuShare, is_on_battery

logger = logging.getLogger("photoseek")

TICK_S = 0.1
QUIET_S = 0.15
"""The watcher looks this long after the last event of a group ..."""

LATEST_S = 1.0
"""... or after this long, if events do not end."""

RENEWED_S = 5.0
"""This long after a folder was created or moved, listening starts again: the listening library may lose a folder
that is renamed while it is being added (1 file in 10,000 events), and the events in it since."""

ROOTS_S = 3.0
"""How often to check whether a folder, drive or share has appeared or gone, and the battery."""

LOCKED_S = 1.0
_LONGEST_PAUSE_S = 60.0
_LISTENING_S = 120.0

Run = Callable[[Sequence[str], Focus, Callable[[], bool]], IndexReport]
"""Runs over roots (resolved) with a focus, until ``stop`` returns True."""


@dataclass(frozen=True)
class Manners:
    """Settings for a watcher's behaviour.

    Args:
        poll_s: seconds between two looks at network shares, which do not report changes, and at all folders if the
            system cannot watch any more; with ``polls_all``, always at all of them.
        look_every_s: seconds between two looks at everything; 0: never.
        max_cpu: percent of one core; 0: no limit.
        pauses_on_battery: do nothing while a battery is in use.
    """

    poll_s: float = 10.0
    polls_all: bool = False
    look_every_s: float = 900.0
    max_cpu: float = 0.0
    pauses_on_battery: bool = False


class Watcher:
    """Watches until it is stopped.

    Args:
        roots: the folders, resolved; they need not exist now.
        run: see :data:`Run`; on GalleryLocked the watcher waits and tries again.
        say: called with a line about each run that changed something, and with messages for people.
        on_sidecars: called with changed sidecars, or None if they were too many to remember; None: sidecars are
            ignored.
        on_quiet: slow work on what runs have brought, done while nothing happens. It is called with a function that
            returns True as soon as something does, and is called again later.
    """

    def __init__(
        self,
        roots: Sequence[str],
        run: Run,
        say: Callable[[str], None],
        manners: Manners | None = None,
        on_sidecars: Callable[[Sequence[str] | None], None] | None = None,
        on_quiet: Callable[[Callable[[], bool]], None] | None = None,
    ) -> None:
        self._roots, self._run, self._say = list(roots), run, say
        self._manners = manners or Manners()
        self._on_sidecars, self._on_quiet = on_sidecars, on_quiet
        self._has_more = False
        self._hints, self._complete = Hints(), Completeness()
        self._share = CpuShare(self._manners.max_cpu)
        self._listener: Listener | None = None
        self._present: dict[str, tuple[int, int]] = {}
        self._polled: list[str] = []
        self._held: set[str] = set()
        self._next: dict[str, float] = {}
        self._told: set[str] = set()
        self._has_begun = self._is_paused = False
        self._pause_s = LOCKED_S

    def watch(self, stop: Callable[[], bool]) -> None:
        """Look at everything once, and then wherever something happens, until ``stop`` returns True.

        Raises:
            RuntimeUnavailable: watchfiles is not installed, and not all folders are polled.
        """
        try:
            self._look_at_roots()
            if self._listener is not None:
                self._listener.is_listening.wait(_LISTENING_S)
            self._hints.look(whole=True)
            while not stop():
                self._hints.heard.wait(TICK_S)
                self._keep_time()
                if self._is_due():
                    self._look(stop)
                elif self._hints.heard.is_set():
                    time.sleep(TICK_S / 2)
                elif self._has_more and not self._is_paused and time.monotonic() >= self._next.get("again", 0.0):
                    self._use_the_quiet(stop)
        finally:
            if self._listener is not None:
                self._listener.close()

    def _keep_time(self) -> None:
        """Do the tasks that are due."""
        if self._comes("roots", ROOTS_S):
            self._look_at_roots()
            self._look_at_battery()
        if self._hints.has_folders_that_came() and self._comes("renewal", RENEWED_S):
            self._renew()
        if self._polled and self._comes("poll", self._manners.poll_s):
            self._hints.look(trees=self._polled)
        if self._manners.look_every_s and self._comes("whole", self._manners.look_every_s):
            self._hints.look(whole=True)
        if self._held and time.monotonic() >= self._next.get("held", 0.0):
            held, self._held = self._held, set()
            self._hints.look(folders=held)

    def _comes(self, what: str, every_s: float) -> bool:
        """True once every ``every_s`` seconds, for the first time after that interval."""
        now = time.monotonic()
        if now < self._next.setdefault(what, now + every_s):
            return False
        self._next[what] = now + every_s
        return True

    def _is_due(self) -> bool:
        if self._is_paused or not self._hints.heard.is_set() or time.monotonic() < self._next.get("again", 0.0):
            return False
        since_first, since_last = self._hints.ages()
        return since_last >= QUIET_S or since_first >= LATEST_S

    # Folders that appear and disappear

    def _look_at_roots(self) -> None:
        """Listen to the folders that exist, and look at everything if they differ from the previous ones."""
        present = {}
        for root in self._roots:
            with suppress(OSError):
                found = os.stat(root)
                present[root] = (found.st_dev, found.st_ino)
        if self._listener is not None and self._listener.problem is not None:
            self._tell(f"the system cannot watch these folders ({self._listener.problem}); they are looked at every")
            self._tell(f"{self._manners.poll_s:g} seconds instead. {watch_limit_advice()}")
            self._listener = None
            self._polled = list(present)
        if present == self._present and self._has_begun:
            return
        before = self._present if self._has_begun else dict.fromkeys(self._roots, (0, 0))
        for root in self._roots:
            if (root in present) != (root in before):
                self._say(f"{printable(root)}: {'watched' if root in present else 'not there; waiting for it'}")
        if self._has_begun:
            self._hints.look(whole=True)
        self._present, self._has_begun = present, True
        table = mounts()
        shares = {root: network_trees(root, table) for root in present}
        polls_all = self._manners.polls_all
        self._polled = list(present) if polls_all else [tree for trees in shares.values() for tree in trees]
        local = [root for root in present if root not in self._polled]
        for share in self._polled if not polls_all else ():
            self._tell(f"{printable(share)}: on a network share; looked at every {self._manners.poll_s:g} seconds")
        if self._listener is not None:
            self._listener.close()
        self._listener = Listener(local, self._hints) if local else None

    def _renew(self) -> None:
        """Listen again, and look where folders appeared; the old listener runs until the new one is ready."""
        came, before = self._hints.folders_that_came(), self._listener
        if before is None or before.problem is not None:
            return
        self._listener = Listener(before.roots, self._hints)
        self._listener.is_listening.wait(_LISTENING_S)
        before.close()
        self._hints.look(trees=came or (), whole=came is None)

    def _look_at_battery(self) -> None:
        if self._manners.pauses_on_battery and is_on_battery() != self._is_paused:
            self._is_paused = not self._is_paused
            self._say("on battery: paused" if self._is_paused else "goes on")

    # Looking

    def _use_the_quiet(self, stop: Callable[[], bool]) -> None:
        """Do slow work until something happens."""
        if self._on_quiet is None:
            return

        def ends() -> bool:
            self._keep_time()
            return stop() or self._hints.heard.is_set() or self._is_paused

        try:
            self._on_quiet(ends)
        except GalleryLocked as error:
            self._again(LOCKED_S)
            self._tell(f"{error.message}; waiting for it")
            return
        except RetrievalError as error:
            self._has_more = False  # until the next run
            self._tell(f"{error.message}\n{error.hint}")
            return
        self._has_more = ends()

    def _look(self, stop: Callable[[], bool]) -> None:
        folders, trees, sidecars, is_whole = self._hints.take()
        roots = self._affected(folders | trees, is_whole=is_whole)
        self._complete.begin()
        self._share.begin()
        started = time.perf_counter()
        try:
            report = None
            if roots:
                focus = Focus(folders, trees, self._complete.is_held, is_whole=is_whole)
                report = self._run(roots, focus, lambda: self._stop_or_wait(stop))
            if sidecars != set() and self._on_sidecars is not None and not stop():
                self._on_sidecars(None if sidecars is None else sorted(sidecars))
        except GalleryLocked as error:
            self._hints.look(folders=folders, trees=trees, sidecars=sidecars, whole=is_whole)
            self._again(LOCKED_S)
            self._tell(f"{error.message}; waiting for it")
            return
        except Exception as error:
            known = explained(error)
            if not isinstance(known, RetrievalError):
                raise
            self._hints.look(whole=True)
            self._again(self._pause_s)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            self._tell(f"{known.message}\n{known.hint}")
            return
        self._pause_s = LOCKED_S
        self._told = {line for line in self._told if "waiting for it" not in line}
        if self._complete.held:
            if not self._held:  # files may be waiting already: their time is not put off
                self._next["held"] = time.monotonic() + SETTLED_S
            self._held |= self._complete.held
        self._has_more |= report is not None
        if report is not None:
            self._tell_run(report, time.perf_counter() - started)

    def _affected(self, places: set[str], *, is_whole: bool) -> list[str]:
        if is_whole:
            return list(self._present)
        return [root for root in self._present if any(is_below(place, root) for place in places)]

    def _stop_or_wait(self, stop: Callable[[], bool]) -> bool:
        self._share.wait(stop)
        return stop()

    def _again(self, after_s: float) -> None:
        self._next["again"] = time.monotonic() + after_s

    def _tell(self, line: str) -> None:
        """Report a lasting condition, once."""
        if line not in self._told:
            self._told.add(line)
            self._say(line)

    def _tell_run(self, report: IndexReport, seconds: float) -> None:
        for problem in report.problems:
            kept = plural(problem.images_kept, "picture is", "pictures are")
            self._tell(f"{printable(problem.path)}: {problem.reason}; its {kept} kept")
        counts = report.counts
        named = {
            "new": counts.added, "changed": counts.updated, "moved": counts.moved, "restored": counts.restored,
            "removed": counts.retired, "encoded again": counts.encoded_again, "unreadable": counts.failed,
        }  # fmt: skip
        parts = [f"{count:,} {word}" for word, count in named.items() if count]
        if parts:
            self._say(f"{time.strftime('%H:%M:%S')}  {', '.join(parts)} in {seconds:.1f} s")

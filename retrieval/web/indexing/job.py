"""The indexing run started by the server: a child process, so that searches stay fast.

It runs the command line of this installation with ``--json-progress``; its output becomes one value, the state, which
is replaced four times a second. Listeners get the newest state when they are ready for it, so a slow one misses
states and does not make any pile up in memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from retrieval.errors import GalleryError, GalleryLocked
from retrieval.gallery import Gallery
from retrieval.interrupts import EXIT_CODES
from retrieval.paths import CLI, as_text
from retrieval.web.front.problems import without_servers
from retrieval.web.indexing.models import IndexState, TwoLines
from retrieval.web.settings import Settings

logger = logging.getLogger("photoseek")


LAST_PATIENCE_S = 2.0
"""A run that was asked to stop commits its work in progress. If the server is stopping and that takes longer than
``Settings.stop_within_s``, it is asked again, which shortens it; after the same time again it is killed, which the
catalog survives, too."""

INSIST_AFTER_S = 30.0
"""A run heeds the first signal within seconds. One that does not, because a disk does not answer, say, is asked again
after this time, and then killed."""

HEARTBEAT_S = 15.0
MOST_LISTENERS = 32

_LONGEST_LINE = 16 << 20  # the report names every folder that could not be walked
_SAID = 8192
_NICE = 5  # if two processes want the same core, the search goes first


class IndexJob:
    """At most one run at a time; all methods belong to the event loop's thread.

    Args:
        gallery: with or without a catalog.
        settings: of the server.
    """

    def __init__(self, gallery: Gallery, settings: Settings) -> None:
        self._gallery, self._settings = gallery, settings
        self._state = IndexState()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._insisting: asyncio.Task[None] | None = None
        self._is_closed = False
        self._number, self._name = 0, secrets.token_hex(4)
        self._changed = asyncio.Event()
        self._listeners = 0

    @property
    def state(self) -> IndexState:
        """The state of the run, or the final state of the last one."""
        return self._state

    @property
    def listeners(self) -> int:
        """How many clients listen to the events now; at most ``MOST_LISTENERS`` should."""
        return self._listeners

    async def start(self, folders: Sequence[str]) -> IndexState:
        """Start a run.

        Args:
            folders: absolute paths, allowed and resolved (see ``index_folders``); empty: every known one.

        Raises:
            GalleryLocked: this server or another process is writing to the gallery.
            GalleryError: the gallery cannot be written, or no process can be started.
        """
        if self._state.running or self._is_closed:
            raise GalleryLocked("this server is already indexing", "wait until it has finished, or stop it")
        # Set before the first await, so that a second request sees it.
        before, self._process = self._state, None
        self._say(
            IndexState(
                state="starting", running=True, folders=[as_text(folder) for folder in folders], started_at=_now()
            )
        )
        try:
            await asyncio.to_thread(self._gallery.refuse_if_written)
            self._process = await self._started(folders)
        except BaseException:
            self._say(before)
            raise
        self._task = asyncio.create_task(self._follow(self._process), name="photoseek-index-job")
        if self._is_closed or self._state.state == "stopping":  # changed in the meantime
            self._ask()
        return self._state

    def stop(self) -> IndexState:
        """Ask the run to stop, if there is one: its finished work stays, and the next one continues from there."""
        if self._state.state in ("starting", "running"):
            self._say(self._state.model_copy(update={"state": "stopping"}))
            self._ask()
            self._insisting = asyncio.create_task(self._insist(INSIST_AFTER_S), name="photoseek-index-stop")
        return self._state

    async def close(self, *, at_once: bool = False) -> None:
        """Stop the run and wait until it has ended.

        Args:
            at_once: the server is stopped by force: the run is killed, and its uncommitted work is lost.
        """
        self._is_closed = True
        if self._task is None or self._task.done():
            return
        self.stop()
        if at_once:
            self._kill()
        await self._insist(self._settings.stop_within_s)
        await self._task

    async def events(self, stopping: asyncio.Event, seen: str = "") -> AsyncIterator[str]:
        """The state now and at every change, as server-sent events, until the run ends or the server stops.

        ``state`` comes first, then ``progress``; ``report`` is the last one. Each contains a whole :class:`IndexState`.

        Args:
            seen: the id of the last event that the listener received.

        """
        self._listeners += 1
        try:
            yield "retry: 3000\n\n"
            name = "state"
            while True:
                changed, state = self._changed, self._state
                if self._id != seen:
                    seen = self._id
                    event = name if state.running else "report"
                    yield f"id: {seen}\nevent: {event}\ndata: {state.model_dump_json()}\n\n"
                    name = "progress"
                if not state.running or stopping.is_set():
                    return
                if not await _any_set(changed, stopping, within_s=HEARTBEAT_S):
                    yield ": still here\n\n"
        finally:
            self._listeners -= 1

    def knows(self, seen: str) -> bool:
        """True if there are no events, now or later, for a listener that has seen this one."""
        return not self._state.running and seen == self._id

    @property
    def _id(self) -> str:
        """The id of the present state; differs between servers, since a listener may reconnect to a restarted one."""
        return f"{self._name}-{self._number}"

    def _say(self, state: IndexState) -> None:
        self._state = state
        self._number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    # The process

    async def _started(self, folders: Sequence[str]) -> Process:
        gallery = str(self._gallery.path.absolute())
        command = [sys.executable, CLI, "index", "--json-progress", "--gallery", gallery, "--", *folders]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                limit=_LONGEST_LINE,
                start_new_session=True,  # Ctrl-C in the terminal is for the server, which then stops the run itself
            )
        except (OSError, ValueError) as error:
            raise GalleryError(f"cannot start indexing: {error}", "run: photoseek index") from error
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _NICE)
        return process

    async def _insist(self, within_s: float) -> None:
        """Ask a run again that does not end in this time, and then kill it."""
        for patience, next_step in ((within_s, self._ask), (LAST_PATIENCE_S, self._kill)):
            if self._task is None:  # it has not been started yet, and will be asked then
                return
            done, _ = await asyncio.wait((self._task,), timeout=patience)
            if done:
                return
            next_step()

    def _ask(self) -> None:
        # The run handles SIGTERM like Ctrl-C. A shell's background job ignores SIGINT, and so would its child.
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _follow(self, process: Process) -> None:
        assert process.stdout is not None and process.stderr is not None
        draining = asyncio.create_task(_tail(process.stderr))
        try:
            async for line in process.stdout:
                self._take(line)
        except ValueError:  # a line above the limit: the rest is of no use
            self._kill()
        said, code = await draining, await process.wait()
        self._say(self._ended(code, said))

    def _take(self, line: bytes) -> None:
        try:
            facts: dict[str, Any] = json.loads(line, object_hook=_clean)
            event = facts.pop("event")
        except (ValueError, KeyError, AttributeError):
            logger.warning("indexing said what was not expected: %.200r", line)
            return
        known = {name: value for name, value in facts.items() if name in IndexState.model_fields}
        if event in ("begin", "progress") and self._state.state != "stopping":
            known["state"] = "running"
        self._say(self._state.model_copy(update=known))

    def _ended(self, code: int, said: str) -> IndexState:
        """The last state of a run that ended with this exit code and this last output on stderr."""
        report = self._state.report
        now: dict[str, Any] = {"running": False, "finished_at": _now(), "seconds_left": None}
        if report is not None and code in (0, 1, *EXIT_CODES):
            now["state"] = "stopped" if report.get("interrupted") else "done"
        elif self._state.state == "stopping":
            now["state"] = "stopped"
        else:
            logger.error("indexing ended with exit code %s: %s", code, said)
            now |= {"state": "failed", "error": _two_lines(said)}
        return self._state.model_copy(update=now)


def _clean(facts: dict[str, Any]) -> dict[str, Any]:
    """Paths of folders that could not be walked may not be valid text."""
    return {name: as_text(value) if isinstance(value, str) else value for name, value in facts.items()}


async def _any_set(*events: asyncio.Event, within_s: float) -> bool:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for each in waiting:
            each.cancel()


async def _tail(stream: asyncio.StreamReader) -> str:
    """The end of the output; read all the time, since a full pipe would block the run."""
    kept = b""
    while piece := await stream.read(_SAID):
        kept = (kept + piece)[-_SAID:]
    return kept.decode("utf-8", "replace")


def _two_lines(said: str) -> TwoLines:
    """The command line's two lines about its error (see ``retrieval.program``)."""
    _, found, rest = f"\n{said}".rpartition("\nphotoseek: ")
    if not found:
        return TwoLines(title="the indexing run ended unexpectedly", detail="the log of photoseek serve says more")
    title, *more = [line.strip() for line in rest.strip().splitlines()]
    return TwoLines(title=without_servers(title), detail=without_servers(" ".join(more)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

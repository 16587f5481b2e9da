"""Encoding by the workers of a Ray cluster: the side of the run."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from retrieval.encoders.base import OnTorch
from retrieval.errors import RuntimeUnavailable, WorkersLost
from retrieval.indexing.candidates import Candidate, in_chunks
from retrieval.indexing.cluster.model import files_to_send
from retrieval.indexing.cluster.said import Begin, Begun, Failed, Line, Over, Remark, Stop, Task, Window, own_version
from retrieval.indexing.doubtful_notes import KILLED
from retrieval.indexing.executor import MakeExecutor, Work
from retrieval.indexing.outcomes import Results, failed

logger = logging.getLogger("photoseek")

_LOOK_SECONDS = 0.25

STOP_SECONDS = 3.0
"""After a stop, finished work is awaited so long."""

LEAVE_SECONDS = 5.0

_ROOT = str(Path(__file__).parents[3])
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from retrieval.indexing.cluster.bridge import main; main()"


@dataclass(frozen=True)
class Cluster:
    """How a run uses Ray.

    Attributes:
        address: see ``said.Begin``.
        cpus: cores of each worker; None: see ``said.Begin``.
        gpus: of each worker, 0.25 for four on one GPU; None: one for models on torch if ``device`` asks for a GPU.
        device, precision: as for an encoder.
        tell: called with lines for the user.
    """

    address: str | None = None
    cpus: int | None = None
    gpus: float | None = None
    device: str | None = None
    precision: str | None = None
    tell: Callable[[str], None] = lambda _: None


def on_ray(cluster: Cluster) -> MakeExecutor:
    """The executor of runs whose files are encoded by a Ray cluster.

    Raises:
        RuntimeUnavailable: the library is not installed.
    """
    if find_spec("ray") is None:
        raise RuntimeUnavailable("--executor ray needs the library ray", "pip install 'photoseek[ray]'")
    return lambda work: OnRay(work, cluster)


class OnRay:
    """An :class:`~retrieval.indexing.executor.Executor` over a child process (``bridge``)."""

    def __init__(self, work: Work, cluster: Cluster) -> None:
        self._work, self._cluster = work, cluster
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._left: set[tuple[int, str]] = set()
        self._window = 0

    def run(self, candidates: Iterable[Candidate | None], *, stop: Callable[[], bool]) -> Iterator[Results]:
        """See ``Executor``. Ray is only started if there is a file to process.

        Raises:
            WorkersLost: there is no such cluster, its head is lost, or none of its workers can be used.
        """
        files = iter(candidates)
        first = next((each for each in files if each is not None), None)
        if first is None:
            return
        child = subprocess.Popen(
            [sys.executable, "-c", _CODE, _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what Ray's library prints: reasons come in words
            start_new_session=True,  # Ctrl-C is for this process
        )
        assert child.stdin is not None and child.stdout is not None
        line = Line(child.stdout, child.stdin)
        hearing = threading.Thread(target=self._hear, args=(line,), name="hearing", daemon=True)
        hearing.start()
        try:
            yield from self._exchange(line, chain([first], files), stop)
        finally:
            child.kill()  # Ray ends the workers of a program that is gone, and a cluster of its own
            child.wait()
            hearing.join()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):
                    pipe.close()

    def _exchange(
        self, line: Line, candidates: Iterator[Candidate | None], stop: Callable[[], bool]
    ) -> Iterator[Results]:
        self._send(line, self._begin())
        begun = None
        while begun is None:
            if stop():
                return
            said = self._said()
            begun = said if isinstance(said, Begun) else None
        self._cluster.tell(begun.remark)
        chunks, is_left = in_chunks(candidates, begun.batch_size), True
        until: float | None = None
        while is_left or self._left:
            if until is None and stop():
                until, is_left = time.monotonic() + STOP_SECONDS, False
                self._send(line, Stop())
            if until is not None and time.monotonic() > until:
                return
            if is_left and len(self._left) < self._window:
                chunk = next(chunks, None)
                if chunk is None:
                    is_left = False
                elif chunk:
                    yield from self._sent(line, chunk)
                said = self._said(wait=False)
            else:
                said = self._said()
            while said is not None:
                if isinstance(said, Results):
                    yield self._accepted(said)
                elif isinstance(said, Over):
                    return
                said = self._said(wait=False)
        self._send(line, Over())
        with suppress(queue.Empty):  # everything is here: only the cluster is left in order
            while self._inbox.get(timeout=LEAVE_SECONDS) is not None:
                pass

    def _sent(self, line: Line, chunk: list[Candidate]) -> Iterator[Results]:
        """Send files, but for those at which an earlier run on this machine was killed."""
        notes = self._work.notes
        killed = [each for each in chunk if notes.is_left(each)]
        chunk = [each for each in chunk if each not in killed]
        if chunk:
            self._left.update((each.folder_id, each.name) for each in chunk)
            self._send(line, chunk)
        if killed:
            for each in killed:
                logger.warning("passed over %s: %s", os.path.join(each.folder, each.name), KILLED)
            yield Results([failed(each, KILLED) for each in killed])

    def _accepted(self, results: Results) -> Results:
        for outcome in results.outcomes:
            self._left.discard((outcome.folder_id, outcome.name))
        return results

    def _begin(self) -> Begin:
        encoder, cluster, spec = self._work.encoder, self._cluster, self._work.encoder.spec
        gpus = cluster.gpus
        if gpus is None:
            gpus = 1.0 if (cluster.device or "").startswith("cuda") and isinstance(encoder, OnTorch) else 0.0
        task = Task(
            own_version(),
            spec.name,
            spec.fingerprint,
            spec.source,
            "cuda" if gpus else "cpu",
            cluster.precision or "auto",
            1,
            self._work.frames_per_minute,
        )
        gallery = str(self._work.gallery.path)
        return Begin(
            cluster.address, self._work.workers, cluster.cpus, gpus, task, gallery, self._work.encoder_id,
            files_to_send(encoder),
        )  # fmt: skip

    def _hear(self, line: Line) -> None:
        while (said := line.receive()) is not None:
            self._inbox.put(said)
        self._inbox.put(None)

    def _said(self, *, wait: bool = True) -> Any:
        """What the child process says next, but for remarks; None: nothing for a moment."""
        try:
            said = self._inbox.get(block=wait, timeout=_LOOK_SECONDS)
        except queue.Empty:
            return None
        if said is None:
            raise WorkersLost(
                "the process that speaks to Ray has ended", "run the command again: what was committed is kept"
            )
        if isinstance(said, Failed):
            raise WorkersLost(said.message, said.hint)
        if isinstance(said, Remark):
            self._cluster.tell(said.text)
        elif isinstance(said, Window):
            self._window = said.files
        return said

    def _send(self, line: Line, value: object) -> None:
        with suppress(OSError):  # it has ended: what it said last says why
            line.send(value)

"""The child process of a run that speaks to Ray: it holds the workers, gives them files and passes on their results.

A process of its own, because Ray's library ends the process that uses it when the head of the cluster is lost for a
minute, handles signals, and writes to stderr. The run sees only that its other end is gone, or a reason in words.

    python -m retrieval.indexing.cluster.bridge    speaks through its standard input and output
"""

from __future__ import annotations

import os
import queue
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from retrieval.gallery import Gallery
from retrieval.indexing.cluster import head
from retrieval.indexing.cluster.assignment import Assignment
from retrieval.indexing.cluster.model import agree
from retrieval.indexing.cluster.said import (
    Begin,
    Begun,
    Failed,
    Hello,
    Line,
    Over,
    Refusal,
    Remark,
    Stop,
    Taken,
    Window,
)
from retrieval.indexing.cluster.worker import Worker
from retrieval.indexing.known_bytes import KnownBytes
from retrieval.indexing.outcomes import Results

TAKE_SECONDS = 1.0
"""Longest wait of a worker that has nothing to say."""

LOOK_SECONDS = 0.05

BEGIN_SECONDS = 240.0
"""If no worker is there for this time, the run fails."""

STOP_SECONDS = 2.5
"""After a stop, workers have this time to give back what they have finished."""

MOST_LOSSES = 5
"""Workers that may be lost, per worker, without any result between: then the cause is not a machine."""

MOST_STILLBORN = 3
"""Workers that may be lost before they began, beyond one each."""


class Bridge:
    """One run's workers."""

    def __init__(self, ray: Any, line: Line, begin: Begin) -> None:
        self._ray, self._line, self._begin = ray, line, begin
        self._assignment = Assignment()
        self._lookups = KnownBytes(Gallery(begin.gallery).open_reader, begin.encoder_id)
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._task = begin.task
        self._actors: dict[int, Any] = {}
        self._hosts: dict[int, str] = {}
        self._hello: Hello | None = None
        self._awaited: dict[Any, int] = {}  # reference -> worker
        self._model: Any = None
        self._refused: list[Refusal] = []
        self._losses = self._made = 0
        self._stop_until: float | None = None

    def run(self) -> None:
        """Until the run has nothing more to say."""
        threading.Thread(target=self._listen, name="listening", daemon=True).start()
        resources = head.Resources(self._ray, self._begin)
        if not resources.are_enough:
            self._fail(
                f"no Ray worker has room: {resources.there_are}", "give less: --cpus-per-worker, --gpus-per-worker"
            )
        self._place, self._count = resources.of_each, resources.workers
        self._task = replace(self._task, threads=resources.threads)
        # The first one decides on the precision, which the others are told.
        self._start()
        at_work = time.monotonic()
        while self._hear():
            self._look()
            if self._hosts:
                at_work = time.monotonic()
            elif time.monotonic() - at_work > BEGIN_SECONDS:
                self._fail(
                    f"no Ray worker began within {BEGIN_SECONDS:.0f} seconds: {resources.there_are}",
                    "look at `ray status`, or ask for less: --workers, --cpus-per-worker, --gpus-per-worker",
                )
            if self._stop_until is not None and (not self._hosts or time.monotonic() > self._stop_until):
                break
            for worker in self._hosts if self._stop_until is None else ():
                while chunk := self._assignment.next_for(worker):
                    self._actors[worker].feed.remote(chunk)
        self._lookups.close()
        self._line.send(Over())

    def _listen(self) -> None:
        while (said := self._line.receive()) is not None:
            self._inbox.put(said)
        os._exit(0)  # the run is gone; Ray ends the workers of a program that is gone

    def _hear(self) -> bool:
        """Take what the run has said; False: it was the end."""
        while not self._inbox.empty():
            said = self._inbox.get()
            if isinstance(said, Over):
                return False
            if isinstance(said, Stop):
                self._stop_until = time.monotonic() + STOP_SECONDS
                for worker in self._hosts:
                    self._actors[worker].stop.remote()
            elif isinstance(said, list):
                self._assignment.put(said)
        return True

    def _start(self) -> None:
        self._made += 1
        worker = self._made
        actor = self._ray.remote(Worker).options(**self._place).remote()
        self._actors[worker] = actor
        self._awaited[actor.begin.remote(self._task)] = worker

    def _look(self) -> None:
        """Wait a moment for anything from any worker, and take all that has come."""
        references = list(self._awaited)
        if not references:
            time.sleep(LOOK_SECONDS)
            return
        came, _ = self._ray.wait(references, timeout=LOOK_SECONDS)
        if came:
            came, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        for reference in came:
            worker = self._awaited.pop(reference)
            try:
                said = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._lost(worker, error)
                continue
            if isinstance(said, Taken):
                self._took(worker, said)
            elif isinstance(said, Hello):
                self._joined(worker, said)
            else:
                self._refused_by(worker, said)

    def _joined(self, worker: int, hello: Hello) -> None:
        if self._hello is not None and not agree(self._hello.probe, hello.probe):
            self._refused_by(worker, Refusal(f"embeds pictures otherwise than {self._hello.host} does", "", hello.host))
            return
        is_first, self._hello = self._hello is None, self._hello or hello
        self._hosts[worker] = hello.host
        self._assignment.join(worker, hello.window)
        self._losses = 0
        if is_first:
            if hello.precision != "auto":
                self._task = replace(self._task, precision=hello.precision)
            self._line.send(Begun(hello.batch_size, f"workers  {self._count} of Ray, on {hello.device}"))
            for _ in range(self._count - 1):
                self._start()
        self._line.send(Window(self._assignment.window))
        self._await(worker)

    def _await(self, worker: int) -> None:
        self._awaited[self._actors[worker].take.remote(TAKE_SECONDS)] = worker

    def _refused_by(self, worker: int, refusal: Refusal) -> None:
        """Send a worker the model that it lacks, or do without it."""
        if refusal.lacks_model and self._begin.model:
            if self._model is None:
                self._model = self._ray.put({name: Path(file).read_bytes() for name, file in self._begin.model.items()})
            self._awaited[self._actors[worker].begin.remote(self._task, self._model)] = worker
            return
        self._refused.append(refusal)
        self._line.send(Remark(f"a worker on {refusal.host} is not used: {refusal.message}"))
        self._end(worker)
        if self._hello is None and len(self._refused) < self._count:
            self._start()
        elif not self._actors:
            self._fail(f"no Ray worker can be used; on {refusal.host}: {refusal.message}", refusal.hint or "see above")

    def _took(self, worker: int, taken: Taken) -> None:
        if taken.questions:
            self._actors[worker].answer.remote({digest: self._lookups.find(digest) for digest in taken.questions})
        for results in taken.results:
            results.outcomes = self._assignment.accepted(worker, results.outcomes)
            self._losses = 0
            self._line.send(results)
        if not taken.is_over:
            self._await(worker)
        elif self._stop_until is not None:
            self._end(worker)
        else:
            why = "it got notice of its end" if taken.error is None else taken.error.message
            self._replace(
                worker, f"the worker on {self._hosts[worker]} has ended: {why}", is_lost=taken.error is not None
            )

    def _lost(self, worker: int, error: Exception) -> None:
        if self._stop_until is not None:
            self._end(worker)
            return
        where = self._hosts.get(worker)
        if where is None:
            self._end(worker)
            self._losses += 1
            if self._losses > MOST_STILLBORN + self._count:
                self._fail(f"Ray workers cannot begin: {head.in_short(error)}",
                           "install photoseek on all machines of the cluster, and look into Ray's logs")  # fmt: skip
            self._start()
            return
        self._replace(worker, f"the worker on {where} was lost", is_lost=True)

    def _replace(self, worker: int, remark: str, *, is_lost: bool) -> None:
        given_up = self._assignment.leave(worker, is_lost=is_lost)
        self._end(worker)
        self._line.send(Remark(f"{remark}; others read its files again"))
        if given_up:
            self._line.send(Results(list(given_up)))
        self._line.send(Window(self._assignment.window))
        self._losses += is_lost
        if self._losses > MOST_LOSSES * self._count:
            self._fail(f"{self._losses} Ray workers ended without a result: {remark}", "look into Ray's logs there")
        self._start()

    def _end(self, worker: int) -> None:
        self._hosts.pop(worker, None)
        self._ray.kill(self._actors.pop(worker))

    def _fail(self, message: str, hint: str) -> NoReturn:
        end(self._line, message, hint)


def end(line: Line, message: str, hint: str) -> NoReturn:
    """Say why the run cannot go on, and end this process, whatever its threads do."""
    try:
        line.send(Failed(message, hint))
    finally:
        os._exit(3)


def main() -> None:
    line = Line(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # Ray's own processes need not have it
    os.dup2(2, 1)  # whatever Ray prints
    begin = line.receive()
    if not isinstance(begin, Begin):
        return
    ray = head.connected(begin, lambda message, hint: end(line, message, hint))
    try:
        Bridge(ray, line, begin).run()
    except Exception as error:
        end(line, f"the process that speaks to Ray failed: {type(error).__name__}: {head.in_short(error)}",
            "run the command again: what was committed is kept")  # fmt: skip
    head.leave(ray)
    os._exit(0)  # Ray's threads are not waited for


if __name__ == "__main__":
    main()

"""A bounded queue of jobs for a few threads; jobs beyond the limit are refused."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from retrieval.errors import Busy

T = TypeVar("T")


class Meter:
    """Receives measurements of waiting and encoding. This one ignores them; the HTTP server's metrics do not."""

    def waiting(self, queue: str, jobs: int) -> None:
        """The number of jobs waiting in a queue."""

    def spent(self, stage: str, seconds: float) -> None:
        """The duration of a stage of an answer."""

    def texts(self, how: str, count: int) -> None:
        """The number of texts that were ``asked`` for, or ``embedded`` because they were not cached."""


class Stopping(Busy):
    """The server is about to exit."""


@dataclass
class Job:
    """A function, and the future of its result.

    Args:
        do: called on one of the queue's threads with that thread's resource.
        texts: texts that it needs embedded.
    """

    do: Callable[[Any], Any]
    texts: tuple[str, ...] = ()
    future: Future[Any] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


class JobQueue:
    """Jobs in order of arrival, and the threads that run them.

    Args:
        name: of the threads, and in the metrics.
        work: run by each thread until :meth:`next` returns None.
        threads: number of threads.
        most: maximal number of waiting jobs.
        meter: receives measurements of them.
    """

    def __init__(
        self, name: str, work: Callable[[], None], threads: int, most: int, meter: Meter | None = None
    ) -> None:
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition()
        self._most, self._is_closed = most, False
        self._name, self._meter = name, meter or Meter()
        self._threads = [threading.Thread(target=work, name=f"{name}-{n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def put(self, job: Job) -> Future[Any]:
        """Add a job to the queue.

        Raises:
            Busy: too many jobs are waiting.
            Stopping: the queue is closed.
        """
        with self._ready:
            if self._is_closed:
                raise Stopping
            if len(self._jobs) >= self._most:
                self._drop_cancelled()
                if len(self._jobs) >= self._most:
                    raise Busy
            self._jobs.append(job)
            self._meter.waiting(self._name, len(self._jobs))
            self._ready.notify()
        return job.future

    async def done(self, job: Job) -> Any:
        """The result of a job; cancelling this removes the job from the queue, unless it has been started."""
        return await asyncio.wrap_future(self.put(job))

    def next(self) -> Job | None:
        """Wait for the first job of the queue and mark it as running; None if the queue is closed."""
        while True:
            with self._ready:
                while not self._jobs and not self._is_closed:
                    self._ready.wait()
                if not self._jobs:
                    return None
                job = self._jobs.popleft()
                self._meter.waiting(self._name, len(self._jobs))
            if job.future.set_running_or_notify_cancel():
                self._meter.spent("wait", time.perf_counter() - job.since)
                return job

    def waiting(self) -> Sequence[Job]:
        """The waiting jobs, in order of arrival."""
        with self._ready:
            return [job for job in self._jobs if not job.future.cancelled()]

    def close(self, within_s: float) -> bool:
        """Refuse waiting jobs and let running ones finish within this time; False if one is still running."""
        with self._ready:
            self._is_closed = True
            left, self._jobs = list(self._jobs), deque()
            self._ready.notify_all()
        for job in left:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(Stopping())
        until = time.monotonic() + within_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _drop_cancelled(self) -> None:
        """Remove jobs whose clients have gone."""
        self._jobs = deque(job for job in self._jobs if not job.future.cancelled())


def finish(job: Job, holder: Callable[[], Any]) -> None:
    """Run a job with the result of ``holder``; any error becomes the job's result."""
    try:
        result = job.do(holder())
    except BaseException as error:  # the thread must survive its jobs
        job.future.set_exception(error)
    else:
        job.future.set_result(result)

"""The thread that owns the query engine. Texts of waiting jobs are embedded together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from indexes.base import Vectors
from retrieval.errors import GalleryNotFound
from retrieval.gallery import Gallery
from retrieval.search.current import CurrentEngine
from retrieval.search.engine import QueryEngine
from retrieval.server.job_queue import Job, JobQueue, Meter, finish

logger = logging.getLogger("photoseek")

T = TypeVar("T")


@dataclass(frozen=True)
class EngineLimits:
    """The model of an engine thread, and its limits.

    Args:
        model: the name of one of the gallery's encoders; None follows the active one.
        max_waiting: jobs that may wait for the engine; further ones are refused.
        texts_at_once: texts that are encoded by the text tower in one call.
        texts_remembered: number of text embeddings kept in memory.
    """

    model: str | None = None
    max_waiting: int = 64
    texts_at_once: int = 32
    texts_remembered: int = 4096


class EngineThread:
    """One thread, one engine, one queue of jobs.

    If the texts of a job are not cached, the thread embeds them together with the texts of all waiting jobs, in one
    call of the text tower: fifty simultaneous searches need a few calls, not fifty.

    Args:
        gallery: may be empty.
        limits: see :class:`EngineLimits`.
        meter: receives measurements of waiting and encoding.
    """

    def __init__(self, gallery: Gallery, limits: EngineLimits, meter: Meter | None = None) -> None:
        self._limits, self._meter = limits, meter or Meter()
        self._current = CurrentEngine(gallery, model=limits.model, texts_remembered=limits.texts_remembered)
        self._queue = JobQueue("engine", self._work, 1, limits.max_waiting, meter)
        self._queue.start()

    async def run(self, do: Callable[[QueryEngine], T], texts: Sequence[str] = ()) -> T:
        """The result of ``do`` on the engine, on the engine thread.

        Args:
            do: raises what the engine raises; must not keep a reference to the engine.
            texts: the texts of the query that it will search for (values of its terms of kind ``text``); they are
                embedded beforehand, together with those of other jobs. An omitted text costs a separate call.

        Raises:
            GalleryNotFound: nothing is indexed yet.
            Busy: ``max_waiting`` jobs are already waiting.
        """
        result: T = await self._queue.done(Job(do, tuple(texts)))
        return result

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32 unit vectors of texts.

        Raises:
            TextNotSupported: the model has no text tower.
            Busy: see :meth:`run`.
        """

        def embedded(engine: QueryEngine) -> Vectors:
            known = engine.embedded(texts)
            return np.stack([known[text].vector for text in texts])

        return await self.run(embedded, texts)

    def close(self, within_s: float = 5.0) -> bool:
        """Refuse waiting jobs and let running ones finish within this time; False if one is still running."""
        return self._queue.close(within_s)

    # On the engine thread

    def _work(self) -> None:
        try:
            self._wake()
            while (job := self._queue.next()) is not None:
                finish(job, partial(self._engine_for, job))
        finally:
            self._current.close()

    def _wake(self) -> None:
        """Load the text tower and the index before they are needed."""
        try:
            self._current.wake()
        except GalleryNotFound:
            pass  # the page explains how to create one
        except Exception as error:  # clients will get the complete error
            logger.warning("%s", error)

    def _engine_for(self, job: Job) -> QueryEngine:
        """The engine, after embedding the texts of this job."""
        engine = self._current.engine()
        self._meter.texts("asked", len(job.texts))
        if new := self._unknown(job.texts):
            self._embed(engine, new)
        return engine

    def _embed(self, engine: QueryEngine, together: list[str]) -> None:
        """Embed texts, together with those of the waiting jobs.

        If that fails, each job will fail or succeed by itself later.
        """
        for other in self._queue.waiting():
            new = [text for text in self._unknown(other.texts) if text not in together]
            if len(together) + len(new) <= self._limits.texts_at_once:
                together += new
        self._meter.texts("embedded", len(together))
        start = time.perf_counter()
        with suppress(Exception):
            engine.embedded(together)
        self._meter.spent("encode", time.perf_counter() - start)

    def _unknown(self, texts: Sequence[str]) -> list[str]:
        known = self._current.memory.find(texts)
        return [text for text in dict.fromkeys(texts) if text not in known]

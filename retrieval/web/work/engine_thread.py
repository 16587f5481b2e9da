"""The thread that owns the query engine. Texts of waiting jobs are embedded together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import numpy as np

from indexes.base import Vectors
from retrieval.errors import GalleryNotFound
from retrieval.gallery import Gallery
from retrieval.search.current import CurrentEngine
from retrieval.search.engine import QueryEngine
from retrieval.web.front.metrics import TEXTS, stage
from retrieval.web.settings import Settings
from retrieval.web.work.job_queue import Job, JobQueue, finish

logger = logging.getLogger("photoseek")

T = TypeVar("T")


class EngineThread:
    """One thread, one engine, one queue of jobs.

    If the texts of a job are not cached, the thread embeds them together with the texts of all waiting jobs, in one
    call of the text tower: fifty simultaneous searches need a few calls, not fifty.

    Args:
        gallery: with or without something indexed in it.
        settings: ``model``, ``max_waiting``, ``texts_at_once``, ``texts_remembered``.
    """

    def __init__(self, gallery: Gallery, settings: Settings) -> None:
        self._settings = settings
        self._current = CurrentEngine(gallery, model=settings.model, texts_remembered=settings.texts_remembered)
        self._queue = JobQueue("engine", self._work, 1, settings.max_waiting)
        self._queue.start()

    async def run(self, do: Callable[[QueryEngine], T], texts: Sequence[str] = ()) -> T:
        """The result of ``do`` on the engine, on the engine thread.

        Args:
            do: raises what the engine raises; must not keep the engine.
            texts: the texts of the query that it will ask about (values of its terms of kind ``text``); they are
                embedded beforehand, together with those of other jobs. Leaving one out costs a call of its own.

        Raises:
            GalleryNotFound: nothing is indexed yet.
            Busy: ``max_waiting`` jobs wait already.
        """
        result: T = await self._queue.done(Job(do, tuple(texts)))
        return result

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32 unit vectors of texts.

        Raises:
            TextNotSupported: the model has no words.
            Busy: see :meth:`run`.
        """

        def embedded(engine: QueryEngine) -> Vectors:
            known = engine.embedded(texts)
            return np.stack([known[text].vector for text in texts])

        return await self.run(embedded, texts)

    def close(self, within_s: float = 5.0) -> bool:
        """Refuse what waits, let what runs finish for so long; False if it still runs."""
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
        """Load the text tower and the index before somebody waits for them."""
        try:
            self._current.wake()
        except GalleryNotFound:
            pass  # the page says how to make one
        except Exception as error:  # who asks will be told in full
            logger.warning("%s", error)

    def _engine_for(self, job: Job) -> QueryEngine:
        """The engine, when it knows the texts of this job."""
        engine = self._current.engine()
        TEXTS.labels("asked").inc(len(job.texts))
        if new := self._unknown(job.texts):
            self._embed(engine, new)
        return engine

    def _embed(self, engine: QueryEngine, together: list[str]) -> None:
        """Embed texts, and with them those of the jobs that wait.

        If that fails, each job finds out by itself whether it was the one.
        """
        for other in self._queue.waiting():
            new = [text for text in self._unknown(other.texts) if text not in together]
            if len(together) + len(new) <= self._settings.texts_at_once:
                together += new
        TEXTS.labels("embedded").inc(len(together))
        with stage("encode"), suppress(Exception):
            engine.embedded(together)

    def _unknown(self, texts: Sequence[str]) -> list[str]:
        known = self._current.memory.find(texts)
        return [text for text in dict.fromkeys(texts) if text not in known]

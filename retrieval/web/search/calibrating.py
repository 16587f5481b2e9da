"""Measure the calibration of relevance in the background of a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from indexes.base import Vectors
from retrieval.errors import Busy, EncoderError
from retrieval.labels.zeroshot import scale_and_bias
from retrieval.search.calibration import Calibration, everyday, kept_calibration, new_calibration, unlikely
from retrieval.server.job_queue import Stopping

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine
    from retrieval.server.engine_thread import EngineThread

logger = logging.getLogger("photoseek")

T = TypeVar("T")

_TEXTS_AT_ONCE = 8
"""Texts embedded at once, of seven hundred (seconds with a large text tower): a search waits for at most this many."""

_TRY_AGAIN_S = 0.5


class Calibrations:
    """The calibration of the gallery's encoder, once it is known."""

    def __init__(self) -> None:
        self._known: tuple[tuple[str, int], Calibration] | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_failed = False

    def of(self, engine: QueryEngine) -> Calibration | None:
        """The calibration; None if it still has to be measured. On the engine thread."""
        key = (engine.encoder_row.fingerprint, len(engine.index))
        if self._known is not None and self._known[0] == key:
            return self._known[1]
        found = kept_calibration(engine) or _needs_nothing(engine)
        if found is not None:
            self._known = key, found
        return found

    def start(self, engine_thread: EngineThread) -> None:
        """Start measuring, unless that is in progress or failed before."""
        if not self._has_failed:
            self._running(engine_thread)

    async def measured(self, engine_thread: EngineThread) -> None:
        """Measure, and wait for the result.

        Raises:
            RetrievalError: raised by the engine.
        """
        await asyncio.shield(self._running(engine_thread))

    def _running(self, engine_thread: EngineThread) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._measure(engine_thread))
            self._task.add_done_callback(self._ended)
        return self._task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._has_failed = error is not None and not isinstance(error, Busy)
        if self._has_failed:
            logger.warning("relevance cannot be measured: %s", error)

    async def _measure(self, engine_thread: EngineThread) -> None:
        texts = [*everyday(), *unlikely()]
        made: list[Vectors] = []
        whose: set[str] = set()
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            fingerprint, vectors = await _patiently(
                engine_thread, partial(_embedded, texts[start : start + _TEXTS_AT_ONCE])
            )
            whose.add(fingerprint)
            made.append(vectors)
        rows = dict(zip(texts, np.concatenate(made), strict=True))
        await _patiently(engine_thread, partial(self._finish, rows, whose))

    def _finish(self, rows: dict[str, Vectors], whose: set[str], engine: QueryEngine) -> None:
        if whose == {engine.encoder_row.fingerprint}:  # otherwise the model was replaced in the meantime
            new_calibration(engine, lambda texts: np.stack([rows[text] for text in texts]))


def _needs_nothing(engine: QueryEngine) -> Calibration | None:
    """The calibration of an encoder whose own probabilities are used; None for others, and for an encoder that is no
    longer installed, whose embeddings can still be searched."""
    try:
        has_bias = scale_and_bias(engine.encoder.spec)[1] is not None
    except EncoderError:
        return None
    return new_calibration(engine, engine.encoder.encode_texts) if has_bias else None


def _embedded(texts: Sequence[str], engine: QueryEngine) -> tuple[str, Vectors]:
    return engine.encoder_row.fingerprint, engine.encoder.encode_texts(texts)


async def _patiently(engine_thread: EngineThread, do: Callable[[QueryEngine], T]) -> T:
    """People's searches come first: if too many of them are waiting, wait."""
    while True:
        try:
            return await engine_thread.run(do)
        except Stopping:
            raise
        except Busy:
            await asyncio.sleep(_TRY_AGAIN_S)

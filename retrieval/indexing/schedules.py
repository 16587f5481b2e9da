"""Two schedulers of work on threads: in order, unless something is slow, and with bounded memory. They are independent
of the kind of work.

The caller's thread supplies the work and takes the results, so its source (a walk that reads the catalog)
stays in that thread. Workers never wait for it while there is work left.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

LOOKAHEAD = 3
"""Chunks per worker that may be waiting or done. More only helps if one chunk is much slower than the others."""

BATCHES = 3
"""Batches between the decoders and the results, each of them decoding, decoded or on the device. One is passed on
while the others keep the device busy: a commit may take as long as two batches before the device becomes idle."""

PIECE = 8
"""Files that a decoder takes at a time: few, so that a batch is spread over all of them."""

_Item = TypeVar("_Item")
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")

Collect = Callable[[], _Result]
"""The rest of a started batch: waits for the device and returns the result."""


_LOOK_SECONDS = 0.25
"""How often the caller is asked whether to stop while it waits for a result."""


def _nothing() -> None:
    pass


def each_on_its_own(
    chunks: Iterator[Sequence[_Item]],
    work: Callable[[Sequence[_Item]], _Result],
    *,
    workers: int,
    stop: Callable[[], bool],
    overtaken_after: float = math.inf,
    leaving: Callable[[], None] = _nothing,
) -> Iterator[_Result | None]:
    """Every worker does all the work on a chunk. For stages that need the same cores.

    Args:
        chunks: an empty one means that the next takes a while: finished results are passed on without waiting for it,
            and a None if there is no work.
        stop: once it returns True no further chunk is started; chunks in flight are finished and yielded. It is also
            asked while a result is awaited.
        overtaken_after: seconds; a chunk that takes longer is overtaken by those behind it that are done.
        leaving: called when the caller leaves early or anything fails, before the threads are waited for.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="photoseek-worker") as pool:

        def submit(chunk: Sequence[_Item]) -> _Batch[_Result]:
            future = pool.submit(work, chunk)
            return _Batch([future], future)

        yield from _results(submit, chunks, workers * LOOKAHEAD, stop, overtaken_after, leaving)


def ahead_of_device(
    batches: Iterator[Sequence[_Item]],
    prepare: Callable[[Sequence[_Item]], _Part],
    start: Callable[[list[_Part]], Collect[_Result]],
    *,
    workers: int,
    stop: Callable[[], bool],
    overtaken_after: float = math.inf,
    leaving: Callable[[], None] = _nothing,
) -> Iterator[_Result | None]:
    """Workers prepare the next batches while a device works on the present one.

    Each of the four steps has threads of its own: preparing, starting batches on the device, collecting their results,
    and the caller's processing. So batch i + 1 is started while i computes, if ``start`` does not wait
    for the device, and the next batches are prepared while the caller is busy.

    Args:
        batches: an empty one means that the next takes a while, see :func:`each_on_its_own`. One of several hundred
            files is split into pieces; a short one is started as it is.
        prepare: called by ``workers`` threads with up to :data:`PIECE` items of one batch.
        start: called by one thread with the prepared pieces of one batch, in order; its result is called by
            another. Both may raise: the exception reaches the caller in the batch's place.
        stop: once it returns True no further piece is prepared; what is prepared goes through the device.
        overtaken_after, leaving: see :func:`each_on_its_own`.
    """
    abandoned = threading.Event()
    with (
        ThreadPoolExecutor(1, thread_name_prefix="photoseek-results") as results,
        ThreadPoolExecutor(1, thread_name_prefix="photoseek-device") as device,
        ThreadPoolExecutor(workers, thread_name_prefix="photoseek-decode") as decoders,
    ):

        def started(pieces: list[Future[_Part]]) -> Collect[_Result]:
            parts = _uncancelled(pieces)
            if abandoned.is_set():
                raise CancelledError
            return start(parts)

        def submit(batch: Sequence[_Item]) -> _Batch[_Result]:
            pieces = [decoders.submit(prepare, batch[at : at + PIECE]) for at in range(0, len(batch), PIECE)]
            on_device = device.submit(started, pieces)
            return _Batch(pieces, results.submit(lambda: on_device.result()()))

        try:
            yield from _results(submit, batches, BATCHES, stop, overtaken_after, leaving)
        finally:
            abandoned.set()
            decoders.shutdown(wait=False, cancel_futures=True)


class _Batch(Generic[_Result]):
    """A batch in progress: when cancelled, it continues with the pieces that are prepared or being prepared."""

    def __init__(self, pieces: Sequence[Future[Any]], future: Future[_Result]) -> None:
        self._pieces, self.future = pieces, future

    def cancel(self) -> bool:
        """Start no more of it; True if it will have no result."""
        kept = [piece for piece in reversed(self._pieces) if not piece.cancel()]
        return not kept

    def result(self) -> _Result:
        """Waits for it."""
        return self.future.result()


def _uncancelled(pieces: Sequence[Future[_Part]]) -> list[_Part]:
    """The results of the pieces up to the first that was cancelled; later ones were cancelled before it."""
    parts = []
    for piece in pieces:
        try:
            parts.append(piece.result())
        except CancelledError:
            break
    return parts


def _results(
    submit: Callable[[Sequence[_Item]], _Batch[_Result]],
    chunks: Iterator[Sequence[_Item]],
    ahead: int,
    stop: Callable[[], bool],
    overtaken_after: float,
    leaving: Callable[[], None],
) -> Iterator[_Result | None]:
    """Submit chunks as they come, at most ``ahead`` unfinished ones, and yield their results in order."""
    pending: deque[_Batch[_Result]] = deque()
    try:
        while not stop():
            is_idle = False
            while len(pending) < ahead and not is_idle:
                chunk = next(chunks, None)
                if chunk is None:
                    break
                if chunk:
                    pending.append(submit(chunk))
                else:  # nothing new for a while: finished results must not wait for it
                    is_idle = not pending or pending[0].future.done()
            if not pending:
                if not is_idle:
                    return
                yield None
                continue
            first = _awaited(pending, stop, overtaken_after)
            if first is None:
                break
            pending.remove(first)
            yield first.result()
        # All at once: a worker takes the next chunk while the previous result is awaited. The last one
        # first: a worker that finds a cancelled chunk continues with the one after it, which would leave a gap.
        kept = [batch for batch in reversed(pending) if not batch.cancel()]
        for batch in reversed(kept):
            yield batch.result()
    except BaseException:
        leaving()
        raise
    finally:
        for batch in reversed(pending):
            batch.cancel()


def _awaited(
    pending: Sequence[_Batch[_Result]], stop: Callable[[], bool], overtaken_after: float
) -> _Batch[_Result] | None:
    """The first batch, once it is done; or after a while, any that is done; None if a stop came first."""
    since = time.monotonic()
    while not pending[0].future.done():
        if time.monotonic() - since > overtaken_after:
            done = next((batch for batch in pending if batch.future.done()), None)
            if done is not None:
                return done
            awaited = [batch.future for batch in pending]
        else:
            awaited = [pending[0].future]
        wait(awaited, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
        if not pending[0].future.done() and stop():
            return None
    return pending[0]

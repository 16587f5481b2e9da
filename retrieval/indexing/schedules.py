"""Two schedulers of work on threads: in order, with bounded memory. They are independent of the kind of work.

The caller's thread hands out the work and takes the results, so whatever feeds it (a walk that reads the catalog)
stays in that thread. Workers never wait for it while there is work under way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

LOOKAHEAD = 3
"""Chunks per worker that may be waiting or done. More only helps when one chunk is much slower than the others."""

BATCHES = 3
"""Batches between the decoders and the results, each of them decoding, decoded or on the device. One is handed over
while the others keep the device busy: a commit may take as long as two batches before the device waits for it."""

PIECE = 8
"""Files that a decoder takes at a time: few, so that a batch is spread over all of them."""

_Item = TypeVar("_Item")
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)

Collect = Callable[[], _Result]
"""What a started batch leaves behind: waits for the device and gives the result."""


class _Pending(Protocol[_Result_co]):
    """What :func:`_in_order` needs of work under way."""

    def done(self) -> bool: ...

    def cancel(self) -> bool:
        """Start no more of it; True if it will have no result at all."""
        ...

    def result(self) -> _Result_co: ...


def each_on_its_own(
    chunks: Iterator[Sequence[_Item]],
    work: Callable[[Sequence[_Item]], _Result],
    *,
    workers: int,
    stop: Callable[[], bool],
) -> Iterator[_Result]:
    """Every worker does all of a chunk's work. For stages that need the same cores.

    Args:
        chunks: an empty one says that the next takes a while: what is done is handed on and not kept for it.
        stop: once it returns True no further chunk is started; chunks in flight are finished and yielded.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="photoseek-worker") as pool:
        yield from _in_order(lambda chunk: pool.submit(work, chunk), chunks, workers * LOOKAHEAD, stop)


def ahead_of_device(
    batches: Iterator[Sequence[_Item]],
    prepare: Callable[[Sequence[_Item]], _Part],
    start: Callable[[list[_Part]], Collect[_Result]],
    *,
    workers: int,
    stop: Callable[[], bool],
) -> Iterator[_Result]:
    """Workers prepare the batches that come next while a device works on the present one.

    Each of the four has threads of its own: preparing, starting batches on the device, collecting their results,
    and whatever the caller does with them. So batch i + 1 is started while i computes, if ``start`` does not wait
    for the device, and the next batches are prepared whatever the caller is busy with.

    Args:
        batches: an empty one says that the next takes a while, see :func:`each_on_its_own`. One of several hundred
            files is handed out in pieces; a short one is started as it is.
        prepare: called by ``workers`` threads with up to :data:`PIECE` items of one batch.
        start: called by one thread with the prepared pieces of one batch, in order; what it returns is called by
            another. Both may raise: the exception reaches the caller in the batch's place.
        stop: once it returns True no further piece is prepared; what is prepared goes through the device.
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
            yield from _in_order(submit, batches, BATCHES, stop)
        finally:
            abandoned.set()
            decoders.shutdown(wait=False, cancel_futures=True)


class _Batch(_Pending[_Result]):
    """A batch on its way: stopped, it goes on with the pieces that are prepared or being so."""

    def __init__(self, pieces: Sequence[Future[_Part]], future: Future[_Result]) -> None:
        self._pieces, self._future = pieces, future

    def done(self) -> bool:
        return self._future.done()

    def cancel(self) -> bool:
        kept = [piece for piece in reversed(self._pieces) if not piece.cancel()]
        return not kept

    def result(self) -> _Result:
        return self._future.result()


def _uncancelled(pieces: Sequence[Future[_Part]]) -> list[_Part]:
    """The results of the pieces up to the first that was cancelled; those behind it were cancelled before."""
    parts = []
    for piece in pieces:
        try:
            parts.append(piece.result())
        except CancelledError:
            break
    return parts


def _in_order(
    submit: Callable[[Sequence[_Item]], _Pending[_Result]],
    chunks: Iterator[Sequence[_Item]],
    ahead: int,
    stop: Callable[[], bool],
) -> Iterator[_Result]:
    """Submit chunks as they come, at most ``ahead`` unfinished ones, and yield their results in order."""
    pending: deque[_Pending[_Result]] = deque()
    try:
        while not stop():
            while len(pending) < ahead:
                chunk = next(chunks, None)
                if chunk is None:
                    break
                if chunk:
                    pending.append(submit(chunk))
                elif pending and pending[0].done():
                    break  # nothing new for a while: what is done must not wait for it
            if not pending:
                return
            yield pending.popleft().result()
        # All at once: a worker takes the next chunk while the result of the one before is waited for. The last one
        # first: a worker that finds a cancelled chunk goes on with the one behind it, which would leave a gap.
        kept = [future for future in reversed(pending) if not future.cancel()]
        for future in reversed(kept):
            yield future.result()
    finally:
        for future in reversed(pending):
            future.cancel()

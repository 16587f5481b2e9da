"""Training pictures as uint8 squares: decoded by the code used for indexing, kept in memory as long as they fit."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.base import Pixels, Preprocessing
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import QueryError, UnreadableImage
from retrieval.lab.training.pairs import Pairs
from retrieval.lab.training.sources import Source
from retrieval.pictures.images import content_hash, read_picture
from retrieval.regular_files import describe_os_error
from retrieval.streams import plural

logger = logging.getLogger("photoseek")

MEMORY_BYTES = 2 << 30
"""Limit of decoded pictures in memory: 170,000 of 64 px, or 11,000 of 256 px. The rest is decoded in every epoch."""

_NAMED = 5
_AHEAD = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Loaded:
    """Pairs whose pictures can be read, and access to their pixels.

    Attributes:
        pairs: without the unreadable pictures.
        digests: content hash of each picture's bytes.
        failed: name and reason of the unreadable ones.
        preprocessing: used by :meth:`pixels`.
        stored: (n, 3, size, size) uint8, or None if that does not fit in memory.
    """

    pairs: Pairs
    digests: tuple[bytes, ...]
    failed: tuple[tuple[str, str], ...]
    preprocessing: Preprocessing
    stored: Pixels | None

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, rows: NDArray[np.int64]) -> Loaded:
        """The pictures at ``rows``."""
        return replace(
            self,
            pairs=self.pairs.take(rows),
            digests=tuple(self.digests[row] for row in rows.tolist()),
            stored=None if self.stored is None else self.stored[rows],
        )

    def pixels(self, rows: NDArray[np.int64]) -> Pixels:
        """(n, 3, size, size) uint8. A picture that has become unreadable is grey, so that a long run continues."""
        if self.stored is not None:
            return self.stored[rows]
        with ThreadPoolExecutor(available_cpus()) as pool:
            made = pool.map(lambda row: _decoded(self.pairs.sources[row], self.preprocessing), rows.tolist())
            side = self.preprocessing.size
            grey = np.full((3, side, side), 128, np.uint8)
            return np.stack([grey if isinstance(each, str) else each[1] for each in made])

    def batches(self, groups: Sequence[NDArray[np.int64]]) -> Iterator[Pixels]:
        """:meth:`pixels` of each group in turn; the next one is decoded while one is being used."""
        if self.stored is not None:
            yield from map(self.pixels, groups)
            return
        with ThreadPoolExecutor(1) as ahead:
            yield from _ordered(ahead, self.pixels, groups, 2)


def load_pictures(
    pairs: Pairs,
    preprocessing: Preprocessing,
    *,
    memory: int = MEMORY_BYTES,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Loaded:
    """Read and decode every picture once; unusable ones are left out, and the first of them are reported.

    Args:
        preprocessing: usually the encoder's, with a larger size if pictures will be cropped at random.
        memory: maximal number of bytes of pixels to keep.
        on_progress: called with the number of processed pictures, and of all.

    Raises:
        QueryError: no picture can be used.
    """
    side, total = preprocessing.size, len(pairs)
    fits = total * 3 * side * side <= memory
    stored = np.empty((total if fits else 0, 3, side, side), np.uint8)
    digests: list[bytes] = []
    good: list[int] = []
    failed: list[tuple[str, str]] = []
    with ThreadPoolExecutor(available_cpus()) as pool:
        results = _ordered(
            pool, lambda source: _decoded(source, preprocessing), pairs.sources, _AHEAD * available_cpus()
        )
        for row, made in enumerate(results):
            if isinstance(made, str):
                failed.append((pairs.sources[row].name, made))
            else:
                if fits:
                    stored[len(good)] = made[1]
                good.append(row)
                digests.append(made[0])
            on_progress(row + 1, total)
    for name, reason in failed[:_NAMED]:
        logger.warning("left out: %s: %s", name, reason)
    if len(failed) > _NAMED:
        logger.warning("left out: %s in all", plural(len(failed), "picture"))
    if not good:
        name, reason = failed[0]
        raise QueryError(
            f"none of {plural(total, 'picture')} can be used: {name}: {reason}", "are the paths relative to the file?"
        )
    kept = pairs.take(np.array(good, dtype=np.int64))
    return Loaded(kept, tuple(digests), tuple(failed), preprocessing, stored[: len(good)] if fits else None)


def _decoded(source: Source, preprocessing: Preprocessing) -> tuple[bytes, NDArray[np.uint8]] | str:
    try:
        data = source.read()
        return content_hash(data), read_picture(data, preprocessing).pixels
    except OSError as error:
        return describe_os_error(error) if error.errno else str(error.strerror)
    except UnreadableImage as error:
        return error.reason


def _ordered(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Sequence[Item], ahead: int
) -> Iterator[Result]:
    """``map`` that computes at most ``ahead`` items in advance."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()

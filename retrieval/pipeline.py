"""From files to embeddings: read, hash, decode and encode, on every core, in order, in bounded memory.

Two schedules, chosen by what the encoder says of itself:

* a CPU encoder offers several one-thread streams: one worker per stream reads, decodes *and* encodes its own chunk
  of files. Both stages need the same cores, so handing pictures from a decoding pool to an encoding pool only makes
  the two pools fight (measured on 2 cores: this schedule is first in every case, and at the bound of
  1 / (1/decode + 1/encode)).
* a GPU encoder wants one caller with large batches: threads decode ahead of it, and it runs in a thread of its own,
  so that neither decoding nor a database commit leaves the device idle.

Either way results come back in the order of the files, and at most ``LOOKAHEAD`` chunks per worker are in memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from retrieval.batch import FailedImage, IndexedImage, Metadata
from retrieval.encoders.base import Encoder, Pixels
from retrieval.errors import EncoderError, UnreadableImage
from retrieval.images import Picture, content_hash, read_picture
from retrieval.reader import CatalogReader
from retrieval.records import pack_vector
from retrieval.scan import describe_os_error

LOOKAHEAD = 3
"""Chunks per worker that may be waiting or done. More only helps when one chunk is much slower than the others."""

MAX_FILE_BYTES = 1 << 30
"""A larger file is recorded as a failure: it would be read into memory whole."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is new or changed, as the walk saw it."""

    folder_id: int
    folder: str
    name: str
    size: int
    mtime_ns: int


@dataclass
class Timings:
    """Seconds spent per stage, added up over all threads."""

    read: float = 0.0  # file system, and the content hash
    decode: float = 0.0
    encode: float = 0.0


@dataclass
class Results:
    """What became of a chunk of files, in their order."""

    outcomes: list[IndexedImage | FailedImage] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    encoded: int = 0


@dataclass
class _Prepared:
    """A chunk after reading and decoding: settled outcomes, and pictures that still need their embedding."""

    settled: list[IndexedImage | FailedImage | None]  # None: the next of ``waiting`` belongs here
    waiting: list[tuple[Candidate, bytes, Picture]]
    timings: Timings


class Pipeline:
    """Turns candidates into catalog rows with one encoder.

    Args:
        encoder: decides the schedule through its ``streams``.
        catalog_path: where to look up bytes that are already embedded, before they are decoded.
        encoder_id: the encoder's row in that catalog.
        workers: threads; default: the encoder's streams, or (for one stream) every core.
    """

    def __init__(self, encoder: Encoder, catalog_path: Path, encoder_id: int, *, workers: int | None = None) -> None:
        self._encoder = encoder
        self._catalog_path = catalog_path
        self._encoder_id = encoder_id
        self._readers = threading.local()
        self._open_readers: list[CatalogReader] = []
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._workers = workers or (encoder.streams if encoder.streams > 1 else cores)

    def run(self, candidates: Iterable[Candidate | None], *, stop: Callable[[], bool]) -> Iterator[Results]:
        """Process all candidates; results in their order.

        Args:
            candidates: None among them says that no other came for a while: what is there is then worked off, so
                that three new files before a walk of minutes do not wait for its end.
            stop: once it returns True no further chunk is started; chunks in flight are finished and yielded.
        """
        chunks = _chunks(candidates, self._encoder.batch_size if self._encoder.streams > 1 else 8)
        schedule = self._each_on_its_own if self._encoder.streams > 1 else self._decode_ahead
        try:
            yield from schedule(chunks, stop)
        finally:
            for reader in self._open_readers:
                reader.close()
            self._open_readers.clear()

    def _each_on_its_own(self, chunks: Iterator[list[Candidate]], stop: Callable[[], bool]) -> Iterator[Results]:
        with ThreadPoolExecutor(self._workers, thread_name_prefix="photoseek-worker") as pool:
            yield from _in_order(
                lambda chunk: pool.submit(self._process, chunk), chunks, self._workers * LOOKAHEAD, stop
            )

    def _decode_ahead(self, chunks: Iterator[list[Candidate]], stop: Callable[[], bool]) -> Iterator[Results]:
        # Two batches under way besides the decoded ones: one on the device, one whose copy can start.
        ahead = max(self._workers * LOOKAHEAD, 2 * self._encoder.batch_size // 8 + 1)
        with (
            ThreadPoolExecutor(self._workers, thread_name_prefix="photoseek-decode") as decoders,
            ThreadPoolExecutor(1, thread_name_prefix="photoseek-device") as device,
        ):
            prepared = _in_order(lambda chunk: decoders.submit(self._prepare, chunk), chunks, ahead, stop)
            batches = _full_batches(prepared, self._encoder.batch_size)
            yield from _in_order(lambda batch: device.submit(self._finish, batch), batches, 2, lambda: False)

    def _process(self, chunk: list[Candidate]) -> Results:
        return self._finish([self._prepare(chunk)])

    def _prepare(self, chunk: list[Candidate]) -> _Prepared:
        """Read, hash and (unless the bytes are known) decode every file of a chunk."""
        prepared = _Prepared([], [], Timings())
        for candidate in chunk:
            try:
                self._prepare_one(candidate, prepared)
            except OSError as error:
                prepared.settled.append(_failed(candidate, describe_os_error(error), is_transient=True))
            except UnreadableImage as error:
                prepared.settled.append(_failed(candidate, error.reason))
        return prepared

    def _prepare_one(self, candidate: Candidate, prepared: _Prepared) -> None:
        started = time.perf_counter()
        data, candidate = _read(candidate)
        digest = content_hash(data)
        known = self._reader().embedding_of(digest, self._encoder_id)
        read = time.perf_counter()
        prepared.timings.read += read - started
        if known is not None:
            vector, columns = known
            prepared.settled.append(_indexed(candidate, digest, Metadata(*columns), vector, is_reused=True))
            return
        try:
            picture = read_picture(data, self._encoder.spec.preprocessing)
        finally:
            prepared.timings.decode += time.perf_counter() - read
        prepared.settled.append(None)
        prepared.waiting.append((candidate, digest, picture))

    def _finish(self, chunks: list[_Prepared]) -> Results:
        """Encode what the chunks still wait for, in one batch."""
        waiting = [item for chunk in chunks for item in chunk.waiting]
        results = Results()
        started = time.perf_counter()
        embedded = iter(self._embed(waiting))
        results.timings.encode = time.perf_counter() - started
        for chunk in chunks:
            results.timings.read += chunk.timings.read
            results.timings.decode += chunk.timings.decode
            results.outcomes += [next(embedded) if outcome is None else outcome for outcome in chunk.settled]
        results.encoded = len(waiting)
        return results

    def _embed(self, waiting: Sequence[tuple[Candidate, bytes, Picture]]) -> list[IndexedImage | FailedImage]:
        if not waiting:
            return []
        pixels: Pixels = np.stack([picture.pixels for _, _, picture in waiting])
        try:
            vectors = self._encoder.encode_images(pixels)
        except EncoderError as error:
            if type(error) is not EncoderError:
                raise  # missing weights or libraries: the fault of no picture, and the same for all
            if len(waiting) == 1:
                return [_failed(waiting[0][0], error.message)]
            # One picture that upsets the model must not take its neighbours with it.
            return [outcome for item in waiting for outcome in self._embed([item])]
        return [
            _indexed(candidate, digest, _metadata(picture), pack_vector(vector))
            for (candidate, digest, picture), vector in zip(waiting, vectors, strict=True)
        ]

    def _reader(self) -> CatalogReader:
        reader: CatalogReader | None = getattr(self._readers, "reader", None)
        if reader is None:
            reader = self._readers.reader = CatalogReader(self._catalog_path)
            self._open_readers.append(reader)
        return reader


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def _in_order(
    submit: Callable[[_Item], Future[_Result]], items: Iterator[_Item], ahead: int, stop: Callable[[], bool]
) -> Iterator[_Result]:
    """Submit items as they come, at most ``ahead`` unfinished ones, and yield their results in order.

    An empty item says that the next one takes a while.
    """
    pending: deque[Future[_Result]] = deque()
    try:
        while not stop():
            while len(pending) < ahead:
                item = next(items, None)
                if item is None:
                    break
                if item:
                    pending.append(submit(item))
                elif pending and pending[0].done():
                    break  # nothing new for a while: what is done must not wait for it
            if not pending:
                return
            yield pending.popleft().result()
        # All at once: a worker takes the next chunk while the result of the one before is waited for.
        for future in [future for future in pending if not future.cancel()]:
            yield future.result()
    finally:
        for future in pending:
            future.cancel()


def _full_batches(prepared: Iterator[_Prepared], size: int) -> Iterator[list[_Prepared]]:
    """Group decoded chunks until ``size`` pictures wait for the encoder."""
    batch: list[_Prepared] = []
    waiting = 0
    for chunk in prepared:
        batch.append(chunk)
        waiting += len(chunk.waiting)
        if waiting + 8 > size:
            yield batch
            batch, waiting = [], 0
    if batch:
        yield batch


def _chunks(candidates: Iterable[Candidate | None], size: int) -> Iterator[list[Candidate]]:
    """Full chunks, and at a None what there is, which may be nothing."""
    chunk: list[Candidate] = []
    for candidate in candidates:
        if candidate is not None:
            chunk.append(candidate)
        if candidate is None or len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read(candidate: Candidate) -> tuple[bytes, Candidate]:
    """The whole file, and the candidate with the size and time that belong to exactly these bytes."""
    with Path(candidate.folder, candidate.name).open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_size > MAX_FILE_BYTES:
            raise UnreadableImage(f"file of {found.st_size >> 20} MiB, limit is {MAX_FILE_BYTES >> 20} MiB")
        data = file.read()
        after = os.fstat(file.fileno())
    if len(data) != found.st_size or after.st_mtime_ns != found.st_mtime_ns:
        raise InterruptedError(0, "changed while it was read")
    return data, Candidate(candidate.folder_id, candidate.folder, candidate.name, found.st_size, found.st_mtime_ns)


def _indexed(
    candidate: Candidate, digest: bytes, metadata: Metadata, vector: bytes, *, is_reused: bool = False
) -> IndexedImage:
    return IndexedImage(
        folder_id=candidate.folder_id,
        name=candidate.name,
        size=candidate.size,
        mtime_ns=candidate.mtime_ns,
        content_hash=digest,
        metadata=metadata,
        vector=vector,
        is_reused=is_reused,
    )


def _failed(candidate: Candidate, reason: str, *, is_transient: bool = False) -> FailedImage:
    return FailedImage(candidate.folder_id, candidate.name, candidate.size, candidate.mtime_ns, reason, is_transient)


def _metadata(picture: Picture) -> Metadata:
    exif = picture.exif
    return Metadata(
        format=picture.format,
        width=picture.width,
        height=picture.height,
        taken_at=None if exif.taken_at is None else exif.taken_at.isoformat(timespec="seconds"),
        taken_offset_minutes=exif.offset_minutes,
        camera=exif.camera,
        lens=exif.lens,
        latitude=exif.latitude,
        longitude=exif.longitude,
    )

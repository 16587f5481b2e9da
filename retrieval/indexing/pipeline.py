"""From files to embeddings: read, hash, decode and encode, on all cores, in order, with bounded memory.

Two schedules, chosen by the encoder's properties:

* a CPU encoder offers several one-thread streams: one worker per stream reads, decodes *and* encodes its own chunk
  of files. Both stages need the same cores, so separate pools for decoding and encoding only compete for
  them (measured on 2 cores: this schedule is the fastest in every case, and at the bound of
  1 / (1/decode + 1/encode)).
* a GPU encoder needs one caller with large batches: threads decode ahead of it, and it runs in a thread of its own,
  so that neither decoding nor a database commit leaves the device idle (not measured on a GPU). They may pass plain
  JPEGs to the same device, a few at a time (``device_images``).

In both cases results come in the order of the files, except that none waits for long for one that is slow
(``late_files``), and memory holds at most ``schedules.LOOKAHEAD`` chunks per worker, or ``schedules.BATCHES`` batches.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol

import numpy as np

from retrieval.catalog.batch import Metadata
from retrieval.encoders.base import DeviceEncoder, Encoder
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import EncoderError, SettingsError, UnreadableImage
from retrieval.free_memory import NO_MEMORY
from retrieval.indexing.candidates import Candidate, hash_candidate, in_chunks, is_video, read_candidate
from retrieval.indexing.described import metadata_of, metadata_of_video, with_later
from retrieval.indexing.doubtful_notes import KILLED, DoubtfulNotes
from retrieval.indexing.known_bytes import Lookups
from retrieval.indexing.late_files import LateFiles
from retrieval.indexing.outcomes import Outcome, Prepared, Results, Waiting, failed, indexed, merged, rows_of
from retrieval.indexing.reading_ahead import Ahead, reading_ahead
from retrieval.indexing.schedules import Collect, ahead_of_device, each_on_its_own
from retrieval.labels.pairing import Sidecars
from retrieval.labels.written import completed
from retrieval.pictures.decoders import Abandoned, abandonable
from retrieval.pictures.doubtful import Doubt, doubt_of
from retrieval.pictures.images import Picture, content_hash, read_picture
from retrieval.pictures.video import FRAMES_PER_MINUTE, read_video
from retrieval.regular_files import describe_os_error

logger = logging.getLogger("photoseek")

_LOOK_SECONDS = 0.25

OVERTAKEN_SECONDS = 10.0
"""A chunk that takes longer is overtaken by those behind it."""

GRACE_SECONDS = 1.0
"""After a stop, workers go on with their chunks for this long; what is left of them is for the next run."""

HELD_BYTES = 32 << 20
"""Files that a worker collects for a decoder of several at a time: typically eight JPEGs of 12 megapixels."""


class PictureDecoder(Protocol):
    """A replacement for ``read_picture`` that reads several pictures at a time."""

    def read(self, files: Sequence[bytes]) -> list[Picture | UnreadableImage]:
        """A picture, or the reason why there is none, for each file; called by many threads."""
        ...

    def leave(self, reason: str) -> None:
        """Count a file that is decoded elsewhere, and why; called by many threads."""
        ...


class Pipeline:
    """Turns candidates into catalog rows with one encoder.

    Args:
        encoder: determines the schedule through its ``streams``.
        lookups: where bytes are looked up before they are decoded: some are embedded already. Closed after the run.
        workers: threads; default: the encoder's streams, or (for one stream) every core.
        decoder: reads the pictures in place of ``read_picture``.
        frames_per_minute: maximum for videos.
        notes: where files are noted that may make the system kill this program; None: nowhere.
        is_ahead: decode ahead of one caller of the encoder; default: if the encoder has one stream.
    """

    def __init__(
        self,
        encoder: Encoder,
        lookups: Lookups,
        *,
        workers: int | None = None,
        decoder: PictureDecoder | None = None,
        frames_per_minute: int = FRAMES_PER_MINUTE,
        notes: DoubtfulNotes | None = None,
        is_ahead: bool | None = None,
    ) -> None:
        self._encoder, self._decoder, self._frames_per_minute = encoder, decoder, frames_per_minute
        self._notes = notes
        self._lookups = lookups
        self._is_ahead = encoder.streams == 1 if is_ahead is None else is_ahead
        self._late: LateFiles[Prepared] = LateFiles(available_cpus())
        self._stopped_at: float | None = None
        self._device_free = 0.0
        self._own = threading.local()  # per thread: the sidecars of its present folder
        # For a GPU every core decodes: one file takes a core 2 to 30 ms, and a GPU less than 1 ms.
        self._workers = workers or (available_cpus() if self._is_ahead else encoder.streams)

    def run(self, candidates: Iterable[Candidate | None], *, stop: Callable[[], bool]) -> Iterator[Results]:
        """Process all candidates, once; results in their order, but for late files.

        Args:
            candidates: a None among them means that no other came for a while: waiting files are then processed, so
                that three new files before a walk of minutes do not wait for its end.
            stop: asked several times a second in the caller's thread. Once it returns True no further chunk is
                started; chunks in flight are finished and yielded, except for late files.
        """
        chunks = in_chunks(candidates, self._encoder.batch_size)
        is_stopping = self._heard(stop)
        try:
            if self._is_ahead:
                results = ahead_of_device(
                    chunks, self._prepare, self._start, workers=self._workers, stop=is_stopping,
                    overtaken_after=OVERTAKEN_SECONDS, leaving=self._late.abandon,
                )  # fmt: skip
            else:
                results = each_on_its_own(
                    chunks, self._process, workers=self._workers, stop=is_stopping, overtaken_after=OVERTAKEN_SECONDS,
                    leaving=self._late.abandon,
                )  # fmt: skip
            for each in results:
                if each is not None:
                    yield each
                if each is None or not self._is_ahead:  # a device has one caller
                    yield from self._come_late()
            while self._late.are_left and not is_stopping():
                yield from self._come_late(within=_LOOK_SECONDS)
            yield from self._come_late()
        finally:
            self._late.close()
            self._lookups.close()

    def _heard(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        def is_stopping() -> bool:
            if self._stopped_at is None and stop():
                self._stopped_at = time.monotonic()
                self._late.abandon()
            return self._stopped_at is not None

        return is_stopping

    def _come_late(self, *, within: float = 0.0) -> Iterator[Results]:
        for prepared in self._late.finished(within=within):
            started = time.perf_counter()
            yield merged([prepared], self._embed(prepared.waiting), time.perf_counter() - started)

    def _process(self, chunk: Sequence[Candidate]) -> Results:
        prepared = self._prepare(chunk)
        started = time.perf_counter()
        embedded = self._embed(prepared.waiting)
        return merged([prepared], embedded, time.perf_counter() - started)

    def _prepare(self, chunk: Sequence[Candidate]) -> Prepared:
        """Read, hash and (unless the bytes are known) decode every file of a chunk."""
        prepared = Prepared()
        with abandonable(self._late.abandonment), reading_ahead(chunk, self._late.check) as ahead:
            for candidate in chunk:
                if self._stopped_at is not None and time.monotonic() > self._stopped_at + GRACE_SECONDS:
                    break
                prepared.settled.append(None)
                self._prepare_one(candidate, prepared, ahead)
                if sum(len(data) for *_, data in prepared.held) > (HELD_BYTES if self._decoder else 0):
                    self._decode(prepared)
            self._decode(prepared)
        return prepared

    def _prepare_one(self, candidate: Candidate, prepared: Prepared, ahead: Ahead) -> None:
        """Settle the last place of ``prepared``, or hold the file that belongs there."""

        def work() -> Outcome | Waiting | None:
            started = time.perf_counter()
            if self._notes is not None and self._notes.is_left(candidate):
                logger.warning("passed over %s: %s", os.path.join(candidate.folder, candidate.name), KILLED)
                raise UnreadableImage(KILLED)
            is_moving, data = is_video(candidate), b""
            if is_moving:
                digest, found = hash_candidate(candidate, self._late.check)
            else:
                data, found = ahead.take(candidate) or read_candidate(candidate, self._late.check)
                digest = content_hash(data)
            known = self._lookups.find(digest)
            prepared.timings.read += time.perf_counter() - started
            if known is not None:
                vector, metadata, moments = known
                metadata = self._completed(metadata if is_moving else with_later(metadata, data), found, data)
                return indexed(found, digest, metadata, vector, moments, is_reused=True)
            if is_moving:
                return self._look(found, digest, prepared)
            prepared.held.append((len(prepared.settled) - 1, found, digest, data))
            return None

        prepared.settled[-1] = _tried(candidate, work)

    def _look(self, candidate: Candidate, digest: bytes, prepared: Prepared) -> Waiting:
        """Decode the frames of a video."""
        started = time.perf_counter()
        try:
            video = read_video(
                os.path.join(candidate.folder, candidate.name),
                (candidate.size, candidate.mtime_ns),
                self._encoder.spec.preprocessing,
                per_minute=self._frames_per_minute,
            )
        finally:
            prepared.timings.decode += time.perf_counter() - started
        order = sorted(range(len(video.times)), key=lambda n: n != video.still)  # the representative frame first
        pixels, times = [video.pixels[n] for n in order], tuple(video.times[n] for n in order)
        metadata = self._completed(metadata_of_video(video), candidate, b"")
        return Waiting(candidate, digest, pixels, metadata, times[1:])

    def _decode(self, prepared: Prepared) -> None:
        """Decode the files in ``held``: pictures, or reasons why there are none."""
        held, prepared.held = prepared.held, []
        started = time.perf_counter()
        here = []
        for file in held:
            place, candidate, digest, data = file
            if (doubt := doubt_of(data)) is None:
                here.append(file)
                continue
            if self._decoder:
                self._decoder.leave("decoded in a process of its own")
            if (found := self._late.read(partial(self._apart, candidate, digest, data, doubt))) is not None:
                prepared.settled[place] = found.settled[0]
        files = [data for *_, data in here]
        pictures = self._decoder.read(files) if self._decoder and files else [self._picture(data) for data in files]
        for (place, candidate, digest, data), picture in zip(here, pictures, strict=True):
            prepared.settled[place] = self._seen(candidate, digest, data, picture)
        prepared.timings.decode += time.perf_counter() - started

    def _apart(self, candidate: Candidate, digest: bytes, data: bytes, doubt: Doubt) -> Prepared:
        """A file that is decoded in another process, as a chunk of its own."""

        def work() -> Outcome | Waiting | None:
            is_noted = self._notes is not None and doubt.is_dangerous
            note: AbstractContextManager[None] = self._notes.noting(candidate) if is_noted else nullcontext()  # type: ignore[union-attr]
            with note:
                return self._seen(candidate, digest, data, self._picture(data))

        return Prepared([_tried(candidate, work)])

    def _seen(
        self, candidate: Candidate, digest: bytes, data: bytes, found: Picture | UnreadableImage
    ) -> Outcome | Waiting | None:
        if isinstance(found, Picture):
            metadata = self._completed(metadata_of(found, data), candidate, data)
            return Waiting(candidate, digest, [found.pixels], metadata)
        return None if isinstance(found, Abandoned) else _unreadable(candidate, found)

    def _picture(self, data: bytes) -> Picture | UnreadableImage:
        try:
            return read_picture(data, self._encoder.spec.preprocessing)
        except UnreadableImage as error:
            return error

    def _completed(self, metadata: Metadata, candidate: Candidate, data: bytes) -> Metadata:
        """The metadata, completed from XMP if the picture itself has no date or no place."""
        sidecars: Sidecars | None = getattr(self._own, "sidecars", None)
        if sidecars is None:
            sidecars = self._own.sidecars = Sidecars()
        return completed(metadata, os.path.join(candidate.folder, candidate.name), data, sidecars)

    def _start(self, chunks: list[Prepared]) -> Collect[Results]:
        """Pass a batch to the device; the returned function waits for it. Several batches may be on the device."""
        waiting = [item for chunk in chunks for item in chunk.waiting]
        started = time.perf_counter()
        collect = self._begin(waiting)

        def results() -> Results:
            embedded = collect()
            now = time.perf_counter()
            # Batches overlap on the device; overlapping seconds must not be counted twice.
            seconds, self._device_free = now - max(started, self._device_free), now
            return merged(chunks, embedded, seconds)

        return results

    def _begin(self, waiting: Sequence[Waiting]) -> Collect[list[Outcome]]:
        pixels = [each for item in waiting for each in item.pixels]
        if not 0 < len(pixels) <= self._encoder.batch_size or not isinstance(self._encoder, DeviceEncoder):
            embedded = self._embed(waiting)
            return lambda: embedded
        try:
            vectors = self._encoder.start_images(np.stack(pixels))
        except EncoderError as error:
            failed = self._one_by_one(waiting, error)
            return lambda: failed

        def collect() -> list[Outcome]:
            try:
                return rows_of(waiting, vectors())
            except EncoderError as error:
                return self._one_by_one(waiting, error)

        return collect

    def _embed(self, waiting: Sequence[Waiting]) -> list[Outcome]:
        if not waiting:
            return []
        try:
            every = [each for item in waiting for each in item.pixels]
            size = self._encoder.batch_size  # a video may have more frames than a batch
            parts = (np.stack(every[at : at + size]) for at in range(0, len(every), size))
            return rows_of(waiting, np.concatenate([self._encoder.encode_images(part) for part in parts]))
        except EncoderError as error:
            return self._one_by_one(waiting, error)
        except MemoryError:
            return self._one_by_one(waiting, EncoderError(NO_MEMORY, "close other programs"))

    def _one_by_one(self, waiting: Sequence[Waiting], error: EncoderError) -> list[Outcome]:
        """Encode pictures singly, so that one that makes the model fail does not affect the others."""
        if type(error) is not EncoderError:
            raise error  # missing weights or libraries: not caused by a picture, and the same for all
        if len(waiting) == 1:
            # Tried again on every run: the cause may be this model, not the picture.
            return [failed(waiting[0].candidate, error.message, is_transient=True)]
        return [outcome for item in waiting for outcome in self._embed([item])]


def _tried(candidate: Candidate, work: Callable[[], Outcome | Waiting | None]) -> Outcome | Waiting | None:
    """The result of ``work`` on a file, or its failure; None if it was given up."""
    try:
        return work()
    except OSError as error:
        return failed(candidate, describe_os_error(error), is_transient=True)
    except MemoryError:
        return failed(candidate, NO_MEMORY, is_transient=True)
    except Abandoned:
        return None
    except UnreadableImage as error:
        return _unreadable(candidate, error)
    except SettingsError as error:  # on a machine of a cluster that lacks a package or a key: the walk had them
        return failed(candidate, error.message, is_transient=True)


def _unreadable(candidate: Candidate, error: UnreadableImage) -> Outcome:
    # Low memory is not the picture's fault: it is tried again in the next run.
    return failed(candidate, error.reason, is_transient=error.reason.startswith(NO_MEMORY))

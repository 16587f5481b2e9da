"""From files to embeddings: read, hash, decode and encode, on all cores, in order, with bounded memory.

Two schedules, chosen by what the encoder says of itself:

* a CPU encoder offers several one-thread streams: one worker per stream reads, decodes *and* encodes its own chunk
  of files. Both stages need the same cores, so handing pictures from a decoding pool to an encoding pool only makes
  the two pools fight (measured on 2 cores: this schedule is first in every case, and at the bound of
  1 / (1/decode + 1/encode)).
* a GPU encoder wants one caller with large batches: threads decode ahead of it, and it runs in a thread of its own,
  so that neither decoding nor a database commit leaves the device idle (not measured on a GPU). They may hand plain
  JPEGs to the same device, a few at a time (``device_images``).

Either way results come back in the order of the files, and in memory are at most ``schedules.LOOKAHEAD`` chunks per
worker, or ``schedules.BATCHES`` batches.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from indexes.base import Vectors
from retrieval.catalog.batch import FailedImage, IndexedImage, Metadata
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import instant, pack_vector
from retrieval.encoders.base import DeviceEncoder, Encoder, Pixels
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import EncoderError, UnreadableImage
from retrieval.indexing.schedules import Collect, ahead_of_device, each_on_its_own
from retrieval.labels.pairing import Sidecars
from retrieval.labels.written import completed
from retrieval.pictures.exif import Exif
from retrieval.pictures.images import NO_MEMORY, Picture, content_hash, read_exif_of, read_picture
from retrieval.regular_files import change_time, describe_os_error, open_regular

PATIENCE_SECONDS = 1.0
"""A chunk that does not fill up in this time goes as it is: finished work may not wait for a slow walk."""

HELD_BYTES = 32 << 20
"""Files that a worker collects for a decoder that takes several: eight JPEGs of 12 megapixels, as a rule."""

MAX_FILE_BYTES = 1 << 30
"""A larger file is recorded as a failure: it would be read into memory whole."""


class PictureDecoder(Protocol):
    """What may read pictures in place of ``read_picture``, several at a time."""

    def read(self, files: Sequence[bytes]) -> list[Picture | UnreadableImage]:
        """A picture, or the reason why there is none, for each file; called by many threads."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is new or changed, as the walk saw it."""

    folder_id: int
    folder: str
    name: str
    size: int
    mtime_ns: int
    ctime_ns: int | None = None


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


_Waiting = tuple[Candidate, bytes, Picture, Metadata]


@dataclass
class _Prepared:
    """A chunk after reading and decoding: settled outcomes, and pictures that still need their embedding."""

    settled: list[IndexedImage | FailedImage | None]  # None: the next of ``waiting`` belongs here
    waiting: list[_Waiting]
    timings: Timings
    held: list[tuple[int, Candidate, bytes, bytes]]  # read, not decoded: place in ``settled``, file, digest, bytes


class _Lookups:
    """Which bytes are embedded already, asked by each thread through a connection of its own.

    Closing waits for questions under way, and later ones fail: Ctrl-C while a pool starts a thread leaves one that the
    pool does not know and does not wait for, and closing SQLite's connection under it crashes the process.
    """

    def __init__(self, catalog_path: Path, encoder_id: int) -> None:
        self._catalog_path, self._encoder_id = catalog_path, encoder_id
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: list[tuple[CatalogReader, threading.Lock]] = []
        self._is_closed = False

    def find(self, digest: bytes) -> tuple[bytes, tuple[Any, ...]] | None:
        reader, lock = self._mine()
        with lock:
            if self._is_closed:
                raise CancelledError
            return reader.embedding_of(digest, self._encoder_id)

    def _mine(self) -> tuple[CatalogReader, threading.Lock]:
        mine: tuple[CatalogReader, threading.Lock] | None = getattr(self._own, "mine", None)
        if mine is None:
            with self._lock:
                if self._is_closed:
                    raise CancelledError
                mine = self._own.mine = CatalogReader(self._catalog_path), threading.Lock()
                self._open.append(mine)
        return mine

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for reader, lock in self._open:
                with lock:
                    reader.close()
            self._open.clear()


class Pipeline:
    """Turns candidates into catalog rows with one encoder.

    Args:
        encoder: decides the schedule through its ``streams``.
        catalog_path: where to look up bytes that are already embedded, before they are decoded.
        encoder_id: the encoder's row in that catalog.
        workers: threads; default: the encoder's streams, or (for one stream) every core.
        decoder: reads the pictures in place of ``read_picture``.
    """

    def __init__(
        self,
        encoder: Encoder,
        catalog_path: Path,
        encoder_id: int,
        *,
        workers: int | None = None,
        decoder: PictureDecoder | None = None,
    ) -> None:
        self._encoder, self._decoder = encoder, decoder
        self._lookups = _Lookups(catalog_path, encoder_id)
        self._device_free = 0.0
        self._own = threading.local()  # of each thread: the sidecars of the folder it is in
        # Ahead of a GPU every core decodes: one file takes a core 2 to 30 ms, and a GPU less than one.
        self._workers = workers or (encoder.streams if encoder.streams > 1 else available_cpus())

    def run(self, candidates: Iterable[Candidate | None], *, stop: Callable[[], bool]) -> Iterator[Results]:
        """Process all candidates; results in their order.

        Args:
            candidates: None among them says that no other came for a while: what is there is then worked off, so
                that three new files before a walk of minutes do not wait for its end.
            stop: once it returns True no further chunk is started; chunks in flight are finished and yielded.
        """
        chunks = _chunks(candidates, self._encoder.batch_size)
        try:
            if self._encoder.streams > 1:
                yield from each_on_its_own(chunks, self._process, workers=self._workers, stop=stop)
            else:
                yield from ahead_of_device(chunks, self._prepare, self._start, workers=self._workers, stop=stop)
        finally:
            self._lookups.close()

    def _process(self, chunk: Sequence[Candidate]) -> Results:
        prepared = self._prepare(chunk)
        started = time.perf_counter()
        embedded = self._embed(prepared.waiting)
        return _merged([prepared], embedded, time.perf_counter() - started)

    def _prepare(self, chunk: Sequence[Candidate]) -> _Prepared:
        """Read, hash and (unless the bytes are known) decode every file of a chunk."""
        prepared = _Prepared([], [], Timings(), [])
        for candidate in chunk:
            try:
                self._prepare_one(candidate, prepared)
            except OSError as error:
                prepared.settled.append(_failed(candidate, describe_os_error(error), is_transient=True))
            except MemoryError:
                prepared.settled.append(_failed(candidate, NO_MEMORY, is_transient=True))
            except UnreadableImage as error:
                prepared.settled.append(_failed(candidate, error.reason))
            if sum(len(data) for *_, data in prepared.held) > (HELD_BYTES if self._decoder else 0):
                self._decode(prepared)
        self._decode(prepared)
        return prepared

    def _prepare_one(self, candidate: Candidate, prepared: _Prepared) -> None:
        started = time.perf_counter()
        data, candidate = read_candidate(candidate)
        digest = content_hash(data)
        known = self._lookups.find(digest)
        read = time.perf_counter()
        prepared.timings.read += read - started
        if known is not None:
            vector, columns = known
            metadata = self._completed(_with_settings(Metadata(*columns), data), candidate, data)
            prepared.settled.append(_indexed(candidate, digest, metadata, vector, is_reused=True))
            return
        prepared.held.append((len(prepared.settled), candidate, digest, data))
        prepared.settled.append(None)

    def _decode(self, prepared: _Prepared) -> None:
        """Pictures of the files that are held, or why there are none."""
        held, prepared.held = prepared.held, []
        if not held:
            return
        started = time.perf_counter()
        files = [data for *_, data in held]
        pictures = self._decoder.read(files) if self._decoder else [self._picture(data) for data in files]
        for (place, candidate, digest, data), picture in zip(held, pictures, strict=True):
            if isinstance(picture, Picture):
                metadata = self._completed(_metadata(picture), candidate, data)
                prepared.waiting.append((candidate, digest, picture, metadata))
            else:
                # Low memory is no fault of the picture: it is tried again in the next run.
                is_transient = picture.reason == NO_MEMORY
                prepared.settled[place] = _failed(candidate, picture.reason, is_transient=is_transient)
        prepared.timings.decode += time.perf_counter() - started

    def _picture(self, data: bytes) -> Picture | UnreadableImage:
        try:
            return read_picture(data, self._encoder.spec.preprocessing)
        except UnreadableImage as error:
            return error

    def _completed(self, metadata: Metadata, candidate: Candidate, data: bytes) -> Metadata:
        """With what XMP says of a picture that says no date or no place itself."""
        sidecars: Sidecars | None = getattr(self._own, "sidecars", None)
        if sidecars is None:
            sidecars = self._own.sidecars = Sidecars()
        return completed(metadata, os.path.join(candidate.folder, candidate.name), data, sidecars)

    def _start(self, chunks: list[_Prepared]) -> Collect[Results]:
        """Hand a batch to the device; what is returned waits for it. Several batches may be on the device."""
        waiting = [item for chunk in chunks for item in chunk.waiting]
        started = time.perf_counter()
        collect = self._begin(waiting)

        def results() -> Results:
            embedded = collect()
            now = time.perf_counter()
            # Batches overlap on the device; their seconds must not be counted twice.
            seconds, self._device_free = now - max(started, self._device_free), now
            return _merged(chunks, embedded, seconds)

        return results

    def _begin(self, waiting: Sequence[_Waiting]) -> Collect[list[IndexedImage | FailedImage]]:
        if not waiting or not isinstance(self._encoder, DeviceEncoder):
            embedded = self._embed(waiting)
            return lambda: embedded
        try:
            vectors = self._encoder.start_images(np.stack([picture.pixels for _, _, picture, _ in waiting]))
        except EncoderError as error:
            failed = self._one_by_one(waiting, error)
            return lambda: failed

        def collect() -> list[IndexedImage | FailedImage]:
            try:
                return _rows(waiting, vectors())
            except EncoderError as error:
                return self._one_by_one(waiting, error)

        return collect

    def _embed(self, waiting: Sequence[_Waiting]) -> list[IndexedImage | FailedImage]:
        if not waiting:
            return []
        try:
            pixels: Pixels = np.stack([picture.pixels for _, _, picture, _ in waiting])
            return _rows(waiting, self._encoder.encode_images(pixels))
        except EncoderError as error:
            return self._one_by_one(waiting, error)
        except MemoryError:
            return self._one_by_one(waiting, EncoderError(NO_MEMORY, "close other programs"))

    def _one_by_one(self, waiting: Sequence[_Waiting], error: EncoderError) -> list[IndexedImage | FailedImage]:
        """One picture that upsets the model must not take its neighbours with it."""
        if type(error) is not EncoderError:
            raise error  # missing weights or libraries: the fault of no picture, and the same for all
        if len(waiting) == 1:
            # Tried again on every run: it may be this model's trouble, not the picture's.
            return [_failed(waiting[0][0], error.message, is_transient=True)]
        return [outcome for item in waiting for outcome in self._embed([item])]


def _merged(chunks: Sequence[_Prepared], embedded: Sequence[IndexedImage | FailedImage], seconds: float) -> Results:
    """The outcomes of chunks that were encoded together in ``seconds``, in the order of their files."""
    results, encoded = Results(encoded=len(embedded)), iter(embedded)
    results.timings.encode = seconds
    for chunk in chunks:
        results.timings.read += chunk.timings.read
        results.timings.decode += chunk.timings.decode
        results.outcomes += [next(encoded) if outcome is None else outcome for outcome in chunk.settled]
    return results


def _rows(waiting: Sequence[_Waiting], vectors: Vectors) -> list[IndexedImage | FailedImage]:
    return [
        _indexed(candidate, digest, metadata, pack_vector(vector))
        for (candidate, digest, _, metadata), vector in zip(waiting, vectors, strict=True)
    ]


def _chunks(candidates: Iterable[Candidate | None], size: int) -> Iterator[list[Candidate]]:
    """Full chunks, and at a None or when it takes long what there is, which may be nothing."""
    chunk: list[Candidate] = []
    oldest = 0.0
    for candidate in candidates:
        now = time.perf_counter()
        if candidate is not None:
            oldest = oldest if chunk else now
            chunk.append(candidate)
        if candidate is None or len(chunk) == size or now - oldest > PATIENCE_SECONDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def read_candidate(candidate: Candidate) -> tuple[bytes, Candidate]:
    """The whole file, and the candidate with the size and time that belong to exactly these bytes."""
    with open_regular(os.path.join(candidate.folder, candidate.name)) as file:
        found = os.fstat(file.fileno())
        if found.st_size > MAX_FILE_BYTES:
            raise UnreadableImage(f"file of {found.st_size >> 20} MiB, limit is {MAX_FILE_BYTES >> 20} MiB")
        data = file.read()
        after = os.fstat(file.fileno())
    if len(data) != found.st_size or after.st_mtime_ns != found.st_mtime_ns:
        raise InterruptedError(0, "changed while it was read")
    return data, replace(candidate, size=found.st_size, mtime_ns=found.st_mtime_ns, ctime_ns=change_time(found))


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
        ctime_ns=candidate.ctime_ns,
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
        taken_instant=_instant(exif),
        taken_precision=exif.precision,
        taken_source=exif.taken_source,
        camera=exif.camera,
        lens=exif.lens,
        latitude=exif.latitude,
        longitude=exif.longitude,
        phash=picture.phash,
        colour=picture.colour,
        **_settings(exif),
    )


_SETTINGS = ("iso", "aperture", "exposure", "focal_length")


def _settings(exif: Exif) -> dict[str, Any]:
    return {name: getattr(exif, name) for name in _SETTINGS}


def _with_settings(metadata: Metadata, data: bytes) -> Metadata:
    """Of a picture that is known, also what a camera wrote about it that was not read when it was indexed."""
    if any(getattr(metadata, name) is not None for name in _SETTINGS):
        return metadata
    return replace(metadata, **_settings(read_exif_of(data)))


def _instant(exif: Exif) -> int | None:
    if exif.taken_at is None:
        return None
    return instant(exif.taken_at.isoformat(timespec="seconds"), exif.offset_minutes, exif.microsecond)

"""Embeddings of a list of picture files: taken from a gallery if it has them, otherwise computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.catalog.records import sound_vectors
from retrieval.encoders.base import DeviceEncoder, Encoder
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import QueryError, UnreadableImage
from retrieval.indexing.schedules import Collect, ahead_of_device, each_on_its_own
from retrieval.pictures.images import content_hash, read_picture
from retrieval.regular_files import MAX_FILE_BYTES, describe_os_error, read_regular
from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.gallery import Gallery


@dataclass(frozen=True)
class Embedded:
    """The result for a list of files.

    Attributes:
        rows: (n,) the files that have an embedding, ascending.
        vectors: (n, dim) unit vectors: float32 as encoded, or from a gallery, which stores float16.
        digests: (n,) hash of each file's bytes.
        failed: the other files, with the reason.
        stored: how many of the vectors came from a gallery.
        seconds: wall time for reading, decoding and encoding the rest, after loading the model.
    """

    rows: Ids
    vectors: Vectors
    digests: tuple[bytes, ...]
    failed: tuple[tuple[Path, str], ...]
    stored: int
    seconds: float

    @property
    def rate(self) -> float | None:
        """Pictures per second that were read, decoded and encoded; None if there were none."""
        made = len(self.rows) - self.stored
        return made / self.seconds if made and self.seconds > 0 else None

    @property
    def pictures(self) -> NDArray[np.int64]:
        """(n,) a number for each picture: files with the same bytes have the same number."""
        numbers: dict[bytes, int] = {}
        found = [numbers.setdefault(digest, len(numbers)) for digest in self.digests]
        return np.array(found, dtype=np.int64)


class _File(NamedTuple):
    row: int
    path: Path


class _Made(NamedTuple):
    """The result for a file: a vector with its digest, or the reason of a failure."""

    file: _File
    digest: bytes
    vector: NDArray[np.float32] | None
    reason: str = ""


class _Read(NamedTuple):
    file: _File
    digest: bytes
    pixels: NDArray[np.uint8]


def embed_files(
    encoder: Encoder,
    paths: Sequence[Path],
    *,
    gallery: Gallery | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Embedded:
    """Embed picture files with the pipelines used for indexing: in bounded memory apart from the vectors.

    Args:
        gallery: files that are indexed there with this encoder, and have not changed since, are not read.
        on_progress: called with how many of the files to be encoded are done, and their total number.

    Raises:
        QueryError: no file can be used.
        EncoderError: the model fails.
    """
    made = {} if gallery is None else {each.file.row: each for each in _stored(gallery, encoder, paths)}
    stored = len(made)
    rest = [_File(row, path) for row, path in enumerate(paths) if row not in made]
    seconds = 0.0
    if rest:
        _wake(encoder)
        started = time.perf_counter()
        for done, each in enumerate(_encode(encoder, rest), 1):
            made[each.file.row] = each
            if on_progress is not None:
                on_progress(done, len(rest))
        seconds = time.perf_counter() - started
    good = [made[row] for row in range(len(paths)) if made[row].vector is not None]
    failed = tuple((each.file.path, each.reason) for each in made.values() if each.vector is None)
    if not good:
        why = f": {failed[0][0]}: {failed[0][1]}" if failed else ""
        what = f"none of {plural(len(paths), 'picture')} can be used{why}"
        raise QueryError(what, "are the paths relative to the file?")
    vectors = np.stack([each.vector for each in good if each.vector is not None])
    rows = np.array([each.file.row for each in good], dtype=np.int64)
    return Embedded(rows, vectors, tuple(each.digest for each in good), failed, stored, seconds)


def _wake(encoder: Encoder) -> None:
    """Compile and load before the time is measured."""
    side = encoder.spec.preprocessing.size
    encoder.encode_images(np.full((1, 3, side, side), 128, dtype=np.uint8))


def _stored(gallery: Gallery, encoder: Encoder, paths: Sequence[Path]) -> Iterator[_Made]:
    if not gallery.exists():
        return
    with gallery.reader() as reader:
        own = [row for row in reader.encoders() if row.fingerprint == encoder.spec.fingerprint]
        for number, path in enumerate(paths if own else ()):
            record = reader.record_at(path)
            if record is None or record.on_disk() != "same":
                continue
            found = reader.embedding_of(record.content_hash, own[0].id)
            sound, vectors = sound_vectors([] if found is None else [(found[0], None)], own[0].dim)
            if sound.any():
                yield _Made(_File(number, path), record.content_hash, vectors[0])


def _encode(encoder: Encoder, files: Sequence[_File]) -> Iterator[_Made]:
    size = encoder.batch_size
    chunks = (files[at : at + size] for at in range(0, len(files), size))

    def read(chunk: Sequence[_File]) -> list[_Read | _Made]:
        return [_read(encoder, file) for file in chunk]

    def work(chunk: Sequence[_File]) -> list[_Made]:
        return _start(encoder, [read(chunk)])()

    if encoder.streams > 1:
        results = each_on_its_own(chunks, work, workers=encoder.streams, stop=_never)
    else:
        results = ahead_of_device(
            chunks, read, lambda parts: _start(encoder, parts), workers=available_cpus(), stop=_never
        )
    for made in results:
        yield from made or ()


def _never() -> bool:
    return False


def _read(encoder: Encoder, file: _File) -> _Read | _Made:
    try:
        data = read_regular(file.path, MAX_FILE_BYTES)
        return _Read(file, content_hash(data), read_picture(data, encoder.spec.preprocessing).pixels)
    except OSError as error:
        return _Made(file, b"", None, describe_os_error(error))
    except UnreadableImage as error:
        return _Made(file, b"", None, error.reason)


def _start(encoder: Encoder, parts: Sequence[Sequence[_Read | _Made]]) -> Collect[list[_Made]]:
    """Pass the readable pictures of a batch to the encoder; the returned function waits for them."""
    everything = [each for part in parts for each in part]
    readable = [each for each in everything if isinstance(each, _Read)]
    failed = [each for each in everything if isinstance(each, _Made)]
    if not readable:
        return lambda: failed
    pixels = np.stack([each.pixels for each in readable])
    if isinstance(encoder, DeviceEncoder):
        collect = encoder.start_images(pixels)
    else:
        vectors = encoder.encode_images(pixels)

        def collect() -> Vectors:
            return vectors

    return lambda: (
        failed + [_Made(each.file, each.digest, vector) for each, vector in zip(readable, collect(), strict=True)]
    )

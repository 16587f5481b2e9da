"""What a pipeline makes of a chunk of files: rows for the catalog, and pictures that still need their embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from indexes.base import Vectors
from retrieval.catalog.batch import Batch, FailedImage, IndexedImage, Metadata
from retrieval.catalog.moments import Moment
from retrieval.catalog.records import pack_vector
from retrieval.indexing.candidates import Candidate
from retrieval.indexing.report import IndexReport, Progress

Outcome: TypeAlias = IndexedImage | FailedImage


@dataclass
class Timings:
    """Seconds spent per stage, summed over all threads."""

    read: float = 0.0  # file system, and the content hash
    decode: float = 0.0
    encode: float = 0.0


@dataclass
class Results:
    """The outcomes for a chunk of files, in their order."""

    outcomes: list[Outcome] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    encoded: int = 0


class Waiting(NamedTuple):
    """A picture that needs its embedding, or a video's frames: first the representative one."""

    candidate: Candidate
    digest: bytes
    pixels: list[Any]  # (3, size, size) uint8 each
    metadata: Metadata
    times: tuple[float, ...] = ()  # of the frames after the first


@dataclass
class Prepared:
    """A chunk after reading and decoding.

    Attributes:
        settled: an outcome, a picture that needs its embedding, or None for a file without an outcome yet.
        held: files that are read and not decoded: place in ``settled``, file, digest, bytes.
    """

    settled: list[Outcome | Waiting | None] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    held: list[tuple[int, Candidate, bytes, bytes]] = field(default_factory=list)

    @property
    def waiting(self) -> list[Waiting]:
        """The pictures that need their embedding, in order."""
        return [each for each in self.settled if isinstance(each, Waiting)]


def take(results: Results, batch: Batch, report: IndexReport, progress: Progress) -> None:
    """Put the outcomes into a batch that is to be committed, and count them."""
    for outcome in results.outcomes:
        if isinstance(outcome, IndexedImage):
            batch.indexed.append(outcome)
            report.reused += outcome.is_reused
        else:
            batch.failed.append(outcome)
            progress.failed += 1
    for stage, seconds in vars(results.timings).items():
        report.seconds[stage] += seconds
    report.encoded += results.encoded
    progress.done += len(results.outcomes)
    progress.encoded = report.encoded


def merged(chunks: Sequence[Prepared], embedded: Sequence[Outcome], seconds: float) -> Results:
    """The outcomes of chunks whose ``waiting`` were encoded together in ``seconds``, in the order of their files."""
    results, encoded = Results(encoded=len(embedded)), iter(embedded)
    results.timings.encode = seconds
    for chunk in chunks:
        results.timings.read += chunk.timings.read
        results.timings.decode += chunk.timings.decode
        for each in chunk.settled:
            if each is not None:
                results.outcomes.append(next(encoded) if isinstance(each, Waiting) else each)
    return results


def rows_of(waiting: Sequence[Waiting], vectors: Vectors) -> list[Outcome]:
    """The rows of pictures, whose vectors are (n, dim) in the same order."""
    packed = iter([pack_vector(vector) for vector in vectors])
    rows: list[Outcome] = []
    for item in waiting:
        vector = next(packed)
        moments = tuple((at, next(packed)) for at in item.times)
        rows.append(indexed(item.candidate, item.digest, item.metadata, vector, moments))
    return rows


def indexed(
    candidate: Candidate,
    digest: bytes,
    metadata: Metadata,
    vector: bytes,
    moments: tuple[Moment, ...] = (),
    *,
    is_reused: bool = False,
) -> IndexedImage:
    """The row of a file."""
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
        moments=moments,
    )


def failed(candidate: Candidate, reason: str, *, is_transient: bool = False) -> FailedImage:
    """The row of a file that cannot be indexed."""
    return FailedImage(candidate.folder_id, candidate.name, candidate.size, candidate.mtime_ns, reason, is_transient)

"""The contents of one catalog transaction, as plain values: a pipeline fills them in, the catalog writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from retrieval.catalog.records import instant
from retrieval.folding import fold

KnownFile: TypeAlias = tuple[int, int, int, int, int, int | None]
"""(image id, size, mtime_ns, is_retired, has an embedding, ctime_ns): a plain tuple, on a run's hot path."""

KnownFailure: TypeAlias = tuple[int, int, int, bool]
"""(failure id, size, mtime_ns, is_transient)."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What was read from a decoded picture; the columns of ``images`` of the same names."""

    format: str
    width: int
    height: int
    taken_at: str | None = None
    taken_offset_minutes: int | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    phash: bytes | None = None
    colour: int | None = None
    taken_instant: int | None = None
    taken_precision: str | None = None
    taken_source: str | None = None
    place_source: str | None = None
    iso: int | None = None
    aperture: float | None = None
    exposure: float | None = None
    focal_length: float | None = None
    duration_s: float | None = None
    still_s: float | None = None
    motion_offset: int | None = None
    motion_bytes: int | None = None
    content_id: str | None = None
    is_page: bool | None = None

    def columns(self) -> dict[str, Any]:
        """Column name -> value, including the columns that are derived from others."""
        columns = {name: getattr(self, name) for name in self.__slots__}
        if self.taken_at is not None and self.taken_instant is None:
            columns["taken_instant"] = instant(self.taken_at, self.taken_offset_minutes)
        columns["camera_key"] = None if self.camera is None else fold(self.camera)
        columns["lens_key"] = None if self.lens is None else fold(self.lens)
        return columns


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """A picture that is ready to be committed.

    Attributes:
        folder_id, name: where the file is.
        vector: float16 bytes (``records.pack_vector``).
        moments: for a video: the times and vectors of its other frames.
        is_reused: the vector was copied from an image with the same bytes.
        ctime_ns: when anything about the file was last changed, before it was read; None: not known.
    """

    folder_id: int
    name: str
    size: int
    mtime_ns: int
    content_hash: bytes
    metadata: Metadata
    vector: bytes
    is_reused: bool = False
    ctime_ns: int | None = None
    moments: tuple[tuple[float, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class FailedImage:
    """A file that cannot be indexed in its present state; if ``is_transient``, it is tried again on every run."""

    folder_id: int
    name: str
    size: int
    mtime_ns: int
    reason: str
    is_transient: bool = False


@dataclass
class Batch:
    """What one transaction changes."""

    indexed: list[IndexedImage] = field(default_factory=list)
    failed: list[FailedImage] = field(default_factory=list)
    restored: list[int] = field(default_factory=list)  # ids of retired images whose files are back, unchanged
    retired: list[int] = field(default_factory=list)  # ids of images whose files are gone
    resolved: list[int] = field(default_factory=list)  # ids of failures whose files are gone
    noted: list[tuple[int, int]] = field(default_factory=list)  # (id, ctime_ns) of images that had no ctime_ns

    def __len__(self) -> int:
        return sum(map(len, vars(self).values()))


@dataclass
class Counts:
    """What happened to the images of a batch."""

    added: int = 0
    updated: int = 0
    encoded_again: int = 0
    verified: int = 0
    moved: int = 0
    restored: int = 0
    retired: int = 0
    failed: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

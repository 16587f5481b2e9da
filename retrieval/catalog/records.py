"""The catalog's data about one image, as plain values that are passed between layers."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors
from retrieval.paths import may_be_elsewhere
from retrieval.regular_files import change_time, digest_of, is_short, open_regular

if TYPE_CHECKING:
    from retrieval.sources.base import Found, Source

OnDisk = Literal["same", "changed", "missing"]

HASH_BYTES = 32
"""Bytes of a file's BLAKE3 digest."""

_LENGTH = 5e-3
"""Rounding to float16 changes the squared length of a unit vector by less than 1e-3."""


_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)

_SHOWN = {"year": 4, "month": 7, "day": 10, "hour": 13, "minute": 16}
"""Precision of a date -> how many characters of its ISO 8601 text are significant."""


class FileChanged(OSError):
    """The file at an image's path is not the one that was indexed."""


@dataclass(frozen=True)
class ImageRecord:
    """One image of a gallery.

    Attributes:
        id: unchanged by renames and moves; never reused.
        path: absolute, as of the last run.
        size: bytes.
        mtime_ns: modification time, nanoseconds since 1970.
        width, height: pixels, as shown.
        taken_at: with the camera's offset from UTC if it recorded one, otherwise naive local time.
        latitude, longitude: degrees, WGS 84.
        colour: 0xRRGGBB, the average of the picture in sRGB; None: it was indexed before colours were recorded.
        taken_instant: ``taken_at`` in microseconds since 1970 UTC, with the camera's sub-seconds; see :func:`instant`.
        taken_precision: ``year``, ``month``, ``day``, ``hour`` or ``minute`` if the date is no finer (``taken_at``
            is then the beginning of that period); None: to the second.
        ctime_ns: when anything about the file was last changed, nanoseconds since 1970; None: not known.
        place: the town in which it was taken with what contains it, or the country; None: not known.
        duration_s: seconds, for a video; None: a still picture.
        time_s: for a video, seconds from its beginning: which frame is meant. From the catalog: the representative
            frame; in a hit: the frame that was found.
        iso, aperture, exposure, focal_length: sensitivity, f-number, seconds, mm, as recorded by the camera.
        motion_offset, motion_bytes: where the video of a motion photo is in the file; None: it has none.
        clip: the id of the video of a live photo, which is a file of its own; None: it has none.
    """

    id: int
    path: str
    size: int
    mtime_ns: int
    format: str
    width: int
    height: int
    taken_at: datetime | None
    camera: str | None
    lens: str | None
    latitude: float | None
    longitude: float | None
    content_hash: bytes
    colour: int | None = None
    taken_instant: int | None = None
    taken_precision: str | None = None
    ctime_ns: int | None = None
    iso: int | None = None
    aperture: float | None = None
    exposure: float | None = None
    focal_length: float | None = None
    duration_s: float | None = None
    time_s: float | None = None
    place: str | None = None
    motion_offset: int | None = None
    motion_bytes: int | None = None
    clip: int | None = None

    @property
    def motion(self) -> Literal["inside", "beside"] | None:
        """Where the short video of a still picture is: inside its file, or in a file beside it; None: it has none."""
        return "inside" if self.motion_bytes is not None else None if self.clip is None else "beside"

    def taken_text(self) -> str | None:
        """``taken_at`` in ISO 8601, with its offset from UTC if that is known, cut to the date's precision."""
        if self.taken_at is None:
            return None
        shown = _SHOWN.get(self.taken_precision or "")
        return self.taken_at.isoformat(timespec="seconds") if shown is None else self.taken_at.isoformat()[:shown]

    def on_disk(self, *, asks: bool = False) -> OnDisk:
        """Compare with the present file: a changed one may show another picture than the one indexed.

        Args:
            asks: also ask object stores, a request each; without it, what they hold counts as the same.

        An edit can preserve size and modification time (``exiftool -P``). It cannot preserve the time of change, but
        ``chmod`` and hard links alter that, too: then the file is read, and its content decides.
        """
        if (source := self._source()) is not None:
            return source.state(self.path, self._found(), self.content_hash, asks=asks)
        try:
            found = os.stat(self.path)
        except (OSError, ValueError):  # no file name can contain a NUL
            return "missing"
        return "same" if self._is(found) else "changed"

    def open(self) -> BinaryIO:
        """The file, open for reading, if it is the one that was indexed.

        The open file is compared, so that a file put at its path a moment later is not used by mistake.

        Raises:
            FileChanged: there is another file at the path.
            OSError: there is none, or it cannot be opened.
        """
        if (source := self._source()) is not None:
            return self._open_in(source)
        try:
            file = open_regular(self.path)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EISDIR):  # a pipe, a device, a folder
                raise FileChanged(f"{self.path} changed since it was indexed") from None
            raise
        try:
            if not self._is(os.fstat(file.fileno())):
                raise FileChanged(f"{self.path} changed since it was indexed")
        except BaseException:
            file.close()
            raise
        return file

    def _source(self) -> Source | None:
        if not may_be_elsewhere(self.path):
            return None
        from retrieval.sources.reading import source_of  # a search that has plain files alone does without

        return source_of(self.path)

    def _found(self) -> Found:
        from retrieval.sources.base import Found

        return Found(self.size, self.mtime_ns, self.ctime_ns)

    def _open_in(self, source: Source) -> BinaryIO:
        opened = source.open(self.path)
        try:
            if opened.found != self._found() and self.on_disk(asks=True) != "same":
                raise FileChanged(f"{self.path} changed since it was indexed")
        except BaseException:
            opened.file.close()
            raise
        return opened.file

    def _is(self, found: os.stat_result) -> bool:
        if not stat.S_ISREG(found.st_mode) or found.st_size != self.size or found.st_mtime_ns != self.mtime_ns:
            return False
        changed = change_time(found)
        if self.ctime_ns is None or changed is None or self.ctime_ns == changed:
            return True
        return _holds(self.path, self.content_hash, (found.st_dev, found.st_ino, found.st_size, changed))


@lru_cache(maxsize=10_000)
def _holds(path: str, content_hash: bytes, identity: tuple[int, int, int, int]) -> bool:
    """True if the file has this content, and stays (device, inode, size, time of change) while it is read.

    Raises:
        OSError: this process may open no more files, which says nothing about this one.
    """
    try:
        with open_regular(path) as file:
            digest = digest_of(file)
            found = os.fstat(file.fileno())
    except OSError as error:
        if is_short(error):
            raise
        return False
    return digest == content_hash and identity == (
        found.st_dev,
        found.st_ino,
        found.st_size,
        change_time(found),
    )


def instant(text: str, offset_minutes: int | None, microsecond: int = 0) -> int:
    """The moment of a local time in microseconds since 1970 UTC, by which pictures of several time zones are sorted.

    If the offset is not known, the local time is assumed to be in this machine's time zone.
    """
    moment = datetime.fromisoformat(text)
    if offset_minutes is None:
        try:
            offset = moment.astimezone().utcoffset() or timedelta()
        except (OverflowError, ValueError, OSError):  # a year outside the system's tables
            offset = timedelta()
    else:
        offset = timedelta(minutes=offset_minutes)
    return (moment - _EPOCH) // _MICROSECOND - offset // _MICROSECOND + microsecond


def utc_now() -> str:
    """The present moment in the catalog's format: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def taken_at(text: str | None, offset_minutes: int | None) -> datetime | None:
    """The catalog's two columns as one moment."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if offset_minutes is not None:
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    return moment


def pack_vector(vector: NDArray[np.float32]) -> bytes:
    """(dim,) float32 -> float16 bytes. Rounding changes a cosine by less than 5e-4 and halves the catalog."""
    return vector.astype("<f2").tobytes()


def is_whole(blob: object, crc: object) -> bool:
    """Whether a stored vector has the bytes that were written; without a checksum this is assumed."""
    return type(blob) is bytes and (crc is None or crc == zlib.crc32(blob))


def sound_vectors(stored: Sequence[Sequence[object]], dim: int) -> tuple[NDArray[np.bool_], Vectors]:
    """The valid embeddings among a catalog's stored vectors.

    A damaged one may be anything: other bits, another length, NaN, infinity, zeros.

    Args:
        stored: the columns ``vector`` and ``crc`` of each.

    Returns:
        (n,) True for the sound ones, and their (m, dim) float32 vectors of length 1.
    """
    good = [blob if is_whole(blob, crc) and len(blob) == 2 * dim else b"" for blob, crc in stored]  # type: ignore[arg-type]
    whole = np.fromiter(map(len, good), np.int64, len(good)) > 0  # type: ignore[arg-type]
    data = b"".join(good)  # type: ignore[arg-type]
    rows = np.frombuffer(data, dtype="<f2").reshape(-1, dim).astype(np.float32)
    squared = np.einsum("ij,ij->i", rows, rows)  # of float16 numbers: far from the limits of float32
    sound = np.abs(squared - 1.0) <= _LENGTH  # NaN compares as False
    if not sound.all():
        whole[whole] = sound
        rows, squared = rows[sound], squared[sound]
    rows /= np.sqrt(squared)[:, None]
    return whole, rows


def unpack_vectors(blobs: list[bytes], dim: int) -> Vectors:
    """float16 blobs -> (n, dim) float32, rescaled to length 1 (rounding had changed it by up to 5e-4)."""
    rows = np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), dim).astype(np.float32)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows

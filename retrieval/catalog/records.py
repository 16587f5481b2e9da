"""What the catalog says about one image, as plain values that travel between layers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from indexes.base import Vectors

OnDisk = Literal["same", "changed", "missing"]


@dataclass(frozen=True)
class ImageRecord:
    """One image of a gallery.

    Attributes:
        id: stable over renames and moves; never given to a second image.
        path: absolute, as of the last run.
        size: bytes.
        mtime_ns: modification time, nanoseconds since 1970.
        width, height: pixels, as shown.
        taken_at: with the camera's offset from UTC where it recorded one, otherwise naive local time.
        latitude, longitude: degrees, WGS 84.
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

    def on_disk(self) -> OnDisk:
        """Compare with the file as it is now: a changed one may show another picture than the one indexed."""
        try:
            found = os.stat(self.path)
        except OSError:
            return "missing"
        same = found.st_size == self.size and found.st_mtime_ns == self.mtime_ns
        return "same" if same else "changed"


def taken_at(text: str | None, offset_minutes: int | None) -> datetime | None:
    """The catalog's two columns as one moment."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if offset_minutes is not None:
        moment = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    return moment


def pack_vector(vector: NDArray[np.float32]) -> bytes:
    """(dim,) float32 -> float16 bytes. Rounding moves a cosine by less than 5e-4 and halves the catalog."""
    return vector.astype("<f2").tobytes()


def unpack_vectors(blobs: list[bytes], dim: int) -> Vectors:
    """float16 blobs -> (n, dim) float32, scaled back to length 1 (rounding had moved it by up to 5e-4)."""
    rows = np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), dim).astype(np.float32)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows

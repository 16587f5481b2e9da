"""Bursts: pictures of one scene taken within minutes, of which a list of hits shows the best one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retrieval.paths import decode_path

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.catalog.reader import CatalogReader, EncoderRow
    from retrieval.catalog.records import ImageRecord
    from retrieval.search.engine import Hit

ALIKE = 0.9
"""Cosine from which two pictures count as the same scene, beside being taken within minutes, in one folder or with one
camera. Chosen with the built-in model only: frames of a burst lay above it, two subjects of one walk mostly below."""

_WINDOWS_AT_ONCE = 400  # two variables each, below SQLite's oldest default limit of 999


class _Taken(NamedTuple):
    """What the catalog knows of a dated picture."""

    id: int
    folder: str
    camera: str | None
    moment: datetime


class Scenes:
    """Groups hits, best first, into bursts. What stands for a burst is its best hit.

    A picture belongs to the first hit that it is near: taken within ``minutes``, in the same folder or with the same
    camera, and at least as similar as :data:`ALIKE`. All of that depends on better hits alone, so a list that is read
    further only grows. Pictures without a date are in no burst.

    Args:
        allowed: the ids that may be counted; None for every present picture.
        leave_out: an id that is not counted.
    """

    def __init__(
        self,
        reader: CatalogReader,
        encoder: EncoderRow,
        minutes: float,
        allowed: frozenset[int] | None = None,
        *,
        leave_out: int | None = None,
    ) -> None:
        self._reader, self._encoder, self._allowed = reader, encoder, allowed
        self._span = timedelta(minutes=minutes)
        self._taken: set[int] = set()
        self._shown: set[int] = set() if leave_out is None else {leave_out}

    def grouped(self, hits: Sequence[Hit]) -> list[Hit]:
        """Those of the next hits that stand for themselves or a burst, with the number of the others in ``burst``."""
        around = self._around(hits)
        groups = []
        for hit in hits:
            if hit.image.id in self._taken:
                continue
            members = self._members(hit.image, around)
            self._taken.update(members)
            self._shown.add(hit.image.id)
            groups.append(replace(hit, burst=len(members)))
        return groups

    def _around(self, hits: Sequence[Hit]) -> list[_Taken]:
        """Every dated picture within the span of any of the hits, by date: one pass over the catalog's dates."""
        moments = sorted({_local(hit.image) for hit in hits if hit.image.taken_at is not None})
        windows: list[list[datetime]] = []
        for moment in moments:
            if windows and self._before(moment) <= windows[-1][1]:
                windows[-1][1] = self._after(moment)
            else:
                windows.append([self._before(moment), self._after(moment)])
        found: list[_Taken] = []
        for start in range(0, len(windows), _WINDOWS_AT_ONCE):
            some = windows[start : start + _WINDOWS_AT_ONCE]
            part = [moment.isoformat(timespec="seconds") for window in some for moment in window]
            sql = f"""WITH w (first, last) AS (VALUES {", ".join(["(?, ?)"] * (len(part) // 2))})
                SELECT i.id, f.path, i.camera, i.taken_at FROM images AS i JOIN folders AS f ON f.id = i.folder_id
                WHERE NOT i.is_retired AND i.taken_at IS NOT NULL
                AND EXISTS (SELECT 1 FROM w WHERE i.taken_at BETWEEN w.first AND w.last)"""
            rows = self._reader.rows(sql, part)
            found += [_Taken(i, decode_path(f), camera, datetime.fromisoformat(t)) for i, f, camera, t in rows]
        return sorted(found, key=_moment)

    def _before(self, moment: datetime) -> datetime:
        return datetime.min if moment - datetime.min < self._span else moment - self._span

    def _after(self, moment: datetime) -> datetime:
        return datetime.max if datetime.max - moment < self._span else moment + self._span

    def _members(self, image: ImageRecord, around: Sequence[_Taken]) -> list[int]:
        if image.taken_at is None:
            return []
        moment, folder = _local(image), str(Path(image.path).parent)
        first = bisect_left(around, self._before(moment), key=_moment)
        last = bisect_right(around, self._after(moment), key=_moment)
        near = [
            one.id for one in around[first:last]
            if (one.folder == folder or (one.camera is not None and one.camera == image.camera))
            and one.id != image.id and one.id not in self._taken and one.id not in self._shown
            and (self._allowed is None or one.id in self._allowed)
        ]  # fmt: skip
        return self._alike(image.id, near) if near else []

    def _alike(self, image_id: int, near: Sequence[int]) -> list[int]:
        own: Vectors = self._reader.vectors([image_id], self._encoder)
        known = self._embedded(near)
        cosines = self._reader.vectors(known, self._encoder) @ own[0] if known else np.empty(0)
        return [one for one, cosine in zip(known, cosines.tolist(), strict=True) if cosine >= ALIKE]

    def _embedded(self, ids: Sequence[int]) -> list[int]:
        """Those that this encoder has seen: another one may be ahead of it."""
        found: list[int] = []
        for start in range(0, len(ids), 2 * _WINDOWS_AT_ONCE):
            part = ids[start : start + 2 * _WINDOWS_AT_ONCE]
            marks = ", ".join("?" * len(part))
            sql = f"SELECT image_id FROM embeddings WHERE encoder_id = ? AND image_id IN ({marks}) ORDER BY image_id"
            found += [row[0] for row in self._reader.rows(sql, [self._encoder.id, *part])]
        return found


def _moment(one: _Taken) -> datetime:
    return one.moment


def _local(image: ImageRecord) -> datetime:
    """As the camera wrote it: one scene's pictures have one clock."""
    assert image.taken_at is not None
    return image.taken_at.replace(tzinfo=None)

"""Bursts: similar pictures taken within minutes of each other, of which a list shows only the best."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retrieval.catalog.orders import taken_within

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord
    from retrieval.search.hits import Hit

ALIKE = 0.9
"""Cosine from which two pictures count as the same scene, if also taken within minutes, in one folder or with one
camera. Chosen with the built-in model only: frames of a burst were above it, two subjects of one walk mostly below."""

_FEW_WINDOWS = 40  # SQLite compares each date with each window: 1.8 s for 300 among 100,000 pictures, else 0.15 s
_VECTORS_AT_ONCE = 4096  # 8 MB of 512 numbers


class _Taken(NamedTuple):
    """The catalog's values for a dated picture."""

    id: int
    folder: str
    camera: str | None
    moment: datetime


class Scenes:
    """Groups hits, best first, into bursts. A burst is represented by its best hit.

    A picture belongs to the first hit that it is near: taken within ``minutes``, in the same folder or with the same
    camera, and at least as similar as :data:`ALIKE`. All of that depends only on better hits, so reading a list
    further only appends to it. Pictures without a date are in no burst.

    Args:
        allowed: the ids that may be counted; None for every present picture.
        leave_out: ids that are not counted.
    """

    def __init__(
        self,
        reader: CatalogReader,
        encoder: EncoderRow,
        minutes: float,
        allowed: frozenset[int] | None = None,
        *,
        leave_out: int | Iterable[int] | None = None,
    ) -> None:
        self._reader, self._encoder, self._allowed = reader, encoder, allowed
        self._span = timedelta(minutes=minutes)
        self._taken: set[int] = set()
        self._shown: set[int] = {leave_out} if isinstance(leave_out, int) else set(leave_out or ())
        self._around: list[_Taken] = []

    def grouped(self, hits: Sequence[Hit]) -> list[Hit]:
        """Those of the next hits that are in no earlier burst, with the number of other pictures in ``burst``."""
        self._around = self._taken_near(hits)
        groups: list[Hit] = []
        for some in self._portions(hits):
            rows = self._embedded(list(dict.fromkeys(i for hit, near in some if near for i in (hit.image.id, *near))))
            for hit, near in some:
                if hit.image.id in self._taken:
                    continue
                members = self._members(hit.image.id, near, rows)
                self._taken.update(members)
                self._shown.add(hit.image.id)
                groups.append(replace(hit, burst=len(members)))
        return groups

    def _portions(self, hits: Sequence[Hit]) -> Iterator[list[tuple[Hit, list[int]]]]:
        """The hits that are in no burst yet, with the pictures near them, in portions for one embedding read each."""
        some: list[tuple[Hit, list[int]]] = []
        size = 0
        for hit in hits:
            if hit.image.id in self._taken:
                continue
            near = self._near(hit.image)
            some.append((hit, near))
            size += 1 + len(near)
            if size >= _VECTORS_AT_ONCE:
                yield some
                some, size = [], 0
        yield some

    def _taken_near(self, hits: Sequence[Hit]) -> list[_Taken]:
        """Every dated picture within the span of any of the hits, by date, in one pass over the catalog's dates."""
        moments = sorted({_local(hit.image) for hit in hits if hit.image.taken_at is not None})
        windows: list[list[datetime]] = []
        for moment in moments:
            if windows and self._before(moment) <= windows[-1][1]:
                windows[-1][1] = self._after(moment)
            else:
                windows.append([self._before(moment), self._after(moment)])
        if not windows:
            return []
        texts = [(first.isoformat(timespec="seconds"), last.isoformat(timespec="seconds")) for first, last in windows]
        if len(texts) > _FEW_WINDOWS:
            return self._within([(texts[0][0], texts[-1][1])], texts)
        return self._within(texts, texts)

    def _within(self, asked: list[tuple[str, str]], windows: list[tuple[str, str]]) -> list[_Taken]:
        """The pictures within ``windows``, which lie within the ``asked`` ones; dates as the catalog writes them."""
        starts = [first for first, _ in windows]
        found = []
        for image_id, folder, camera, taken in taken_within(self._reader, asked):
            at = bisect_right(starts, taken) - 1
            if at >= 0 and taken <= windows[at][1]:
                found.append(_Taken(image_id, folder, camera, datetime.fromisoformat(taken)))
        return sorted(found, key=_moment)

    def _before(self, moment: datetime) -> datetime:
        return datetime.min if moment - datetime.min < self._span else moment - self._span

    def _after(self, moment: datetime) -> datetime:
        return datetime.max if datetime.max - moment < self._span else moment + self._span

    def _near(self, image: ImageRecord) -> list[int]:
        """The pictures near one in time and place that are in no burst and no hit so far."""
        if image.taken_at is None or image.taken_precision not in (None, "minute"):
            return []
        moment, folder = _local(image), str(Path(image.path).parent)
        first = bisect_left(self._around, self._before(moment), key=_moment)
        last = bisect_right(self._around, self._after(moment), key=_moment)
        return [
            one.id for one in self._around[first:last]
            if (one.folder == folder or (one.camera is not None and one.camera == image.camera))
            and one.id != image.id and one.id not in self._taken and one.id not in self._shown
            and (self._allowed is None or one.id in self._allowed)
        ]  # fmt: skip

    def _members(self, image_id: int, near: Sequence[int], rows: Mapping[int, Vectors]) -> list[int]:
        """Those of ``near`` that are alike and still in no burst and no hit."""
        known = [i for i in near if i in rows and i not in self._taken and i not in self._shown]
        if not known or image_id not in rows:
            return []
        cosines = np.stack([rows[i] for i in known]) @ rows[image_id]
        return [i for i, cosine in zip(known, cosines.tolist(), strict=True) if cosine >= ALIKE]

    def _embedded(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """Id -> (dim,) of the pictures that this encoder has embedded: another encoder may be ahead of it."""
        return dict(zip(*self._reader.sound_vectors(ids, self._encoder), strict=True))


def _moment(one: _Taken) -> datetime:
    return one.moment


def _local(image: ImageRecord) -> datetime:
    """The date as the camera wrote it: the pictures of one scene share a clock."""
    assert image.taken_at is not None
    return image.taken_at.replace(tzinfo=None)

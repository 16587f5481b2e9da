"""Videos among the hits: an index finds their frames, a list shows each video once, at its nearest frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from indexes.base import Neighbours
from retrieval.catalog.moments import images_of, moments_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from indexes.base import Ids, Vectors
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord
    from retrieval.search.hits import Hit


@dataclass(frozen=True)
class Moments:
    """The frames of a gallery's videos in an index, in addition to the one frame that represents each video.

    Args:
        ids: (n,) of these frames, ascending.
    """

    ids: Ids

    def widened(self, allowed: Ids) -> Ids:
        """Ids of images and, for those that are videos, of their moments."""
        return np.concatenate([allowed, self.ids[np.isin(images_of(self.ids), allowed)]])

    def nearest(self, search: Callable[[int], Neighbours], count: int, total: int) -> Neighbours:
        """The ``count`` nearest images; a video ranks by its nearest frame.

        Args:
            search: takes the number of vectors; see ``indexes.base.VectorIndex.search``.
            total: number of vectors in the index.
        """
        fetch = min(total, count + min(count, len(self.ids)))
        while True:
            answer, is_enough = folded(search(fetch), count)
            if is_enough or fetch >= total:
                return answer
            fetch = min(total, 2 * fetch)


def folded(found: Neighbours, count: int) -> tuple[Neighbours, bool]:
    """The first ``count`` images of images and moments, best first, ties by id; whether all rows have that many."""
    ids = np.full((len(found.ids), count), -1, np.int64)
    scores = np.full(ids.shape, -np.inf, np.float32)
    is_enough = True
    for row, (raw, own) in enumerate(zip(found.ids, found.scores, strict=True)):
        images = images_of(raw[raw >= 0])
        order = np.lexsort((images, -own[: len(images)]))
        first = _first(images[order])[:count]
        ids[row, : len(first)] = images[order][first]
        scores[row, : len(first)] = own[: len(images)][order][first]
        is_enough &= len(first) == count
    return Neighbours(ids, scores), is_enough


def _first(values: Ids) -> NDArray[np.int64]:
    """The position of the first occurrence of each value."""
    order = np.argsort(values, kind="stable")
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = values[order][1:] != values[order][:-1]
    return np.sort(order[is_new])


class Found(NamedTuple):
    """The frame of a video that is nearest to a query: seconds from its beginning, and its cosine."""

    time_s: float
    score: float


def best_moments(
    reader: CatalogReader, row: EncoderRow, direction: Vectors, records: Sequence[ImageRecord]
) -> dict[int, Found]:
    """Id -> the nearest frame, for each video among some pictures.

    Args:
        direction: (1, dim).
    """
    stills = {record.id: record.time_s or 0.0 for record in records if record.duration_s is not None}
    if not stills:
        return {}
    there, own = reader.sound_vectors(list(stills), row)
    images, times, vectors = moments_of(reader, list(stills), row)
    ids = np.concatenate([np.array(there, np.int64), images])
    every = [*(stills[id_] for id_ in there), *times]
    scores = np.concatenate([own, vectors]) @ direction.reshape(-1)
    found: dict[int, Found] = {}
    for at in np.argsort(-scores, kind="stable").tolist():
        found.setdefault(int(ids[at]), Found(float(every[at]), float(scores[at])))
    return found


def at_best_moments(
    reader: CatalogReader, row: EncoderRow, direction: Vectors, records: Sequence[ImageRecord]
) -> list[ImageRecord]:
    """The records; those of videos at the frame that is nearest to a query (1, dim)."""
    best = best_moments(reader, row, direction, records)
    return [replace(each, time_s=best[each.id].time_s) if each.id in best else each for each in records]


def hits_at_moments(
    reader: CatalogReader, row: EncoderRow, directions: Vectors, answers: Sequence[Sequence[Hit]]
) -> list[list[Hit]]:
    """The hits of several queries (q, dim); videos at the frame that is nearest to their query."""
    found = []
    for direction, hits in zip(directions, answers, strict=True):
        records = at_best_moments(reader, row, direction, [hit.image for hit in hits])
        found.append([replace(hit, image=record) for hit, record in zip(hits, records, strict=True)])
    return found

"""A shot of several files (RAW and JPEG, a live photo and its video) is one hit; which of its files a list shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from retrieval.catalog.orders import present_ids
from retrieval.catalog.selection import Selection
from retrieval.catalog.shots import LivePairs, Member, RawPairs, shot_mates, shots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexes.base import Ids
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord
    from retrieval.search.hits import Hit


class Shots:
    """The shots of a gallery that have several files.

    Args:
        members: see ``catalog.shots``.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        columns = np.array(members, np.int64).reshape(-1, 4)
        self._ids, self._shots, self._are_raw, self._are_clips = columns.T
        self._of_all: dict[RawPairs, Selection] = {}

    def narrowed(self, reader: CatalogReader, selected: Selection | None, show: RawPairs) -> Selection:
        """The pictures that a filter selects, or every picture, with one file of each shot."""
        if selected is not None:
            return replace(selected, ids=self.shown(selected.ids, show))
        if show not in self._of_all:
            self._of_all[show] = Selection(self.shown(np.sort(present_ids(reader)), show))
        return self._of_all[show]

    def shown(self, ids: Ids, show: RawPairs) -> Ids:
        """``ids`` with one file of each shot: its JPEG, or with ``raw`` its RAW; a video only if it is alone."""
        present = np.isin(self._ids, ids)
        members, shot = self._ids[present], self._shots[present]
        order = np.lexsort((members, self._are_raw[present] != (show == "raw"), self._are_clips[present], shot))
        further = np.zeros(len(order), np.bool_)
        further[1:] = shot[order][1:] == shot[order][:-1]
        return ids[~np.isin(ids, members[order][further])]

    def with_mates(self, ids: Iterable[int]) -> tuple[int, ...]:
        """These images and the other files of their shots."""
        given = np.fromiter(ids, np.int64)
        own = np.isin(self._shots, self._shots[np.isin(self._ids, given)])
        return tuple(np.union1d(given, self._ids[own]).tolist())


def read_shots(reader: CatalogReader) -> Shots:
    """The shots found by the last run."""
    return Shots(shots(reader))


def mates(reader: CatalogReader, ids: Sequence[int]) -> Mapping[int, tuple[ImageRecord, ...]]:
    """Id -> the other files of its shot that are unchanged since indexing; a RAW first."""
    found = shot_mates(reader, ids)
    records = {record.id: record for record in reader.records(sorted({i for more in found.values() for i in more}))}
    same = {id_: record for id_, record in records.items() if record.on_disk() == "same"}
    return {id_: tuple(same[other] for other in more if other in same) for id_, more in found.items()}


def with_mates_named(
    reader: CatalogReader,
    hits: Sequence[Hit],
    selected: Selection | None = None,
    *,
    raw_pairs: RawPairs = "both",
    live_pairs: LivePairs = "both",
) -> list[Hit]:
    """The hits, each with the other files of its shot.

    Args:
        selected: only files that it includes are named.
        raw_pairs: with ``both``, the RAW of a JPEG is named, or its JPEG.
        live_pairs: with ``both``, the video of a live photo is named.
    """
    known = mates(reader, [hit.image.id for hit in hits])
    shown = {True: live_pairs == "both", False: raw_pairs == "both"}
    passing = None if selected is None else set(selected.ids.tolist())
    known = {
        id_: tuple(
            mate for mate in some if shown[mate.duration_s is not None] and (passing is None or mate.id in passing)
        )
        for id_, some in known.items()
    }
    return [replace(hit, mates=known.get(hit.image.id, ())) for hit in hits]

"""Find duplicates in a gallery: same bytes, same picture, and look-alikes.

* **same bytes**: equal content hashes, grouped by the catalog.
* **same picture**: re-encoded, resized or slightly lit otherwise. Candidates differ in at most ``BITS`` bits of the
  perceptual hash (``hamming.py``: exact, without comparing all pairs), then have nearly the same proportions and
  embeddings (``SAME_COSINE``), and at last are laid on each other (``pixels.py``). Frames of a burst, crops and pages
  of one form pass the first two and fail the last.
* **look-alikes**: only the embeddings agree; see ``lookalikes.py``.

A picture is in at most one group of each kind. What is a duplicate of the first kind is represented by its keeper in
the second, and that of both in the third.

On 516 generated pictures (``benchmarks/duplicates.py``, built-in model) 98.6 % of the copies were found, and no frame
of a burst, page with other words or other gradient was taken for one; of crops only those of gradients were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord
from retrieval.duplicates.fill import missing_hashes
from retrieval.duplicates.groups import Group, Member, keeper_rank, stars
from retrieval.duplicates.hamming import bits_differing, near_pairs
from retrieval.duplicates.lookalikes import find_look_alikes
from retrieval.duplicates.pixels import Viewer, same_shape
from retrieval.duplicates.rows import Columns, half_vectors, read_columns, same_bytes
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.pictures.phash import as_numbers

BITS = 5
"""Of 64. Among 400 photographs of 300 x 200 pixels this misses 1.5 % of the copies at half the size and 3 % at a
quarter (75 x 50), none at quality 30; 2 of 80,000 other pairs come through. With 8 it would be five times as many, and
among 1,000,000 hashes the search takes ten times as long."""

SAME_COSINE = 0.9
"""Wide on purpose: it spares looking at most pictures that are none, and the look decides."""

DEFAULT_LOOK_ALIKE = 0.95

_BUCKET_PAIRS = 1 << 21
"""Of pictures with one hash at most this many pairs are compared: the best keepers with all others."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        groups: same bytes first, then same pictures, then look-alikes; within each, those with the best keeper first.
        images: how many pictures were looked through.
        plain: of these, how many have no structure by which a copy could be told (black frames, white pages).
        crowded: how many share a hash, or nearly, with too many others, and were not compared with all of these.
        unseen: how many could not be looked at: files that are missing or changed since, or not embedded yet.
    """

    groups: tuple[Group, ...]
    images: int
    plain: int
    crowded: int
    unseen: int


def find_duplicates(
    gallery: Gallery,
    where: Filter | None = None,
    *,
    look_alikes: float | None = None,
    on_progress: Progress = lambda *_: None,
) -> Found:
    """Find the duplicates among the pictures that pass a filter.

    Args:
        where: both sides of a pair have to pass it.
        look_alikes: also find pictures whose embeddings' cosine is at least this; None leaves that out.
        on_progress: called with what is done, how much of it, and of how much.

    Raises:
        GalleryNotFound: nothing is indexed.
        QueryError: a cosine outside 0 to 1.
    """
    if look_alikes is not None and not 0 < look_alikes <= 1:
        raise QueryError(f"look-alikes cannot have a cosine of {look_alikes:g} or more", "give a number from 0 to 1")
    with gallery.reader() as reader:
        columns = read_columns(reader)
        if where is not None and not where.is_empty():
            columns = columns.chosen(reader.select(where))
        exact = _same_bytes(reader, columns.ids)
        images = len(columns.ids)
        columns = columns.chosen(_without_others(columns.ids, exact))
        search = _SamePictures(gallery, reader, columns, on_progress)
        copies = search.find()
        groups = [*exact, *copies]
        if look_alikes is not None:
            left = _without_others(columns.ids, copies)
            groups += find_look_alikes(gallery, reader, left, look_alikes, on_progress)
        return Found(tuple(groups), images, search.plain, len(search.crowded), len(search.unseen))


def _same_bytes(reader: CatalogReader, ids: Ids) -> list[Group]:
    allowed = set(ids.tolist())
    groups = []
    for same in same_bytes(reader):
        images = sorted(reader.records([i for i in same if i in allowed]), key=keeper_rank)
        if len(images) > 1:
            groups.append(Group("same bytes", images[0], tuple(Member(image) for image in images[1:])))
    return sorted(groups, key=lambda group: keeper_rank(group.keeper))


def _without_others(ids: Ids, groups: Sequence[Group]) -> Ids:
    others = [member.image.id for group in groups for member in group.others]
    return np.setdiff1d(ids, np.array(others, dtype=np.int64), assume_unique=True)


class _SamePictures:
    """One search for the second kind: the state that its steps share."""

    def __init__(self, gallery: Gallery, reader: CatalogReader, columns: Columns, on_progress: Progress) -> None:
        self._gallery = gallery
        self._reader = reader
        self._encoder = gallery.active_encoder(reader)
        self._on_progress = on_progress
        self.crowded: set[int] = set()
        self.unseen: set[int] = set()
        phash = self._with_missing(columns)
        structured = phash != 0
        self.plain = len(columns.ids) - int(structured.sum()) - len(self.unseen)
        self._columns = columns.chosen(columns.ids[structured])
        self._phash = phash[structured]

    def _with_missing(self, columns: Columns) -> NDArray[np.uint64]:
        without = columns.ids[~columns.is_hashed]
        phash = columns.phash.copy()
        if len(without) == 0:
            return phash
        made = missing_hashes(self._gallery, self._reader, without.tolist(), self._on_progress)
        at = np.searchsorted(columns.ids, np.array(list(made), dtype=np.int64))
        phash[at] = as_numbers(list(made.values()))
        self.unseen.update(set(without.tolist()).difference(made))
        return phash

    def find(self) -> list[Group]:
        """The groups, those with the best keeper first."""
        edges = self._near_in_both()
        neighbours: dict[int, list[int]] = defaultdict(list)
        for first, second in edges:
            neighbours[first].append(second)
            neighbours[second].append(first)
        records = {image.id: image for image in self._reader.records(sorted(neighbours))}
        ranked = sorted(records.values(), key=keeper_rank)
        for near in neighbours.values():
            near.sort()
        looked = 0

        with Viewer() as viewer:

            def agree(keeper: int, candidates: Sequence[int]) -> list[int]:
                nonlocal looked
                looked += 1
                self._on_progress("comparing", looked, len(ranked))
                others = [records[i] for i in candidates if i in records]
                return [image.id for image in viewer.same(records[keeper], others)]

            found = stars((image.id for image in ranked), neighbours, agree)
            self.unseen |= viewer.unseen
        return [self._group(records, keeper, others, edges) for keeper, others in found]

    def _group(
        self,
        records: dict[int, ImageRecord],
        keeper: int,
        others: Sequence[int],
        edges: dict[tuple[int, int], tuple[float, int]],
    ) -> Group:
        members = []
        for image in sorted((records[i] for i in others), key=keeper_rank):
            cosine, bits = edges[min(keeper, image.id), max(keeper, image.id)]
            members.append(Member(image, cosine, bits))
        return Group("same picture", records[keeper], tuple(members))

    # Candidates: by hash, then by shape, then by embedding

    def _near_in_both(self) -> dict[tuple[int, int], tuple[float, int]]:
        """(smaller id, larger id) -> cosine and differing bits of the pairs that hash, shape and embedding allow."""
        pairs = [pair for pair in self._near_in_hash() if len(pair[0])]
        if not pairs:
            return {}
        first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
        ids = self._columns.ids
        known, vectors = half_vectors(self._reader, self._encoder, ids[np.union1d(first, second)].tolist())
        if len(known) == 0:
            return {}
        rows = [np.searchsorted(known, ids[side]).clip(max=len(known) - 1) for side in (first, second)]
        embedded = (known[rows[0]] == ids[first]) & (known[rows[1]] == ids[second])
        for side, row in zip((first, second), rows, strict=True):
            self.unseen.update(ids[side][known[row] != ids[side]].tolist())
        edges = {}
        for start in range(0, len(first), 8192):
            part = slice(start, start + 8192)
            cosines = _cosines(vectors[rows[0][part]], vectors[rows[1][part]])
            bits = bits_differing(self._phash[first[part]], self._phash[second[part]])
            for at in np.flatnonzero(embedded[part] & (cosines >= SAME_COSINE)):
                a, b = first[part][at], second[part][at]
                edges[int(ids[a]), int(ids[b])] = float(cosines[at]), int(bits[at])
        return edges

    def _near_in_hash(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Pairs of places (first < second) whose hashes are near and whose shapes agree."""
        hashes, bucket_of, counts = np.unique(self._phash, return_inverse=True, return_counts=True)
        members = np.argsort(bucket_of, kind="stable")
        starts = np.cumsum(counts) - counts
        for bucket in np.flatnonzero(counts > 1):
            yield self._of_one_shape(*self._within(members[starts[bucket] : starts[bucket] + counts[bucket]]))
        for done, piece in enumerate(near_pairs(hashes, BITS)):
            self._on_progress("comparing hashes", done, 0)
            for bucket in piece.crowded:
                self.crowded.update(self._columns.ids[members[starts[bucket] : starts[bucket] + counts[bucket]]])
            single = (counts[piece.first] == 1) & (counts[piece.second] == 1)
            one, other = members[starts[piece.first[single]]], members[starts[piece.second[single]]]
            yield self._of_one_shape(np.minimum(one, other), np.maximum(one, other))
            for a, b in zip(piece.first[~single], piece.second[~single], strict=True):
                own = members[starts[a] : starts[a] + counts[a]]
                theirs = members[starts[b] : starts[b] + counts[b]]
                if len(own) * len(theirs) > _BUCKET_PAIRS:
                    self.crowded.update(self._columns.ids[np.concatenate([own, theirs])].tolist())
                    continue
                one, other = np.repeat(own, len(theirs)), np.tile(theirs, len(own))
                yield self._of_one_shape(np.minimum(one, other), np.maximum(one, other))

    def _within(self, bucket: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs of pictures with one hash; in a crowd, those of the largest pictures with all others."""
        count = len(bucket)
        columns = self._columns
        ordered = bucket[np.argsort(-columns.width[bucket] * columns.height[bucket], kind="stable")]
        heads = min(count - 1, max(_BUCKET_PAIRS // count, 1))
        if heads < count - 1 and count * count > 2 * _BUCKET_PAIRS:
            self.crowded.update(columns.ids[ordered[heads:]].tolist())
        else:
            heads = count - 1
        one = np.repeat(ordered[:heads], np.arange(count - 1, count - 1 - heads, -1))
        other = np.concatenate([ordered[at + 1 :] for at in range(heads)])
        return np.minimum(one, other), np.maximum(one, other)

    def _of_one_shape(
        self, first: NDArray[np.int64], second: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        width, height = self._columns.width, self._columns.height
        same = same_shape(width[first], height[first], width[second], height[second])
        return first[same], second[same]


def _cosines(first: NDArray[np.float16], second: NDArray[np.float16]) -> NDArray[np.float32]:
    """(n,) cosines of (n, dim) and (n, dim) embeddings, as stored."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    cosines: NDArray[np.float32] = np.einsum("ij,ij->i", a, b) / lengths
    return cosines

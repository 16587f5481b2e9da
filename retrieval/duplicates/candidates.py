"""Pairs of pictures that may be one picture stored twice: similar in hash, proportions, and embedding or colour.

Upright pictures are compared by hash, proportions and embedding. A losslessly rotated or mirrored picture
has another embedding; it is found by the hashes of its original in the other orientations, and by the average
colour, which does not change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.embeddings import half_vectors
from retrieval.catalog.reader import CatalogReader
from retrieval.duplicates.fill import missing_hashes
from retrieval.duplicates.hamming import bits_differing, near_pairs, near_pairs_across
from retrieval.duplicates.pixels import same_shape
from retrieval.duplicates.rows import ImageColumns, hash_rows
from retrieval.duplicates.turns import UPRIGHT, inverse, is_sideways
from retrieval.gallery import Gallery

BITS = 5
"""Of 64. Of the copies in ``benchmarks/duplicates.py``, including rotated and resized ones, 1 in 1,000 differed in 5
bits and the others in fewer; ``phash.py`` has the figures for photographs. With 8, searching 1,000,000 hashes takes ten
times as long."""

SAME_COSINE = 0.3
"""Low on purpose: it avoids decoding most pictures that are not copies; the comparison of pixels decides. A copy of a
quarter of the side length, smaller than the encoder's input, has 0.52 with its original, and less with an enlarged copy
of it. From 0.5 to 0.3, the pairs to compare increased by 1 in 700: few remain after hash and proportions."""

SAME_COLOUR = 12
"""Grey levels by which the average of a rotated picture may differ in red, green and blue."""

_BUCKET_PAIRS = 1 << 21
"""Of pictures with the same hash at most this many pairs are compared: the best keepers with all others."""

_TURNS = (2, 3, 4, 5, 6, 7)  # 8 is the inverse of 6

Progress = Callable[[str, int, int], None]
Places = NDArray[np.int64]


class KnownPair:
    """The known properties of a pair (smaller id, larger id).

    Attributes:
        cosine: of the embeddings; None if one is missing.
        bits: different bits of the hash, by turn: the EXIF orientation in which the second looks like the first.
    """

    __slots__ = ("bits", "cosine")

    def __init__(self, cosine: float | None) -> None:
        self.cosine = cosine
        self.bits: dict[int, int] = {}


Edges = dict[tuple[int, int], KnownPair]


class CandidatePairs:
    """One search for pairs.

    Attributes:
        plain: number of pictures without structure by which a copy could be recognised.
        crowded: ids of pictures that share a hash, or nearly, with too many others.
        unseen: ids of pictures that could not be read, or have no embedding.
    """

    def __init__(self, gallery: Gallery, reader: CatalogReader, columns: ImageColumns, on_progress: Progress) -> None:
        self._gallery = gallery
        self._reader = reader
        self._encoder = gallery.active_encoder(reader)
        self._on_progress = on_progress
        self.crowded: set[int] = set()
        self.unseen: set[int] = set()
        hashes = self._with_missing(columns)
        structured = hashes[:, 0] != 0
        self.plain = len(columns.ids) - int(structured.sum()) - len(self.unseen)
        self._columns = columns.chosen(columns.ids[structured])
        self._hashes = hashes[structured]

    def _with_missing(self, columns: ImageColumns) -> NDArray[np.uint64]:
        without = columns.ids[~columns.is_hashed]
        hashes = columns.hashes.copy()
        if len(without) == 0:
            return hashes
        made = missing_hashes(self._gallery, self._reader, without.tolist(), self._on_progress)
        at = np.searchsorted(columns.ids, np.array(list(made), dtype=np.int64))
        hashes[at] = hash_rows(list(made.values()))
        unknown = columns.ids[~columns.is_hashed & (columns.hashes[:, 0] == 0)]
        self.unseen.update(set(unknown.tolist()).difference(made))
        return hashes

    def find(self) -> Edges:
        """The pairs."""
        edges: Edges = {}
        upright = [pair for pair in self._near_in_hash() if len(pair[0])]
        if upright:
            first, second = (np.concatenate(side) for side in zip(*upright, strict=True))
            self._add(edges, first, second, UPRIGHT, SAME_COSINE)
        for turn in _TURNS:
            for first, second in self._near_when_turned(turn):
                self._add(edges, first, second, turn, None)
        return edges

    def _add(self, edges: Edges, first: Places, second: Places, turn: int, least: float | None) -> None:
        """Add pairs of positions; with ``least``, only those with at least this cosine."""
        ids = self._columns.ids
        known, vectors = half_vectors(self._reader, ids[np.union1d(first, second)].tolist(), self._encoder)
        if len(known) == 0:
            known, vectors = np.full(1, -1), np.zeros((1, self._encoder.dim), np.float16)
        rows = [np.searchsorted(known, ids[side]).clip(max=len(known) - 1) for side in (first, second)]
        embedded = (known[rows[0]] == ids[first]) & (known[rows[1]] == ids[second])
        for side, row in zip((first, second), rows, strict=True):
            self.unseen.update(ids[side][known[row] != ids[side]].tolist())
        for start in range(0, len(first), 8192):
            part = slice(start, start + 8192)
            cosines = _cosines(vectors[rows[0][part]], vectors[rows[1][part]])
            bits = bits_differing(self._hashes[first[part], 0], self._hashes[second[part], turn - 1])
            kept = np.flatnonzero(embedded[part] & (cosines >= least)) if least is not None else np.arange(len(bits))
            for at in kept:
                a, b = int(ids[first[part][at]]), int(ids[second[part][at]])
                cosine = float(cosines[at]) if embedded[part][at] else None
                near = edges.setdefault((min(a, b), max(a, b)), KnownPair(cosine))
                near.bits.setdefault(turn if a < b else inverse(turn), int(bits[at]))

    # Similar in hash and proportions

    def _near_when_turned(self, turn: int) -> Iterator[tuple[Places, Places]]:
        """Pairs of positions in which the second, turned, has the hash, proportions and colour of the first."""
        columns = self._columns
        if len(columns.ids) == 0:
            return
        sides = (columns.height, columns.width) if is_sideways(turn) else (columns.width, columns.height)
        for done, piece in enumerate(near_pairs_across(self._hashes[:, 0], self._hashes[:, turn - 1], BITS)):
            self._on_progress("comparing turned hashes", done, 0)
            first, second = piece.first, piece.second
            other = first < second if turn == inverse(turn) else first != second  # once, if each finds the other
            other &= self._of_one_colour(first, second)
            other &= same_shape(columns.width[first], columns.height[first], sides[0][second], sides[1][second])
            # A picture whose turned hash is unknown has 0 there, like a plain one.
            other &= self._hashes[second, turn - 1] != 0
            if other.any():
                yield first[other], second[other]

    def _of_one_colour(self, first: Places, second: Places) -> NDArray[np.bool_]:
        colour = self._columns.colour
        a, b = colour[first], colour[second]
        near = np.ones(len(first), dtype=np.bool_)
        for shift in (0, 8, 16):
            near &= np.abs(((a >> shift) & 255) - ((b >> shift) & 255)) <= SAME_COLOUR
        return near | (a < 0) | (b < 0)

    def _near_in_hash(self) -> Iterator[tuple[Places, Places]]:
        """Pairs of positions (first < second) with similar hashes and equal proportions."""
        hashes, bucket_of, counts = np.unique(self._hashes[:, 0], return_inverse=True, return_counts=True)
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

    def _within(self, bucket: Places) -> tuple[Places, Places]:
        """The pairs of pictures with one hash; if there are too many, those of the largest pictures with all others."""
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

    def _of_one_shape(self, first: Places, second: Places) -> tuple[Places, Places]:
        width, height = self._columns.width, self._columns.height
        same = same_shape(width[first], height[first], width[second], height[second])
        return first[same], second[same]


def neighbours(edges: Edges) -> dict[int, list[int]]:
    """Id -> the ids with which it forms pairs, ascending."""
    found: dict[int, list[int]] = defaultdict(list)
    for first, second in edges:
        found[first].append(second)
        found[second].append(first)
    for near in found.values():
        near.sort()
    return found


def _cosines(first: NDArray[np.float16], second: NDArray[np.float16]) -> NDArray[np.float32]:
    """(n,) cosines of (n, dim) and (n, dim) embeddings, as stored."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    cosines: NDArray[np.float32] = np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1e-12)
    return cosines

"""All pairs of 64-bit hashes that differ in few bits, without comparing all pairs.

Multi-index hashing: a hash is divided into three bands. Two hashes that differ in at most ``d`` bits differ in at most
``d // 3`` bits of at least one band (pigeonhole principle), so it suffices to search the buckets of each band whose
keys are that close. Reference: M. Norouzi, A. Punjani, D. Fleet, "Fast Exact Search in Hamming Space with Multi-Index
Hashing", IEEE TPAMI 36(6), 2014, section 2.

Measured once, on one thread of a busy machine: 1,000,000 hashes, of which 100,000 were copies with 4 flipped bits, took
1.9 s of CPU time with ``d`` = 5 and 19 s with 8, in 0.2 GB (``benchmarks/duplicates.py --hashes``).

faiss's IndexBinaryMultiHash (three hashes of 21 bits) finds the same pairs, but takes 4.6 times the CPU time (200,000
hashes: 2.4 s against 0.53 s with ``d`` = 5, 19 s against 4.2 s with 8) and has no limit for large buckets: 6,000 hashes
that share one band took it 3.7 s, against 0.04 s here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

_BANDS = ((0, 21), (21, 21), (42, 22))  # (lowest bit, width)
_BLOCK = 1 << 21  # candidate pairs compared at a time: about 100 MB
CROWD = 1 << 24
"""Two buckets with more candidate pairs than this are skipped: pages of one form, frames of one film. Comparing
this many takes half a second; a million pictures in one bucket would take days."""


class NearPairs(NamedTuple):
    """Some of the pairs.

    Attributes:
        first, second: (n,) positions in the list of hashes, first < second; each pair occurs once in all pieces.
        crowded: (m,) positions in buckets too full to be compared, found since the last piece.
    """

    first: Places
    second: Places
    crowded: Places


def near_pairs(hashes: Hashes, distance: int) -> Iterator[NearPairs]:
    """The pairs of ``hashes`` (n,), all of them different, that differ in 1 to ``distance`` bits; in pieces.

    Complete except for pairs within buckets that are too full (``CROWD``), which are reported as ``crowded``.
    """
    radius = distance // len(_BANDS)
    for band in range(len(_BANDS)):
        start, width = _BANDS[band]
        keys = (hashes >> np.uint64(start)) & np.uint64((1 << width) - 1)
        buckets = _bucketed(keys)
        for flipped in _masks(width, radius):
            for first, second, crowded in _candidates(buckets, flipped):
                kept = _kept(hashes[first], hashes[second], band, distance)
                low, high = np.minimum(first[kept], second[kept]), np.maximum(first[kept], second[kept])
                if len(low) or len(crowded):
                    yield NearPairs(low, high, crowded)


def near_pairs_across(left: Hashes, right: Hashes, distance: int) -> Iterator[NearPairs]:
    """The pairs of positions in ``left`` (n,) and ``right`` (m,) whose hashes differ in at most ``distance`` bits.

    Each pair occurs once; ``first`` are positions in ``left``, ``second`` and ``crowded`` positions in ``right``.
    """
    for band, (start, width) in enumerate(_BANDS):
        mask = np.uint64((1 << width) - 1)
        ours, theirs = (_bucketed((hashes >> np.uint64(start)) & mask) for hashes in (left, right))
        for flipped in _masks(width, distance // len(_BANDS)):
            wanted = ours.keys ^ np.uint64(flipped)
            at = np.searchsorted(theirs.keys, wanted).clip(max=len(theirs.keys) - 1)
            found = np.flatnonzero(theirs.keys[at] == wanted)
            sizes = ours.counts[found] * theirs.counts[at[found]]
            crowded = sizes > CROWD
            if crowded.any():
                none = np.empty(0, dtype=np.int64)
                yield NearPairs(none, none, _members(theirs, np.unique(at[found[crowded]])))
                found, sizes = found[~crowded], sizes[~crowded]
            for part in _pieces(sizes):
                first, second = _product(ours, theirs, found[part], at[found[part]])
                one, other = ours.order[first], theirs.order[second]
                kept = _kept(left[one], right[other], band, distance)
                if kept.any():
                    yield NearPairs(one[kept], other[kept], np.empty(0, dtype=np.int64))


def bits_differing(a: Hashes, b: Hashes) -> NDArray[np.int64]:
    """(n,) the number of different bits of (n,) and (n,) hashes.

    Reference: H. S. Warren, "Hacker's Delight", 2nd ed., section 5-1; numpy from 2.0 on has an instruction for this.
    """
    x = a ^ b
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((x * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


class _Buckets(NamedTuple):
    """Hashes with equal keys in one band: ``order[starts[i] : starts[i] + counts[i]]`` have the key ``keys[i]``."""

    keys: Hashes
    starts: Places
    counts: Places
    order: Places


def _bucketed(keys: Hashes) -> _Buckets:
    order = np.argsort(keys, kind="stable")
    values, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    return _Buckets(values, starts, counts, order)


def _masks(width: int, radius: int) -> Iterator[int]:
    """Every way to flip up to ``radius`` bits of a key."""
    for flips in range(radius + 1):
        for bits in combinations(range(width), flips):
            yield sum(1 << bit for bit in bits)


def _candidates(buckets: _Buckets, flipped: int) -> Iterator[tuple[Places, Places, Places]]:
    """The pairs across (or, with nothing flipped, within) buckets whose keys differ in exactly these bits."""
    if flipped == 0:
        left = right = np.flatnonzero(buckets.counts > 1)
    else:
        # Each pair of buckets once: from the one whose lowest flipped bit is clear.
        lowest = np.uint64(flipped & -flipped)
        left = np.flatnonzero((buckets.keys & lowest) == 0)
        wanted = buckets.keys[left] ^ np.uint64(flipped)
        right = np.searchsorted(buckets.keys, wanted)
        found = right < len(buckets.keys)
        found[found] = buckets.keys[right[found]] == wanted[found]
        left, right = left[found], right[found]
    sizes = buckets.counts[left] * buckets.counts[right]
    crowded = sizes > CROWD
    none = np.empty(0, dtype=np.int64)
    if crowded.any():
        yield none, none, _members(buckets, np.union1d(left[crowded], right[crowded]))
        left, right, sizes = left[~crowded], right[~crowded], sizes[~crowded]
    for part in _pieces(sizes):
        first, second = _product(buckets, buckets, left[part], right[part])
        if flipped == 0:
            once = first < second
            first, second = first[once], second[once]
        yield buckets.order[first], buckets.order[second], none


def _pieces(sizes: Places) -> Iterator[slice]:
    """Runs of bucket pairs with about ``_BLOCK`` candidates each."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        done = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, done + _BLOCK, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


def _product(ours: _Buckets, theirs: _Buckets, left: Places, right: Places) -> tuple[Places, Places]:
    """All pairs of a member of ``ours`` ``left[i]`` and one of ``theirs`` ``right[i]``, as positions in ``order``."""
    sizes = ours.counts[left] * theirs.counts[right]
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    wide = np.repeat(theirs.counts[right], sizes)
    first = np.repeat(ours.starts[left], sizes) + within // wide
    second = np.repeat(theirs.starts[right], sizes) + within % wide
    return first, second


def _members(buckets: _Buckets, which: Places) -> Places:
    return np.concatenate([buckets.order[buckets.starts[i] : buckets.starts[i] + buckets.counts[i]] for i in which])


def _kept(a: Hashes, b: Hashes, band: int, distance: int) -> NDArray[np.bool_]:
    """True for pairs within the distance that were not found by an earlier band."""
    kept: NDArray[np.bool_] = bits_differing(a, b) <= distance
    radius = distance // len(_BANDS)
    near = np.flatnonzero(kept)
    for start, width in _BANDS[:band]:
        mask = np.uint64(((1 << width) - 1) << start)
        earlier = bits_differing(a[near] & mask, b[near] & mask) <= radius
        kept[near[earlier]] = False
        near = near[~earlier]
    return kept

"""The search for similar hashes gives the same result as comparing all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.duplicates import hamming
from retrieval.duplicates.hamming import bits_differing, near_pairs

# Few centres with some flipped bits: random hashes alone would hardly ever be near each other.
HASHES = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4).flatmap(
    lambda centres: st.lists(
        st.tuples(st.sampled_from(centres), st.lists(st.integers(0, 63), max_size=5)).map(
            lambda pair: pair[0] ^ sum(1 << bit for bit in set(pair[1]))
        ),
        max_size=40,
        unique=True,
    )
)


def found(hashes: np.ndarray, distance: int) -> list[tuple[int, int]]:
    return [
        pair
        for piece in near_pairs(hashes, distance)
        for pair in zip(piece.first.tolist(), piece.second.tolist(), strict=True)
    ]


@settings(max_examples=150, deadline=None)
@given(HASHES, st.integers(0, 8))
def test_it_equals_brute_force_and_names_each_pair_once(values: list[int], distance: int) -> None:
    hashes = np.array(values, dtype=np.uint64)
    expected = [
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= distance
    ]
    assert sorted(found(hashes, distance)) == expected


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1))
def test_bits_are_counted(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(side, dtype=np.uint64) for side in zip(*pairs, strict=True))
    assert bits_differing(one, other).tolist() == [(a ^ b).bit_count() for a, b in pairs]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 2**63, 5, dtype=np.uint64)
    hashes = np.unique(centres[rng.integers(0, 5, 300)] ^ (np.uint64(1) << rng.integers(0, 60, 300).astype(np.uint64)))
    whole = sorted(found(hashes, 5))
    monkeypatch.setattr(hamming, "_BLOCK", 7)
    assert sorted(found(hashes, 5)) == whole
    assert len(whole) > 1000


def test_a_crowd_is_told_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "CROWD", 1000)
    crowd = np.arange(64, dtype=np.uint64)  # equal in two bands
    near = np.array([1 << 60, (1 << 60) | (1 << 30)], dtype=np.uint64)
    hashes = np.concatenate([crowd, near])
    crowded = {int(place) for piece in near_pairs(hashes, 5) for place in piece.crowded}
    assert set(range(64)) <= crowded and 65 not in crowded
    assert (64, 65) in found(hashes, 5)

"""Evidence is shared by pictures that look alike, and by no others."""

from __future__ import annotations

import numpy as np

from retrieval.encoders.base import unit
from retrieval.search.smoothing import seen_from, smoothed

POOL = unit(np.array([[1, 0, 0], [1, 0.1, 0], [1, 0, 0.1], [0, 1, 0], [-1, 0, 0]]))


def test_look_alikes_share_their_evidence_and_strangers_keep_theirs() -> None:
    evidence = np.array([8.0, 0.0, 1.0, 5.0, -9.0], np.float32)
    found = smoothed(evidence, POOL, evidence, POOL)
    assert 2.9 < found[0] < 3.1  # the mean of 8, 0 and 1
    assert abs(found[3] - 5) < 0.1 and found[4] == -9.0


def test_copies_count_once() -> None:
    evidence = np.array([8.0, 0.0], np.float32)
    once = smoothed(evidence[:1], POOL[:1], evidence, POOL[:2])
    copies = smoothed(evidence[:1], POOL[:1], evidence[[0, 0, 0, 1]], POOL[[0, 0, 0, 1]])
    np.testing.assert_allclose(once, copies)
    assert 3.9 < once[0] < 4.1


def test_without_a_pool_nothing_is_shared() -> None:
    evidence = np.array([8.0], np.float32)
    assert smoothed(evidence, POOL[:1], evidence[:0], POOL[:0]).tolist() == [8.0]


def test_the_nine_that_look_most_alike_are_taken() -> None:
    angles = np.linspace(0, 0.5, 30)
    pool = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    evidence = np.zeros(30, np.float32)
    evidence[10:] = 100  # further than the nine nearest
    assert smoothed(evidence[:1], pool[:1], evidence, pool).tolist() == [0.0]


def test_a_cone_that_all_pictures_lie_in_changes_nothing() -> None:
    evidence = np.array([8.0, 0.0, 1.0, 5.0, -9.0], np.float32)
    plain = smoothed(evidence, POOL, evidence, POOL)
    shift = np.full((5, 1), 3.0)
    shifted = unit(np.hstack([POOL, shift]))
    seen = seen_from(shifted[0] * [0, 0, 0, 1], shifted)
    found = smoothed(evidence, seen, evidence, seen)
    np.testing.assert_allclose(found, plain, atol=0.01)
    assert abs(smoothed(evidence, shifted, evidence, shifted)[3] - 5) > 1

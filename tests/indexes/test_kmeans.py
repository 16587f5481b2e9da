"""Spherical k-means finds existing groups, and is deterministic."""

from __future__ import annotations

import numpy as np
import pytest

from indexes.errors import VectorIndexError
from indexes.kmeans import nearest_centres, train_centres

pytest.importorskip("faiss")


def groups(count: int, each: int, spread: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """(count * each, 16) unit vectors around ``count`` axes, and which."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(count), each)
    rows = np.eye(16)[labels] + spread * rng.normal(size=(count * each, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def test_groups_that_are_there_are_found() -> None:
    vectors, labels = groups(6, 40)
    centres = train_centres(vectors, 6)
    assert centres.shape == (6, 16) and centres.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)
    near = nearest_centres(vectors, centres)
    for label in range(6):
        assert len(set(near.centres[labels == label].tolist())) == 1
    assert len(set(near.centres.tolist())) == 6


def test_the_same_twice_and_each_at_its_nearest() -> None:
    vectors, _ = groups(5, 30, spread=0.5)
    centres = train_centres(vectors, 7, seed=4)
    assert np.array_equal(centres, train_centres(vectors, 7, seed=4))
    near = nearest_centres(vectors, centres)
    cosines = vectors @ centres.T
    assert np.array_equal(near.centres, cosines.argmax(axis=1))
    np.testing.assert_allclose(near.cosines, cosines.max(axis=1), atol=1e-6)


def test_as_many_groups_as_vectors_and_no_more() -> None:
    vectors, _ = groups(1, 5, spread=1.0)
    assert len(set(nearest_centres(vectors, train_centres(vectors, 5)).centres.tolist())) == 5
    for k in (0, 6):
        with pytest.raises(VectorIndexError, match="cannot make"):
            train_centres(vectors, k)

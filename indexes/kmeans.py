"""Spherical k-means: groups unit vectors around unit centres, by cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.errors import BackendUnavailable, VectorIndexError

if TYPE_CHECKING:
    from indexes.base import Vectors

_ITERATIONS = 25
_RESTARTS = 3
_BLOCK = 8192


class Nearest(NamedTuple):
    """The nearest centre of each vector.

    Attributes:
        centres: (n,) int64, index of the centre; the lowest index if there are equals.
        cosines: (n,) float32 similarity to it.
    """

    centres: NDArray[np.int64]
    cosines: NDArray[np.float32]


def train_centres(sample: Vectors, k: int, *, seed: int = 0) -> Vectors:
    """k centres by faiss's spherical k-means (Dhillon and Modha, Machine Learning 42, 2001), the best of three starts.

    faiss uses at most 256 vectors per centre. The same sample, k and seed give the same centres.

    Args:
        sample: (n, dim) unit vectors.

    Returns:
        (k, dim) float32 unit vectors.

    Raises:
        VectorIndexError: k is not between 1 and n.
        BackendUnavailable: faiss is not installed.
    """
    if not 1 <= k <= len(sample):
        raise VectorIndexError(f"cannot make {k} groups of {len(sample)}", f"use a number from 1 to {len(sample)}")
    try:
        import faiss
    except ImportError as error:
        raise BackendUnavailable("faiss is not installed", "install photoseek[cpu]") from error
    # faiss prints warnings below 39 vectors per centre, but small galleries have small groups.
    search = faiss.Kmeans(
        sample.shape[1], k, niter=_ITERATIONS, nredo=_RESTARTS, seed=seed, spherical=True, min_points_per_centroid=1
    )
    search.train(np.ascontiguousarray(sample, dtype=np.float32))
    centres: Vectors = np.ascontiguousarray(search.centroids, dtype=np.float32).reshape(k, -1)
    return centres


def nearest_centres(vectors: Vectors, centres: Vectors) -> Nearest:
    """The nearest centre of each of the vectors (n, dim)."""
    places, best = np.zeros(len(vectors), np.int64), np.zeros(len(vectors), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosines = vectors[part] @ centres.T
        places[part] = cosines.argmax(axis=1)
        best[part] = cosines.max(axis=1)
    return Nearest(places, best)

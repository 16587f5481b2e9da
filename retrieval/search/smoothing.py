"""Evidence that pictures answer a query, smoothed over pictures that look alike.

A model that is wrong about one picture of a thing is mostly right about others of it, and if a thing is absent the best
picture of all is often one about which the model is wrong. So the evidence is the mean over a picture and those that
look like it, weighted by similarity: kernel regression (Nadaraya 1964; Watson 1964). A picture unlike all others
keeps its own evidence. All embeddings of pictures by a CLIP lie in a narrow cone (Liang et al. 2022, arXiv:2203.02053),
so the similarity of two is measured from the centre of the cone.
"""

from __future__ import annotations

import numpy as np

from indexes.base import Vectors

POOL = 200
"""Pictures nearest to the query among which similar ones are searched: as good as among all, whatever the
gallery's size."""

_NEIGHBOURS = 9
_POWER = 2  # of the cosine; docs/relevance.md explains the choice of this and of the 9
_COPY = 1 - 1e-5  # from this cosine on it is the same picture, which adds no evidence


def smoothed(evidence: Vectors, pictures: Vectors, pool_evidence: Vectors, pool: Vectors) -> Vectors:
    """(n,) the weighted mean of each picture's evidence and that of the nine pictures of the pool most like it.

    Args:
        evidence, pictures: (n,) and (n, dim), their directions as :func:`seen_from` the centre.
        pool_evidence, pool: (p,) and (p, dim); may include some of the pictures.
    """
    if not len(pool) or not len(pictures):
        return evidence
    alike = pictures @ pool.T
    alike[alike >= _COPY] = 0.0
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :_NEIGHBOURS]
    weights = np.maximum(np.take_along_axis(alike, nearest, axis=1), 0.0) ** _POWER
    mean: Vectors = (evidence + (weights * pool_evidence[nearest]).sum(axis=1)) / (1 + weights.sum(axis=1))
    return mean


def seen_from(centre: Vectors, vectors: Vectors) -> Vectors:
    """(n, dim) unit directions of (n, dim) vectors, seen from the centre (dim,), which is the mean of pictures of a
    gallery; zeros for a vector at the centre."""
    away = vectors - centre
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    directions: Vectors = away / np.maximum(lengths, 1e-6)
    return directions

"""Evidence that pictures answer a query, smoothed over pictures that look alike.

A model that errs about one picture of a thing is mostly right about others of it, and where a thing is absent the best
picture of all is often one about which the model errs. So what counts is the mean over a picture and those that look
like it, each weighted by how much it does: regression by a kernel (Nadaraya 1964; Watson 1964). A picture like no other
keeps its own evidence. All pictures of a CLIP lie in a narrow cone (Liang et al. 2022, arXiv:2203.02053), so how alike
two are is measured from the cone's middle.
"""

from __future__ import annotations

import numpy as np

from indexes.base import Vectors

POOL = 200
"""Pictures nearest to the query among which those that look alike are sought: as good as among all, whatever the
gallery's size."""

_NEIGHBOURS = 9
_POWER = 2  # of the cosine; docs/relevance.md says on what this and the 9 were chosen
_COPY = 1 - 1e-5  # from this cosine on a picture is the same one, and says nothing new


def smoothed(evidence: Vectors, pictures: Vectors, pool_evidence: Vectors, pool: Vectors, centre: Vectors) -> Vectors:
    """(n,) the weighted mean of each picture's evidence and that of the nine pictures of the pool most like it.

    Args:
        evidence, pictures: (n,) and (n, dim) unit vectors.
        pool_evidence, pool: (p,) and (p, dim), with some of the pictures among them perhaps.
        centre: (dim,) mean of pictures of this gallery.
    """
    if not len(pool) or not len(pictures):
        return evidence
    alike = _from(centre, pictures) @ _from(centre, pool).T
    alike[alike >= _COPY] = 0.0
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :_NEIGHBOURS]
    weights = np.maximum(np.take_along_axis(alike, nearest, axis=1), 0.0) ** _POWER
    mean: Vectors = (evidence + (weights * pool_evidence[nearest]).sum(axis=1)) / (1 + weights.sum(axis=1))
    return mean


def _from(centre: Vectors, vectors: Vectors) -> Vectors:
    """(n, dim) unit directions of (n, dim) vectors, seen from the centre; of one that lies there, nothing."""
    away = vectors - centre
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    directions: Vectors = away / np.maximum(lengths, 1e-6)
    return directions

"""Classification by the nearest labelled pictures, weighted by similarity: k-NN as in DINO's tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.errors import SettingsError

K = 20
TEMPERATURE = 0.07
_QUERIES = 256


def knn_scores(
    queries: Vectors,
    known: Vectors,
    labels: Ids,
    classes: int,
    *,
    k: int = K,
    temperature: float = TEMPERATURE,
    leave_out: Ids | None = None,
) -> NDArray[np.float64]:
    """The weighted votes of the ``k`` nearest known pictures: each gives exp(cosine / temperature) to its class.

    As in DINO's ``eval_knn.py`` (arXiv:2104.14294, appendix F.1; after Wu et al., arXiv:1805.01978), with its k of 20
    and temperature of 0.07; divided by exp(1 / temperature), which does not affect the order.

    Args:
        queries: (q, dim) unit vectors.
        known: (n, dim) unit vectors.
        labels: (n,) their classes, below ``classes``.
        k: number of neighbours that vote; all if there are fewer.
        leave_out: (q,) for each query a row of ``known`` that must not vote: itself.

    Returns:
        (q, classes) float64; 0 for a class that no neighbour has.
    """
    if k < 1 or temperature <= 0:
        raise SettingsError(f"{k} neighbours at a temperature of {temperature} decide nothing", "give k from 1")
    votes = np.zeros((len(queries), classes), dtype=np.float64)
    for start in range(0, len(queries), _QUERIES):
        rows = slice(start, min(start + _QUERIES, len(queries)))
        similar = queries[rows] @ known.T
        if leave_out is not None:
            similar[np.arange(len(similar)), leave_out[rows]] = -np.inf
        # A stable sort: of equally similar pictures the earlier ones vote, on every machine.
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        weights = np.exp((np.take_along_axis(similar, nearest, axis=1).astype(np.float64) - 1) / temperature)
        owner = np.repeat(np.arange(rows.start, rows.stop), nearest.shape[1])
        np.add.at(votes, (owner, labels[nearest].ravel()), weights.ravel())
    return votes

"""Relevance feedback: liked and disliked hits move the query vector.

Rocchio's formula (J. J. Rocchio, Relevance feedback in information retrieval, in: G. Salton (ed.), The SMART Retrieval
System, 1971, chapter 14), with the weights that Manning, Raghavan and Schütze give as reasonable (Introduction to
Information Retrieval, 2008, section 9.1.1): the query counts 1, the mean of the relevant pictures 0.75, the mean of the
others -0.15, because likes are more informative than dislikes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Vectors
from retrieval.errors import QueryError
from retrieval.search.query import combine

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine


@dataclass(frozen=True)
class Rocchio:
    """The weights: of the query, of the mean of the relevant, and of the mean of the others, which is subtracted.

    Raises:
        QueryError: a negative weight, or no positive weight for the query and the relevant.
    """

    query: float = 1.0
    relevant: float = 0.75
    not_relevant: float = 0.15

    def __post_init__(self) -> None:
        weights = (self.query, self.relevant, self.not_relevant)
        if not all(isfinite(weight) and weight >= 0 for weight in weights) or self.query + self.relevant == 0:
            raise QueryError(
                "these weights give no direction", "use numbers of 0 or more, and above 0 for what is wanted"
            )


USUAL = Rocchio()


def rocchio(
    query: Vectors, relevant: Vectors | None = None, not_relevant: Vectors | None = None, weights: Rocchio = USUAL
) -> Vectors:
    """q' = normalize(a q + b mean(relevant) - c mean(not relevant)).

    The result has length 1 again, so that scores stay cosines. Without judgements it is ``query``.

    Args:
        query: (1, dim) unit vector of the original query.
        relevant, not_relevant: (n, dim) unit vectors of judged pictures; None or no rows for none.

    Returns:
        (1, dim) float32 unit vector.

    Raises:
        QueryError: everything cancels out, or nothing is wanted (no weight for the query, and nothing relevant).
    """
    if weights.query == 0 and not (relevant is not None and len(relevant)):
        raise QueryError("there is no positive example", "give a relevant picture, or a query with a weight above 0")
    rows, counts = [np.asarray(query, dtype=np.float32).reshape(-1)], [weights.query]
    for judged, weight in ((relevant, weights.relevant), (not_relevant, -weights.not_relevant)):
        if judged is not None and len(judged):
            rows.append(judged.mean(axis=0, dtype=np.float64).astype(np.float32))
            counts.append(weight)
    return combine(np.stack(rows), counts)


def judged(engine: QueryEngine, asked: Vectors | None, more: Sequence[int], less: Sequence[int]) -> Vectors:
    """The query vector, moved towards some pictures of the gallery and away from others, with the default weights.

    Args:
        asked: (1, dim) unit vector of the query; None without one: then only the liked pictures (at least one) count.
        more, less: ids.

    Returns:
        (1, dim) float32 unit vector.

    Raises:
        QueryError: everything cancels out.
        UnknownImage: a picture that is not in the gallery.
    """
    liked, others = (engine.stored(ids) if ids else None for ids in (more, less))
    if asked is None:
        assert liked is not None
        return rocchio(liked[:1], liked, others, Rocchio(query=0.0))
    return asked if liked is None and others is None else rocchio(asked, liked, others)

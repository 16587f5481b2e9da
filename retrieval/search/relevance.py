"""Decide whether hits of a text search are relevant, by comparison with unrelated queries."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from retrieval.errors import QueryError
from retrieval.labels.zeroshot import probabilities
from retrieval.search.calibration import Calibration

if TYPE_CHECKING:
    from indexes.base import Ids, Vectors
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.query import Query

CUT = 0.99
"""Above it a hit is relevant: the best picture of 1 unrelated search in 100 would be, too."""

SIGMOID_CUT = 0.1
"""The same for encoders with a bias: their own probability that text and picture belong together (arXiv:2303.15343,
section 3.2). Half would be too strict: it is learned where one pair in thousands fits, and SigLIP's model card shows
0.32 for a caption that does."""

ONLY_WORDS = ("only a search by words can be judged for relevance", "with pictures, use --min-score")

_PICTURES_AT_ONCE = 2048


def check_words_only(query: Query) -> None:
    """Raise QueryError for a query with a picture in it. Pictures are nearer to each other than words to pictures, so
    nothing that is measured with words says anything about them."""
    if any(term.kind != "text" for term in query.terms):
        raise QueryError(*ONLY_WORDS)


def cut_of(calibration: Calibration) -> float:
    """The relevance from which a hit answers a query."""
    return CUT if calibration.measured.bias is None else SIGMOID_CUT


def relevances(
    calibration: Calibration,
    direction: Vectors,
    ids: Sequence[int],
    scores: Sequence[float],
    nearest: Ids,
    reader: CatalogReader,
    row: EncoderRow,
) -> list[float]:
    """(n,) how well each picture answers a search by words, in [0, 1].

    Args:
        direction: (1, dim) of the query.
        ids, scores: of the pictures, and their cosines to the query.
        nearest: ids of the :data:`.smoothing.POOL` pictures nearest to the query; -1 for none.
        reader, row: where the embeddings are, and whose.
    """
    measured = calibration.measured
    if measured.bias is not None:
        found: list[float] = probabilities(scores, measured.scale, measured.bias).tolist()
        return found
    _, pool = reader.sound_vectors(nearest[nearest >= 0].tolist(), row)
    values: list[float] = []
    for start in range(0, len(ids), _PICTURES_AT_ONCE):
        part = ids[start : start + _PICTURES_AT_ONCE]
        sound, vectors = reader.sound_vectors(part, row)
        evidence = calibration.smoothed_evidence(direction, vectors, pool)
        share = dict(zip(sound, share_below(calibration, evidence), strict=True))
        values += [share.get(int(image_id), 0.0) for image_id in part]  # of what has no embedding nothing is known
    return values


def share_below(calibration: Calibration, evidence: Vectors) -> list[float]:
    """(n,) evidence -> for each the share of unrelated searches whose best picture fits worse, in [0, 1].

    The evidence of those best pictures is taken for normally distributed.
    """
    measured = calibration.measured
    normal = NormalDist(measured.mean, measured.deviation)
    return [normal.cdf(float(value)) for value in np.asarray(evidence)]

"""Decide whether hits of a text search are relevant, by comparison with unrelated queries."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from retrieval.errors import QueryError
from retrieval.labels.zeroshot import probabilities
from retrieval.search.calibration import Calibration
from retrieval.search.smoothing import seen_from, smoothed

if TYPE_CHECKING:
    from indexes.base import Ids, Vectors
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.query import Query

CUT = 0.99
"""A hit of at least this relevance is relevant; so is the best picture of 1 unrelated search in 100."""

SIGMOID_CUT = 0.1
"""The same for encoders with a bias: their own probability that text and picture belong together (arXiv:2303.15343,
section 3.2). One half would be too strict: it was learned with one matching pair in thousands, and SigLIP's model card
shows 0.32 for a matching caption."""

ONLY_WORDS = ("only a search by words can be judged for relevance", "with pictures, use --min-score")

_PICTURES_AT_ONCE = 2048


def check_words_only(query: Query) -> None:
    """Raise QueryError for a query with a picture in it. Pictures are nearer to each other than words to pictures, so
    measurements with words say nothing about them."""
    if any(term.kind != "text" for term in query.terms):
        raise QueryError(*ONLY_WORDS)


def cut_of(calibration: Calibration) -> float:
    """The relevance from which a hit answers a query."""
    return CUT if calibration.measured.bias is None else SIGMOID_CUT


class Pool(NamedTuple):
    """The pictures nearest to a query, by which each of its hits is judged.

    Attributes:
        rows: id -> row below, for pictures whose embedding is sound.
        evidence: (p,) that each answers.
        seen: (p, dim) their directions from the centre of the gallery.
    """

    rows: dict[int, int]
    evidence: Vectors
    seen: Vectors


def pool_of(
    calibration: Calibration, direction: Vectors, nearest: Ids, reader: CatalogReader, row: EncoderRow
) -> Pool | None:
    """The pool of a query (1, dim), of the :data:`.smoothing.POOL` ids nearest to it; None for an encoder with a bias,
    whose probabilities need none."""
    if calibration.measured.bias is not None:
        return None
    sound, vectors = reader.sound_vectors(nearest.tolist(), row)
    rows = {image_id: at for at, image_id in enumerate(sound)}
    return Pool(rows, calibration.evidence(direction, vectors), seen_from(calibration.centre, vectors))


def relevances(
    calibration: Calibration,
    direction: Vectors,
    ids: Sequence[int],
    scores: Sequence[float],
    pool: Pool | None,
    reader: CatalogReader,
    row: EncoderRow,
) -> list[float]:
    """(n,) how well each picture answers a search by words, in [0, 1].

    Args:
        direction: (1, dim) of the query.
        ids, scores: of the pictures, and their cosines to the query.
        pool: see :func:`pool_of`.
        reader, row: the catalog with the embeddings, and the encoder that made them.
    """
    measured = calibration.measured
    if pool is None:
        assert measured.bias is not None
        found: list[float] = probabilities(scores, measured.scale, measured.bias).tolist()
        return found
    share: dict[int, float] = {}
    near = [image_id for image_id in ids if image_id in pool.rows]
    if near:
        rows = [pool.rows[image_id] for image_id in near]
        evidence = smoothed(pool.evidence[rows], pool.seen[rows], pool.evidence, pool.seen)
        share.update(zip(near, share_below(calibration, evidence), strict=True))
    rest = [image_id for image_id in ids if image_id not in pool.rows]
    for start in range(0, len(rest), _PICTURES_AT_ONCE):
        sound, vectors = reader.sound_vectors(rest[start : start + _PICTURES_AT_ONCE], row)
        seen = seen_from(calibration.centre, vectors)
        evidence = smoothed(calibration.evidence(direction, vectors), seen, pool.evidence, pool.seen)
        share.update(zip(sound, share_below(calibration, evidence), strict=True))
    return [share.get(image_id, 0.0) for image_id in ids]  # without an embedding, relevance is unknown


def share_below(calibration: Calibration, evidence: Vectors) -> list[float]:
    """(n,) evidence -> for each the share of unrelated searches whose best picture fits worse, in [0, 1].

    The evidence of those best pictures is assumed to be normally distributed.
    """
    measured = calibration.measured
    normal = NormalDist(measured.mean, measured.deviation)
    return [normal.cdf(float(value)) for value in np.asarray(evidence)]

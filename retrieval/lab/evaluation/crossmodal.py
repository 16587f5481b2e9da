"""From captions to pictures and back: the metrics in tables of COCO and Flickr30k, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.errors import QueryError
from retrieval.lab.evaluation.bootstrap import RESAMPLES, Estimate, bootstrap
from retrieval.lab.evaluation.metrics import hits_at, ndcg_at, recall_at, reciprocal_rank
from retrieval.lab.evaluation.ranks import Ranks, Relevance, rank_relevant

KS = (1, 5, 10)
NDCG_K = 10


@dataclass(frozen=True)
class Direction:
    """The metrics of one direction.

    Attributes:
        name: ``text to image`` or ``image to text``.
        queries, candidates: their numbers.
        metrics: name (``hit_rate@1`` ... ``median rank``) -> estimate, in the order of a table.
    """

    name: str
    queries: int
    candidates: int
    metrics: dict[str, Estimate]


def judge_captions(
    pictures: Vectors,
    texts: Vectors,
    caption_text: Ids,
    caption_picture: Ids,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Direction, Direction]:
    """Both directions of the protocol of Karpathy and Fei-Fei (arXiv:1412.2306).

    Text to image: each caption is a query, and its own picture is the one right answer. Image to text: each picture is
    a query, and any of its captions is right. Ties count against the encoder, see :func:`.ranks.rank_relevant`.
    A text that belongs to several pictures is one candidate, right for each of them; as a query it is used once for
    each, and only that picture is right.

    Args:
        pictures: (n, dim) unit vectors.
        texts: (t, dim) unit vectors of distinct texts.
        caption_text, caption_picture: (c,) each caption as a row of ``texts`` and one of ``pictures``; every picture
            has a caption, and no caption occurs twice.

    Returns:
        Text to image, image to text.

    Raises:
        QueryError: the shapes do not match, or a picture has no caption.
    """
    if len(caption_text) != len(caption_picture) or not len(caption_text):
        raise QueryError("captions and their pictures do not pair up", "give one picture a caption")
    to_image = rank_relevant(texts[caption_text], pictures, Relevance.of(caption_picture[:, None].tolist()))
    captions: list[list[int]] = [[] for _ in range(len(pictures))]
    for text, picture in zip(caption_text.tolist(), caption_picture.tolist(), strict=True):
        captions[picture].append(text)
    to_text = rank_relevant(pictures, texts, Relevance.of(captions))
    return (
        Direction("text to image", len(caption_text), len(pictures),
                  ranking_metrics(to_image, caption_picture, resamples=resamples, seed=seed)),
        Direction("image to text", len(pictures), len(texts),
                  ranking_metrics(to_text, resamples=resamples, seed=seed)),
    )  # fmt: skip


def ranking_metrics(
    ranks: Ranks, groups: NDArray[np.int64] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """Every metric of a table, by name, with its interval; ``groups`` as in :func:`.bootstrap.bootstrap`."""
    per_query = {f"hit_rate@{k}": hits_at(ranks, k) for k in KS}
    per_query |= {f"recall@{k}": recall_at(ranks, k) for k in KS}
    per_query |= {"MRR": reciprocal_rank(ranks), f"nDCG@{NDCG_K}": ndcg_at(ranks, NDCG_K)}
    found = {name: bootstrap(values, groups, resamples=resamples, seed=seed) for name, values in per_query.items()}
    best = ranks.best.astype(np.float64)
    found["median rank"] = bootstrap(best, groups, statistic="median", resamples=resamples, seed=seed)
    return found

"""Evaluation on held-out pictures: captions to pictures and pictures to captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from indexes.base import Ids, Vectors
from retrieval.encoders.base import Encoder, Pixels
from retrieval.lab.evaluation.bootstrap import Estimate
from retrieval.lab.evaluation.classification import accuracies, class_ranks
from retrieval.lab.evaluation.crossmodal import ranking_metrics
from retrieval.lab.evaluation.metrics import hits_at, reciprocal_rank
from retrieval.lab.evaluation.ranks import Ranks, Relevance, rank_relevant
from retrieval.lab.evaluation.tables import Cell, Report, Table
from retrieval.lab.training.pairs import Pairs
from retrieval.lab.training.pixels import Loaded
from retrieval.labels.zeroshot import class_vectors

MOST = 5000
"""Maximal number of pictures in a validation: as many as in COCO's test split."""

_AT_ONCE = 256
RECALLS = {f"hit_rate@{k}": f"R@{k}" for k in (1, 5, 10)}
"""The names of the metrics in tables of papers."""


class Embeds(Protocol):
    """The part of an encoder that is needed for validation during training."""

    def encode_images(self, pixels: Pixels) -> Vectors: ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True)
class Scores:
    """The results of a validation, each the mean over queries: text to image and image to text."""

    r1: float
    r5: float
    r1_text: float
    r5_text: float
    mrr: float


def judge(model: Embeds, data: Loaded) -> Scores:
    """Evaluate on held-out pictures (the first :data:`MOST` of them); ``mrr`` is the mean over both directions."""
    rows = np.arange(min(len(data), MOST))
    part = data.pairs if len(rows) == len(data) else data.pairs.take(rows)
    to_image, to_text = both_ranks(embed(model.encode_images, data, rows), part, model.encode_texts)
    means = [float(hits_at(ranks, k).mean()) for ranks in (to_image, to_text) for k in (1, 5)]
    mrr = float(reciprocal_rank(to_image).mean() + reciprocal_rank(to_text).mean()) / 2
    return Scores(means[0], means[1], means[2], means[3], mrr)


def embed(encode: Callable[[Pixels], Vectors], data: Loaded, rows: Ids) -> Vectors:
    """(n, dim) embeddings of the pictures at ``rows``."""
    groups = [rows[at : at + _AT_ONCE] for at in range(0, len(rows), _AT_ONCE)]
    return np.concatenate([encode(pixels) for pixels in data.batches(groups)])


def both_ranks(pictures: Vectors, pairs: Pairs, encode: Callable[[Sequence[str]], Vectors]) -> tuple[Ranks, Ranks]:
    """:func:`both_ranks_of` for texts that are embedded here, each meaning in its first wording."""
    used = _used(pairs)
    made = [encode([pairs.meanings[m][0] for m in used[at : at + _AT_ONCE]]) for at in range(0, len(used), _AT_ONCE)]
    texts = np.zeros((len(pairs.meanings), pictures.shape[1]), np.float32)
    texts[used] = np.concatenate(made)
    return both_ranks_of(pictures, texts, pairs)


def both_ranks_of(pictures: Vectors, texts: Vectors, pairs: Pairs) -> tuple[Ranks, Ranks]:
    """The ranks of the right answers: text to image, image to text.

    A text query is a meaning of at least one of the pictures; all pictures with this meaning are right, and any one
    of them counts as a hit. If each text belongs to one picture, this is the protocol of Karpathy
    and Fei-Fei (arXiv:1412.2306).

    Args:
        pictures: (n, dim) unit vectors of ``pairs``.
        texts: (m, dim) unit vectors, a row for each meaning; those that belong to no picture are ignored.
    """
    used = _used(pairs)
    row = {meaning: at for at, meaning in enumerate(used)}
    answers = [[row[meaning] for meaning in said] for said in pairs.said]
    asked = np.array([at for at, said in enumerate(answers) if said], dtype=np.int64)
    pictures_of: list[list[int]] = [[] for _ in used]
    for at, said in enumerate(answers):
        for text in said:
            pictures_of[text].append(at)
    to_image = rank_relevant(texts[used], pictures, Relevance.of(pictures_of))
    to_text = rank_relevant(pictures[asked], texts[used], Relevance.of([answers[at] for at in asked.tolist()]))
    return to_image, to_text


def _used(pairs: Pairs) -> list[int]:
    return sorted({meaning for said in pairs.said for meaning in said})


def figures(pictures: Vectors, pairs: Pairs, encoder: Encoder) -> dict[str, Estimate]:
    """The rows of a before/after table: R@1, R@5 and R@10 both ways, and zero-shot accuracy if there are classes."""
    to_image, to_text = both_ranks(pictures, pairs, encoder.encode_texts)
    found: dict[str, Estimate] = {}
    for name, ranks in (("text to image", to_image), ("image to text", to_text)):
        metrics = ranking_metrics(ranks)
        found |= {f"{name} {short}": metrics[metric] for metric, short in RECALLS.items()}
    if pairs.classes:
        labels = np.array([said[0] for said in pairs.said], dtype=np.int64)
        scores = pictures @ class_vectors(encoder, pairs.names, encoder.spec.prompt_templates).T
        found["zero-shot top-1"] = accuracies(class_ranks(scores, labels), labels)["acc@1"]
    return found


def before_after(about: dict[str, Cell], before: dict[str, Estimate], after: dict[str, Estimate]) -> Report:
    """The table of the improvement by a training, on held-out pictures."""
    rows = tuple((name, before[name], after[name]) for name in before)
    note = "on held-out pictures; value (95 % interval, queries drawn again)"
    return Report(about, (Table("gained", ("metric", "before", "after"), rows),), (note,))

"""Predicted tags: each picture's stored embedding compared with a vocabulary. No picture is read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.labels import add_predicted, remove_predicted, spellings
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.stored import stored_vectors
from retrieval.encoders.names.known_models import is_known_image_only, text_not_supported
from retrieval.errors import EncoderMismatch, QueryError, UnknownImage
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.gallery_encoders import named_encoder
from retrieval.labels.zeroshot import class_vectors, find_templates, probabilities, scale_and_bias
from retrieval.tag_text import clean_tag
from retrieval.undone import Refused, item

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction
    from retrieval.encoders.base import Encoder

MIN_PROBABILITY = 0.1
"""Default threshold for a tag: with 500 labels sharing a probability of 1, fifty times an even share."""

_CELLS = 1 << 21
"""Probabilities in memory at a time, pictures times labels: 16 MB in float64, and as much again for each step."""


@dataclass
class TagReport:
    """The result of a run.

    Attributes:
        encoder: its name.
        labels: number of labels to choose from.
        pictures: number of pictures examined.
        tagged: number of pictures that got a tag.
        tags: tag -> number of pictures that got it, most frequent first.
    """

    encoder: str
    labels: int
    pictures: int = 0
    tagged: int = 0
    tags: dict[str, int] = field(default_factory=dict)


def tag_gallery(
    gallery: Gallery,
    labels: Sequence[str],
    templates: str | Sequence[str] = "model",
    *,
    encoder: Encoder | None = None,
    model: str | None = None,
    folders: Sequence[str | Path] = (),
    top: int = 3,
    min_probability: float = MIN_PROBABILITY,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    refused: Refused | None = None,
) -> TagReport:
    """Predict tags for the gallery from its stored embeddings, replacing this encoder's earlier predictions.

    The probabilities are those of :mod:`retrieval.labels.zeroshot`, over all ``labels``. One transaction writes
    everything: after an interrupt the earlier predictions are unchanged. The same gallery, labels and templates give
    the same tags.

    Args:
        labels: see ``vocabulary.read_labels``; stored after ``tag_text.clean_tag``.
        templates: the templates, or a choice for ``zeroshot.find_templates``.
        encoder: a loaded encoder; default: the one that computed the chosen embeddings.
        model: name of an encoder with embeddings in the gallery; default: ``encoder``, else the active one.
        folders: only pictures below these get tags and lose their earlier predictions; default: all.
        top: maximum number of tags per picture.
        min_probability: from 0 to 1; labels below it do not become tags.
        on_progress: called with pictures done and pictures to do.
        refused: called with a folder below which nothing is indexed; without it, an error is raised.

    Raises:
        QueryError: ``top`` or ``min_probability`` out of range, or too few labels.
        EncoderMismatch, UnknownEncoder: the gallery has no embeddings by this encoder.
        TextNotSupported: the encoder has no text tower.
        UnknownImage: nothing is indexed below a folder.
        GalleryNotFound, GalleryLocked: there is no gallery, or another process writes to it.
    """
    if top < 1:
        raise QueryError(f"cannot give {top} tags", "ask for 1 or more (--top)")
    if not 0 <= min_probability <= 1:
        raise QueryError(f"{min_probability} is not a probability", "give a number from 0 to 1 (--min-probability)")
    with gallery.reader() as reader:
        row = find_encoder(gallery, reader, model, encoder)
        encoder = encoder or _load(row, reader.encoders())
        check_choice(labels, encoder)
        chosen = _below(reader, folders, refused)
        scorer = _Scorer(encoder, labels, chosen_templates(templates, encoder), top, min_probability)
        report = TagReport(row.name, len(labels))
        total = reader.count(row.id) if chosen is None else len(chosen)
        with gallery.writer() as catalog, catalog.transaction() as transaction:
            scorer.spell(transaction)
            remove_predicted(transaction, row.id, None if chosen is None else chosen.tolist())
            for ids, vectors in stored_vectors(reader, row, chosen):
                for start in range(0, len(ids), scorer.pictures_at_once):
                    part = slice(start, start + scorer.pictures_at_once)
                    found = scorer.score(ids[part], vectors[part])
                    add_predicted(transaction, row.id, found)
                    _count(found, report)
                    report.pictures += len(ids[part])
                    on_progress(report.pictures, total)
    report.tags = dict(sorted(report.tags.items(), key=lambda item: (-item[1], item[0])))
    return report


def chosen_templates(templates: str | Sequence[str], encoder: Encoder) -> Sequence[str]:
    """The given templates, or those of a named choice (see ``zeroshot.find_templates``)."""
    return find_templates(templates, encoder.spec) if isinstance(templates, str) else templates


def check_choice(labels: Sequence[str], encoder: Encoder) -> None:
    """QueryError if there are too few labels to choose from: a softmax over one label is always 1."""
    if len(labels) < 2 and scale_and_bias(encoder.spec)[1] is None:
        raise QueryError(
            f"{encoder.spec.name} needs at least two labels to choose from",
            "give two or more, e.g. cat,dog",
        )


def find_encoder(
    gallery: Gallery, reader: CatalogReader, name: str | None = None, encoder: Encoder | None = None
) -> EncoderRow:
    """The gallery's row of an encoder, by name or by the loaded encoder's fingerprint; default: the active one.

    Raises:
        EncoderMismatch, UnknownEncoder: the gallery has no embeddings by it.
        GalleryNotFound: nothing is indexed.
    """
    active = gallery.active_encoder(reader)
    rows = reader.encoders()
    if encoder is None:
        return named_encoder(rows, name) if name else active
    for row in rows:
        if row.fingerprint == encoder.spec.fingerprint:
            return row
    raise EncoderMismatch(
        f"this gallery has no embeddings by {encoder.spec.name}; it has: {', '.join(row.name for row in rows)}",
        f"run: photoseek index --model {encoder.spec.name}",
    )


class _Scorer:
    """Converts embeddings to rows of (image id, tag, probability)."""

    def __init__(
        self, encoder: Encoder, labels: Sequence[str], templates: Sequence[str], top: int, min_probability: float
    ) -> None:
        self._classes = class_vectors(encoder, labels, templates)
        self._tags = [clean_tag(label) for label in labels]
        self._scale, self._bias = scale_and_bias(encoder.spec)
        self._top = min(top, len(labels))
        self._least = min_probability
        self.pictures_at_once = max(1, _CELLS // len(labels))

    def spell(self, transaction: Transaction) -> None:
        """Replace the tags by the gallery's spellings."""
        known = spellings(transaction, self._tags)
        self._tags = [known[tag] for tag in self._tags]

    def score(self, ids: Ids, vectors: Vectors) -> list[tuple[int, str, float]]:
        """The best tags of each picture, most probable first."""
        believed = probabilities(vectors @ self._classes.T, self._scale, self._bias)
        best = best_labels(believed, self._top)
        kept = np.take_along_axis(believed, best, axis=1)
        return [
            (id_, self._tags[label], probability)
            for id_, row, values in zip(ids.tolist(), best.tolist(), kept.tolist(), strict=True)
            for label, probability in zip(row, values, strict=True)
            if probability >= self._least
        ]


def best_labels(believed: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """(n, labels) probabilities -> (n, top) columns of the highest, highest first; the earlier label wins a tie."""
    if top < believed.shape[1]:
        # A full sort of 500 labels takes longer than all other work on a picture.
        best = np.sort(np.argpartition(-believed, top - 1, axis=1)[:, :top], axis=1)
    else:
        best = np.broadcast_to(np.arange(top), believed.shape)
    order = np.argsort(-np.take_along_axis(believed, best, axis=1), axis=1, kind="stable")
    result: NDArray[np.int64] = np.take_along_axis(best, order, axis=1)
    return result


def _load(row: EncoderRow, rows: Sequence[EncoderRow]) -> Encoder:
    from retrieval.encoders.registry import load_encoder_by_fingerprint

    if is_known_image_only(row.name):
        others = [other.name for other in rows if not is_known_image_only(other.name)]
        hint = f"for tags, this gallery has {others[0]}: photoseek tag --model {others[0]}" if others else ""
        raise text_not_supported(row.name, hint)
    return load_encoder_by_fingerprint(row.fingerprint, row.name, row.source)


def _below(reader: CatalogReader, folders: Sequence[str | Path], refused: Refused | None) -> Ids | None:
    """The sorted ids of the pictures below folders; None for all."""
    if not folders:
        return None
    found: list[Ids] = [np.empty(0, np.int64)]
    for folder in folders:
        with item(folder, refused):
            below = reader.select(Filter(under=(Path(folder).expanduser(),)))
            if not len(below):
                raise UnknownImage(f"{folder} is not in the gallery", f"run: photoseek index {folder}")
            found.append(below)
    return np.unique(np.concatenate(found))


def _count(found: Sequence[tuple[int, str, float]], report: TagReport) -> None:
    for _, tag, _ in found:
        report.tags[tag] = report.tags.get(tag, 0) + 1
    report.tagged += len({id_ for id_, _, _ in found})

"""Order of reading: pictures that are likely to contain text come first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from retrieval.catalog.images import Waiting

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.encoders.base import Encoder

_WITH = (
    "a scanned document", "a page of printed text", "a receipt", "a screenshot", "a sign with words", "a poster",
    "the cover of a book", "a whiteboard", "a label with letters", "a form", "a newspaper", "a map with names",
)  # fmt: skip
_WITHOUT = (
    "a landscape", "an animal", "a flower", "people", "a portrait of a person", "food", "a tree", "the sky", "the sea",
    "a room", "a toy", "a tool",
)  # fmt: skip
_AT_ONCE = 4096


def likely_first(reader: CatalogReader, waiting: Sequence[Waiting], encoder: Encoder | None) -> list[Waiting]:
    """The pictures in the order in which they should be read.

    With a model that embeds text, by how much closer their embeddings are to things with text than to things without.
    With equal scores (0 without such a model or without an embedding), those that name no camera come first.

    Args:
        encoder: one of the gallery's encoders.
    """
    scores = {} if encoder is None else _scores(reader, waiting, encoder)
    by_camera = {image.id: image.camera is None for image in reader.records([each.image_id for each in waiting])}

    def key(each: Waiting) -> tuple[float, bool, int]:
        return -scores.get(each.image_id, 0.0), not by_camera.get(each.image_id, False), each.image_id

    return sorted(waiting, key=key)


def _scores(reader: CatalogReader, waiting: Sequence[Waiting], encoder: Encoder) -> dict[int, float]:
    row = next((row for row in reader.encoders() if row.fingerprint == encoder.spec.fingerprint), None)
    if row is None or not encoder.spec.has_text:
        return {}
    words = encoder.encode_texts([*_WITH, *_WITHOUT])
    found: dict[int, float] = {}
    for start in range(0, len(waiting), _AT_ONCE):
        ids, vectors = reader.sound_vectors([each.image_id for each in waiting[start : start + _AT_ONCE]], row)
        if ids:
            near = vectors @ words.T
            gap = near[:, : len(_WITH)].max(1) - near[:, len(_WITH) :].max(1)
            found.update(zip(ids, gap.astype(np.float64).tolist(), strict=True))
    return found

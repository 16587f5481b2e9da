"""Embeddings of an adapter, computed from those of its base encoder; no picture is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from retrieval.catalog.embeddings import add_embeddings, missing_from
from retrieval.catalog.encoders import encoder_of
from retrieval.encoders.adapter import AdaptedEncoder

if TYPE_CHECKING:
    from retrieval.catalog.writer import Catalog
    from retrieval.encoders.base import Encoder

_AT_ONCE = 4096


def adapt_stored(
    catalog: Catalog, encoder: Encoder, encoder_id: int, *, stop: Callable[[], bool] = lambda: False
) -> int:
    """Give every image that the base has embedded an embedding by its adapter; how many were made.

    Nothing happens for an encoder that is no adapter, or where its base has embedded nothing. Images that are retired
    get theirs too, so that they come back as cheaply.

    Args:
        encoder_id: the adapter's row in the catalog.
        stop: asked between transactions of a few thousand images.
    """
    if not isinstance(encoder, AdaptedEncoder):
        return 0
    made, after = 0, 0
    while not stop():
        with catalog.transaction() as transaction:
            base = encoder_of(transaction, encoder.folder.base.fingerprint)
            if base is None:
                return made
            last, ids, vectors = missing_from(transaction, base, encoder_id, after, _AT_ONCE)
            if last is None:
                return made
            if ids:  # the others are damaged, and read anew
                add_embeddings(transaction, encoder_id, ids, encoder.adapt(vectors))
        made, after = made + len(ids), last
    return made

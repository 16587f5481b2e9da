"""The embeddings that a gallery holds, read in blocks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Ids, Vectors

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader, EncoderRow
    from retrieval.filters import Filter

logger = logging.getLogger("photoseek")


def chosen_ids(reader: CatalogReader, row: EncoderRow, where: Filter | None) -> Ids | None:
    """The sorted ids that a filter selects; None for all. What is left out only because it is not known is told.

    Raises:
        QueryError: the filter names a camera, lens, format or tag that the gallery does not hold.
    """
    if where is None or where.is_empty():
        return None
    from retrieval.catalog.selection import check_names, select

    check_names(reader, where, row.id)
    found = select(reader, where, row.id)
    if unknown := found.told():
        logger.warning(unknown)
    return found.ids


def stored_vectors(reader: CatalogReader, row: EncoderRow, chosen: Ids | None = None) -> Iterator[tuple[Ids, Vectors]]:
    """The present images' ids and embeddings by one encoder, from one snapshot of the catalog, in blocks by id.

    Args:
        chosen: only these, sorted; default: all.
    """
    for piece in reader.changes(0, row):
        if chosen is None:
            yield piece.ids, piece.vectors
        else:
            wanted = np.isin(piece.ids, chosen, assume_unique=True)
            yield piece.ids[wanted], piece.vectors[wanted]


def sampled_vectors(
    reader: CatalogReader, row: EncoderRow, most: int, chosen: Ids | None = None, *, seed: int = 0
) -> tuple[Ids, Vectors]:
    """Ids and embeddings of up to ``most`` images, all of them or evenly drawn; the same ones for the same gallery."""
    present = reader.count(row.id) if chosen is None else len(chosen)
    drawn = np.arange(present)
    if present > most:
        drawn = np.sort(np.random.default_rng(seed).choice(present, most, replace=False))
    ids, vectors, before = [np.empty(0, np.int64)], [np.empty((0, row.dim), np.float32)], 0
    for block_ids, block in stored_vectors(reader, row, chosen):
        here = drawn[(drawn >= before) & (drawn < before + len(block_ids))] - before
        ids.append(block_ids[here])
        vectors.append(block[here])
        before += len(block_ids)
    return np.concatenate(ids), np.concatenate(vectors)

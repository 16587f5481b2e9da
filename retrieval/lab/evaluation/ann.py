"""The loss of quality through the index: the same captions searched with it and exactly, over a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexes.base import Ids, Vectors
from indexes.ranking import Block, scan
from indexes.tuning import ann_recall_at_k
from retrieval.errors import QueryError
from retrieval.lab.evaluation.bootstrap import RESAMPLES, Estimate, bootstrap
from retrieval.lab.evaluation.crossmodal import KS

if TYPE_CHECKING:
    from retrieval.encoders.base import Encoder
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine

_SPARE = 32  # neighbours found beyond k, so that equal pictures around the k-th are recognised


@dataclass(frozen=True)
class InTheGallery:
    """Text to image among all pictures of a gallery.

    Attributes:
        spec: the kind of index, as text.
        pictures: number of pictures in the gallery.
        queries: number of captions whose picture is in the gallery.
        exact, ann: k -> hit_rate@k of exact search and of the index. Equal scores are ordered by id, as in a search.
        overlap: k -> the fraction of the true k nearest that the index finds.
    """

    spec: str
    pictures: int
    queries: int
    exact: dict[int, Estimate]
    ann: dict[int, Estimate]
    overlap: dict[int, float]


def judge_index(
    gallery: Gallery,
    encoder: Encoder,
    texts: Vectors,
    paths: Sequence[Path],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> InTheGallery:
    """Search the gallery's index with the usual effort, and the same embeddings exactly.

    Args:
        texts: (q, dim) embedding of each caption.
        paths: its picture; captions whose picture is not in the gallery are left out.

    Raises:
        GalleryNotFound, EncoderMismatch: there is no such gallery, or it has no embeddings of this encoder.
        QueryError: none of the pictures is in it.
    """
    from retrieval.search.engine import QueryEngine

    with QueryEngine(gallery, encoder, remember_texts=False) as engine:
        own = _ids(engine, paths)
        rows = np.flatnonzero(own >= 0)
        if not len(rows):
            raise QueryError(f"none of the pictures is in {gallery.path}", "index them, or leave out --ann")
        queries, own = np.ascontiguousarray(texts[rows]), own[rows]
        index, most = engine.index, max(KS)
        effort = gallery.effort(engine.encoder_row, index.spec)
        found = index.search(queries, most, effort=effort).ids
        truth = scan(queries, _blocks(engine), most + _SPARE)
        size, spec = len(index), str(index.spec)
    _, groups = np.unique(own, return_inverse=True)

    def hit_rates(ids: Ids) -> dict[int, Estimate]:
        right = ids == own[:, None]
        return {
            k: bootstrap(right[:, :k].any(axis=1).astype(float), groups, resamples=resamples, seed=seed) for k in KS
        }

    overlap = {k: ann_recall_at_k(found, truth, k) for k in KS}
    return InTheGallery(spec, size, len(rows), hit_rates(truth.ids), hit_rates(found), overlap)


def _ids(engine: QueryEngine, paths: Sequence[Path]) -> Ids:
    known: dict[Path, int] = {}
    for path in dict.fromkeys(paths):
        record = engine.reader.record_at(path)
        known[path] = -1 if record is None or record.on_disk() != "same" else record.id
    return np.array([known[path] for path in paths], dtype=np.int64)


def _blocks(engine: QueryEngine) -> Iterator[Block]:
    for piece in engine.reader.changes(0, engine.encoder_row):
        yield Block(piece.ids, piece.vectors)

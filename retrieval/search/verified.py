"""Neighbours verified by the catalog: the index finds candidates, the catalog's vectors give the scores.

A saved index is a file like any other: a disk may return other bits than were written, a backup may mix two states.
Checksums (:mod:`indexes.snapshot`) detect that on opening, for large indexes only in part. So nothing is trusted here:
each candidate's score is computed again from its embedding in the catalog, in some 10 us, and that score is shown. If
the index stores vectors as precisely as the catalog does, its own score has to agree; otherwise it is damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from indexes.ranking import exact_scores, nothing_found, ranked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from indexes.base import Effort, Ids, Neighbours, VectorIndex, Vectors
    from indexes.spec import IndexSpec
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader

_SAME = 1e-5  # two float32 dot products of the same vectors
_HALF = 6e-4  # rounding a unit vector to float16 moves a cosine by less than 2**-11
_SPARE = 8
_POOL = 256  # candidates of a kind that stores vectors coarsely, if few hits are wanted
_ROUNDS = 4
_AT_ONCE = 4096


class IndexDamaged(Exception):
    """The index and the catalog disagree about a picture."""


def precision(spec: IndexSpec) -> float | None:
    """The largest difference between index and catalog scores; None for kinds that store vectors coarsely (SQ8, PQ)."""
    return {"Flat": _SAME, "SQfp16": _HALF}.get(spec.refine or spec.codec)


def nearest(
    index: VectorIndex,
    reader: CatalogReader,
    row: EncoderRow,
    directions: Vectors,
    k: int,
    *,
    allowed: Ids | None,
    effort: Effort,
) -> Neighbours:
    """The ``k`` nearest pictures of ``directions`` (q, dim), with the scores that the catalog's embeddings have.

    More candidates are examined than are wanted, until no other picture can be nearer, so that a longer list begins
    with the shorter one. Kinds that store vectors coarsely cannot guarantee that.

    Raises:
        IndexDamaged: a score of the index is impossible.
    """
    error = precision(index.spec)
    most = len(index) if allowed is None else min(len(index), len(allowed))
    exact = error == _SAME
    fetch = k if exact else k + _SPARE if error is not None else max(_POOL, 4 << k.bit_length())
    best = nothing_found(len(directions), k)
    pending = np.arange(len(directions))
    known: dict[int, Vectors] = {}
    for _ in range(_ROUNDS):
        fetch = min(fetch, most)
        if fetch < 1:
            break
        found = index.search(directions[pending], fetch, allowed=allowed, effort=effort)
        _read(reader, row, found.ids, known)
        short = []
        for at, ids, scores in zip(pending.tolist(), found.ids, found.scores, strict=True):
            there = np.fromiter((i in known for i in ids.tolist()), np.bool_, len(ids))
            ids, scores = ids[there], scores[there]
            true = _scores(directions[at], ids, known)
            if error is not None and not bool((np.abs(true - scores) <= error).all()):
                raise IndexDamaged
            answer = ranked(ids[None], true[None], k)
            best.ids[at], best.scores[at] = answer.ids[0], answer.scores[0]
            lowest = np.inf if exact or error is None or not len(scores) else float(scores.min()) + error
            if len(ids) < k or (np.isfinite(lowest) and lowest >= best.scores[at, -1]):
                short.append(at)
        pending = np.array(short, np.int64)
        if not short or fetch == most:
            break
        fetch *= 4
    return best


def check_scores(
    spec: IndexSpec, reader: CatalogReader, row: EncoderRow, direction: Vectors, scores: Mapping[int, float]
) -> None:
    """Compare the index's scores of some pictures with the catalog: for lists that keep the index's own scores.

    Args:
        direction: (1, dim).
        scores: of each id.

    Raises:
        IndexDamaged: a score differs by more than this kind of index allows.
    """
    error = precision(spec)
    if error is None:
        return
    known: dict[int, Vectors] = {}
    _read(reader, row, np.fromiter(scores, np.int64, len(scores)), known)
    ids = np.fromiter(known, np.int64, len(known))
    said = np.fromiter((scores[i] for i in known), np.float32, len(known))
    if not bool((np.abs(_scores(direction[0], ids, known) - said) <= error).all()):
        raise IndexDamaged


def _read(reader: CatalogReader, row: EncoderRow, ids: NDArray[np.int64], known: dict[int, Vectors]) -> None:
    """Read the embeddings of ``ids`` that are not known yet; ids that are not in the catalog stay unknown."""
    new = sorted(set(ids.ravel().tolist()) - known.keys() - {-1})  # np.unique would import numpy.ma: 4 ms
    sound, vectors = reader.sound_vectors(new, row)
    known.update(zip(sound, vectors, strict=True))


def _scores(direction: Vectors, ids: Ids, known: dict[int, Vectors]) -> NDArray[np.float32]:
    """The cosines of a direction (dim,) with pictures."""
    parts = [
        exact_scores(direction[None], np.stack([known[i] for i in ids[start : start + _AT_ONCE].tolist()])[None])[0]
        for start in range(0, len(ids), _AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)

"""Pictures whose embeddings agree and nothing else: bursts, crops, edits, other takes of the same thing.

Where the gallery's index compares all vectors anyway (it does up to some 200,000 pictures), all pairs are compared here
in blocks, which is the same work without ranking. Above, they come from the index, the ``NEIGHBOURS`` nearest of each
picture; a pair is known if either side lists the other, so of more near ones than that some may be missed.

Measured once, on one thread of a busy machine: all pairs of 100,000 random vectors of 64 numbers took 15 s of CPU time,
of 20,000 vectors of 512 numbers 2.4 s.

Groups are stars around the best keeper, as everywhere (``groups.stars``): a walk along a beach is not one group because
each step looks like the last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import unpack_vectors
from retrieval.duplicates.groups import Group, Member, keeper_rank, stars
from retrieval.duplicates.rows import half_vectors
from retrieval.errors import QueryError
from retrieval.gallery import Gallery

NEIGHBOURS = 32
_AT_ONCE = 256
_BLOCK = 2048  # rows compared at a time: 16 MiB of cosines
ALL_PAIRS = 250_000
MAX_PAIRS = 5_000_000
"""More are no answer to anybody, and half a gigabyte."""

Pairs = dict[tuple[int, int], float]
"""(smaller id, larger id) -> cosine."""


def find_look_alikes(
    gallery: Gallery,
    reader: CatalogReader,
    ids: Ids,
    least: float,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Group]:
    """Groups of pictures among ``ids`` whose cosine with their keeper is at least ``least``.

    Raises:
        QueryError: there are more than ``MAX_PAIRS`` such pairs.
    """
    cosines = _near_pairs(gallery, reader, ids, least, on_progress)
    neighbours: dict[int, list[int]] = defaultdict(list)
    for first, second in cosines:
        neighbours[first].append(second)
        neighbours[second].append(first)
    records = {image.id: image for image in reader.records(sorted(neighbours))}
    ranked = sorted(records.values(), key=keeper_rank)

    def agree(keeper: int, candidates: Sequence[int]) -> list[int]:
        return [other for other in candidates if other in records]

    groups = []
    for keeper, others in stars((image.id for image in ranked), neighbours, agree):
        scored = [(cosines[min(keeper, other), max(keeper, other)], other) for other in others]
        members = tuple(Member(records[other], cosine) for cosine, other in sorted(scored, key=lambda s: (-s[0], s[1])))
        groups.append(Group("look-alike", records[keeper], members))
    return groups


def _near_pairs(
    gallery: Gallery, reader: CatalogReader, ids: Ids, least: float, on_progress: Callable[[str, int, int], None]
) -> Pairs:
    encoder = gallery.active_encoder(reader)
    spec = gallery.spec_in_use(reader, encoder)
    if (spec is None or spec.is_exact) and len(ids) <= ALL_PAIRS:
        return _all_pairs(*half_vectors(reader, encoder, ids.tolist()), least, on_progress)
    index = gallery.open_index(reader, encoder)
    effort = gallery.effort(encoder, index.spec)
    allowed = None if len(ids) == len(index) else ids
    pairs: Pairs = {}
    try:
        for start in range(0, len(ids), _AT_ONCE):
            on_progress("look-alikes", start, len(ids))
            known, half = half_vectors(reader, encoder, ids[start : start + _AT_ONCE].tolist())
            if len(known) == 0:
                continue
            vectors = unpack_vectors([row.tobytes() for row in half], encoder.dim)
            found = index.search(vectors, NEIGHBOURS + 1, allowed=allowed, effort=effort)
            for image_id, near, scores in zip(known.tolist(), found.ids, found.scores, strict=True):
                good = scores >= least
                for other, score in zip(near[good].tolist(), scores[good].tolist(), strict=True):
                    if other != image_id and other >= 0:
                        pairs[min(image_id, other), max(image_id, other)] = score
            _check_count(len(pairs), least)
    finally:
        index.close()
    return pairs


def _all_pairs(
    ids: Ids, vectors: NDArray[np.float16], least: float, on_progress: Callable[[str, int, int], None]
) -> Pairs:
    pairs: Pairs = {}
    for start in range(0, len(ids), _BLOCK):
        on_progress("look-alikes", start, len(ids))
        rows = _unit(vectors[start : start + _BLOCK])
        for other in range(start, len(ids), _BLOCK):
            cosines = rows @ _unit(vectors[other : other + _BLOCK]).T
            first, second = np.nonzero(cosines >= least)
            if other == start:
                once = first < second
                first, second = first[once], second[once]
            _check_count(len(pairs) + len(first), least)
            near = zip(ids[start + first].tolist(), ids[other + second].tolist(), strict=True)
            pairs.update(zip(near, np.minimum(cosines[first, second], 1).tolist(), strict=True))
    return pairs


def _unit(half: NDArray[np.float16]) -> Vectors:
    rows = half.astype(np.float32)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows


def _check_count(count: int, least: float) -> None:
    if count > MAX_PAIRS:
        raise QueryError(
            f"more than {MAX_PAIRS:,} pairs have a cosine of {least:g} or more", "raise --min-score, or add a filter"
        )

"""Pictures whose embeddings agree but nothing else: bursts, crops, edits, other shots of the same subject.

Also pairs that looked like copies but are not when compared in full detail, regardless of their embeddings.

If the gallery's index is exact (up to about 200,000 pictures), all pairs are compared here in blocks,
which is the same work without ranking. Above, pairs come from the index, the ``NEIGHBOURS`` nearest of each
picture; a pair is found if either picture lists the other, so some pairs may be missed if there are more neighbours.

Measured once, on one thread of a busy machine: all pairs of 100,000 random vectors of dimension 64 took 15 s of CPU
time, of 20,000 vectors of dimension 512 2.4 s.

Groups are stars around the largest picture, as everywhere (``groups.stars``): a walk along a beach is not one group
just because consecutive pictures look alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids, Vectors
from retrieval.catalog.embeddings import half_vectors
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord, unpack_vectors
from retrieval.duplicates.groups import Group, Member, stars
from retrieval.duplicates.keeper import KeeperCandidate, KeeperRule, by_size, choose
from retrieval.duplicates.looking import ComparedPair
from retrieval.errors import QueryError
from retrieval.gallery import Gallery

NEIGHBOURS = 32
_AT_ONCE = 256
_BLOCK = 2048  # rows compared at a time: 16 MiB of cosines
ALL_PAIRS = 250_000
MAX_PAIRS = 5_000_000
"""More are of no use to anybody, and take half a gigabyte."""

Pairs = dict[tuple[int, int], float]
"""(smaller id, larger id) -> cosine."""


def find_look_alikes(
    gallery: Gallery,
    reader: CatalogReader,
    ids: Ids,
    least: float,
    no_copies: Mapping[tuple[int, int], ComparedPair],
    rule: KeeperRule,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Group]:
    """Groups of pictures among ``ids`` whose cosine with the largest of them is at least ``least``.

    Args:
        no_copies: pairs that are look-alikes in any case.
        rule: which picture of a group is shown first; no files are read for it.

    Raises:
        QueryError: there are more than ``MAX_PAIRS`` such pairs.
    """
    cosines: dict[tuple[int, int], float | None] = dict(_near_pairs(gallery, reader, ids, least, on_progress))
    present = set(ids.tolist())
    for pair in no_copies:
        if present.issuperset(pair):
            cosines.setdefault(pair, None)
    neighbours: dict[int, list[int]] = defaultdict(list)
    for first, second in cosines:
        neighbours[first].append(second)
        neighbours[second].append(first)
    records = {image.id: image for image in reader.records(sorted(neighbours))}
    ranked = sorted(records.values(), key=by_size)

    def star(center: int, free: Callable[[int], list[int]]) -> tuple[Group, list[int]] | None:
        own = [other for other in free(center) if other in records]
        if not own:
            return None
        members = [center, *own]
        choice = choose([KeeperCandidate(records[id_]) for id_ in members], rule)
        keeper = members[choice.keeper]
        return _group(records, keeper, members, cosines, no_copies, choice.reasons), members

    return [group for group in stars((image.id for image in ranked), neighbours, star) if group is not None]


def _group(
    records: Mapping[int, ImageRecord],
    keeper: int,
    members: Sequence[int],
    cosines: Mapping[tuple[int, int], float | None],
    no_copies: Mapping[tuple[int, int], ComparedPair],
    reasons: tuple[str, ...],
) -> Group:
    others = []
    for id_ in members:
        if id_ != keeper:
            pair = min(keeper, id_), max(keeper, id_)
            found = no_copies.get(pair)
            others.append(
                Member(
                    records[id_],
                    cosines.get(pair),
                    comparison=None if found is None else found.comparison,
                    turn=1 if found is None else found.turn,
                )
            )
    others.sort(key=lambda member: (-(member.cosine or 0), member.image.id))
    return Group("look-alike", records[keeper], tuple(others), reasons)


def _near_pairs(
    gallery: Gallery, reader: CatalogReader, ids: Ids, least: float, on_progress: Callable[[str, int, int], None]
) -> Pairs:
    encoder = gallery.active_encoder(reader)
    spec = gallery.spec_in_use(reader, encoder)
    if (spec is None or spec.is_exact) and len(ids) <= ALL_PAIRS:
        return _all_pairs(*half_vectors(reader, ids.tolist(), encoder), least, on_progress)
    index = gallery.open_index(reader, encoder)
    effort = gallery.effort(encoder, index.spec)
    allowed = None if len(ids) == len(index) and all(map(index.__contains__, ids.tolist())) else ids
    pairs: Pairs = {}
    try:
        for start in range(0, len(ids), _AT_ONCE):
            on_progress("look-alikes", start, len(ids))
            known, half = half_vectors(reader, ids[start : start + _AT_ONCE].tolist(), encoder)
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

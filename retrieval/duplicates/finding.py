"""Find duplicates in a gallery: same bytes, same picture, and look-alikes.

* **same bytes**: equal content hashes, grouped by the catalog. Names of one file (hard links, symbolic links) are one.
* **same picture**: re-encoded, resized, turned or mirrored; never a RAW, of which others are made, nor a video. These
  differ in at most ``BITS`` bits of the perceptual hash, and little in proportions and embeddings (``candidates.py``).
  They are laid on each other as sketches and then at their own detail, tile by tile (``looking.py``, ``compare.py``):
  documents that differ in a number, frames of a burst, crops, edits of light, colour and sharpness pass the first steps
  and fail the last.
* **look-alikes**: only the embeddings agree, or a candidate for a copy turned out not to be one; see ``lookalikes.py``.

A picture is in at most one group of each kind. Duplicates of the first kind are represented by their keeper in the
second, and those of both in the third. ``keeper.py`` determines which picture is kept.

How good this is: ``benchmarks/duplicates.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexes.base import Ids
from retrieval.catalog.labels import label_counts
from retrieval.catalog.moments import videos
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord
from retrieval.catalog.selection import check_names, select
from retrieval.catalog.shots import raw_images
from retrieval.catalog.stored import same_bytes
from retrieval.duplicates.candidates import CandidatePairs, neighbours
from retrieval.duplicates.groups import Group, Member
from retrieval.duplicates.keeper import ORIGINAL, KeeperCandidate, KeeperRule, by_size, choose
from retrieval.duplicates.lookalikes import find_look_alikes
from retrieval.duplicates.looking import Looker
from retrieval.duplicates.rows import read_columns
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.search.shots import read_shots

DEFAULT_LOOK_ALIKE = 0.95

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Found:
    """The result of the search.

    Attributes:
        groups: same bytes first, then same pictures, then look-alikes; within each, those with the best keeper first.
        images: number of pictures searched.
        plain: how many of them have no structure by which a copy could be recognised (black frames, white pages).
        crowded: how many share a hash, or nearly, with too many others, and were not compared with all of them.
        unseen: how many could not be examined: files that are missing or have changed, or are not embedded yet.
        linked: how many are additional names (hard or symbolic links) of another file here: no duplicates.
        nearly: how many pairs agree in hash and sketch, but are not copies when compared in full detail.
    """

    groups: tuple[Group, ...]
    images: int
    plain: int
    crowded: int
    unseen: int
    linked: int = 0
    nearly: int = 0


def find_duplicates(
    gallery: Gallery,
    where: Filter | None = None,
    *,
    look_alikes: float | None = None,
    rule: KeeperRule = ORIGINAL,
    on_progress: Progress = lambda *_: None,
) -> Found:
    """Find the duplicates among the pictures that pass a filter.

    Args:
        where: both pictures of a pair must pass it.
        look_alikes: also find pictures whose embeddings have at least this cosine; None disables this.
        rule: which picture of a group is kept.
        on_progress: called with the current step, how much of it is done, and the total.

    Raises:
        GalleryNotFound: nothing is indexed.
        QueryError: a cosine outside 0 to 1, or a filter with names that the gallery does not contain.
    """
    if look_alikes is not None and not 0 < look_alikes <= 1:
        raise QueryError(f"look-alikes cannot have a cosine of {look_alikes:g} or more", "give a number from 0 to 1")
    with gallery.reader() as reader:
        columns = read_columns(reader)
        if where is not None and not where.is_empty():
            check_names(reader, where, None)
        if (where is not None and not where.is_empty()) or reader.has_hidden():
            columns = columns.chosen(select(reader, where or Filter(), for_list=True).ids)
        exact, linked, names = _same_bytes(reader, columns.ids, rule)
        images = len(columns.ids)
        columns = columns.chosen(_without_others(columns.ids, exact, linked))
        # A RAW has what no other file of the shot has, and these may be somebody's work on it: neither is the other's
        # copy. What is the same byte for byte was found before. One frame says nothing of the rest of a video.
        moving = np.array(videos(reader), np.int64)
        others = np.concatenate([np.array(raw_images(reader), np.int64), moving])
        candidates = CandidatePairs(gallery, reader, columns.chosen(np.setdiff1d(columns.ids, others)), on_progress)
        edges = candidates.find()
        near = neighbours(edges)
        records = {image.id: image for image in reader.records(sorted(near))}
        copies: list[Group] = []
        with Looker(records, edges, label_counts(reader, list(records)), rule) as looker:
            for looked, group in enumerate(looker.groups(near)):
                on_progress("comparing", looked, len(records))
                if group is not None:
                    copies.append(_with_names(group, names))
            unseen = candidates.unseen | looker.unseen
            no_copies = looker.no_copies
        groups = [*exact, *sorted(copies, key=lambda group: by_size(group.keeper))]
        if look_alikes is not None:
            left = _without_others(columns.ids, copies, linked)
            left = np.setdiff1d(left, moving)
            left = read_shots(reader).shown(left, "raw") if reader.has_shots() else left
            groups += find_look_alikes(gallery, reader, left, look_alikes, no_copies, rule, on_progress)
        return Found(
            tuple(groups),
            images,
            candidates.plain,
            len(candidates.crowded),
            len(unseen),
            sum(map(len, names.values())),
            len(no_copies),
        )


Names = Mapping[int, Sequence[ImageRecord]]
"""Id of a picture -> the other pictures that are names of the same file."""


def _same_bytes(reader: CatalogReader, ids: Ids, rule: KeeperRule) -> tuple[list[Group], set[int], Names]:
    """The groups, the ids that are names of a file represented by another picture, and these names by its id."""
    allowed = set(ids.tolist())
    groups: list[Group] = []
    names: dict[int, list[ImageRecord]] = {}
    for same in same_bytes(reader):
        images = reader.records([i for i in same if i in allowed])
        if len(images) < 2:
            continue
        labels = label_counts(reader, [image.id for image in images])
        files = _by_file(images)
        # A link can neither replace its target nor be moved for it, so real files take precedence.
        own = [image for image in images if not _is_link(image)] or images
        choice = choose([KeeperCandidate(image, labels.get(image.id, 0)) for image in own], rule)
        keeper = own[choice.keeper]
        kept = next(file for file in files if keeper in file)
        others: list[Member] = []
        for file in files:
            first, *further = sorted(file, key=lambda image: (image is not keeper, _is_link(image)))
            if file is kept:
                names[keeper.id] = further
                continue
            others.append(Member(first))
            # Symbolic links follow the file's path; they are never moved.
            names.setdefault(first.id, []).extend(image for image in further if _is_link(image))
            others += [Member(image, is_linked=True) for image in further if not _is_link(image)]
        if others:
            groups.append(Group("same bytes", keeper, tuple(others), choice.reasons))
    linked = {image.id for further in names.values() for image in further}
    return sorted(groups, key=lambda group: by_size(group.keeper)), linked, names


def _is_link(image: ImageRecord) -> bool:
    return Path(image.path).is_symlink()


def _by_file(images: Sequence[ImageRecord]) -> list[list[ImageRecord]]:
    """The pictures grouped by the file on disk that they are names of; a missing one is a group of its own."""
    files: dict[tuple[int, ...], list[ImageRecord]] = {}
    for image in images:
        try:
            found = os.stat(image.path)
            file: tuple[int, ...] = (found.st_dev, found.st_ino)
        except OSError:
            file = (image.id,)
        files.setdefault(file, []).append(image)
    return list(files.values())


def _with_names(group: Group, names: Names) -> Group:
    """The group with the other names of its files, which would otherwise remain when these are moved."""
    others: list[Member] = []
    for member in group.others:
        others.append(member)
        others += [
            replace(member, image=image, is_linked=True)
            for image in names.get(member.image.id, ())
            if not _is_link(image)
        ]
    return replace(group, others=tuple(others))


def _without_others(ids: Ids, groups: Sequence[Group], linked: set[int]) -> Ids:
    others = {member.image.id for group in groups for member in group.others} | linked
    return np.setdiff1d(ids, np.array(sorted(others), dtype=np.int64), assume_unique=True)

"""Hits: neighbours whose files are unchanged since indexing. The others are skipped, counted, reported in one line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from retrieval.streams import plural

if TYPE_CHECKING:
    from indexes.base import Neighbours
    from retrieval.catalog.records import ImageRecord, OnDisk
    from retrieval.search.query import Query

logger = logging.getLogger("photoseek")


class Reason(NamedTuple):
    """Why a picture is in a list to which names, captions or text contributed.

    Attributes:
        by: sources, ``visual`` first: among the nearest by its cosine, or no other source found it.
        words: source -> the words of the question that it has matched.
        visual_rank: from 1, by cosine only, if that counted (``lexical.DEPTH``).
    """

    by: tuple[str, ...]
    words: dict[str, tuple[str, ...]]
    visual_rank: int | None = None

    def text(self) -> str:
        """``name: bakery; text: receipt; visual rank 3``."""
        told = [f"{source}: {', '.join(words)}" for source, words in self.words.items()]
        if "visual" in self.by:
            told.append("visual" if self.visual_rank is None else f"visual rank {self.visual_rank}")
        return "; ".join(told)


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: from 1.
        score: cosine similarity to the query, in [-1, 1]; comparable between queries of one encoder. NaN where
            nothing was searched for (``pages.browse``).
        image: its record in the catalog.
        on_disk: how the file compares with the indexed one. Searches return only pictures that are the *same*:
            a *changed* file may show something else, a *missing* one cannot be opened.
        relevance: how well it answers a search by words, in [0, 1], if that was requested (``pages.py``).
        burst: how many more pictures of the same scene it represents (``pages.py``).
        mates: the other files of its shot, if they are named beside it (``shots.py``): the RAW of a JPEG,
            the video of a live photo.
        reason: why it is in a list with word matches (``fused.py``); None in a list by cosine.
    """

    rank: int
    score: float
    image: ImageRecord
    on_disk: OnDisk = "same"
    relevance: float | None = None
    burst: int = 0
    mates: tuple[ImageRecord, ...] = ()
    reason: Reason | None = None


class Skipped:
    """The pictures left out so far, each counted once.

    A *missing* file cannot be opened, and a *changed* one may show something else than when indexed. Every list of
    hits (table, JSON, paths, pages, HTTP, tools) is filled up with the pictures that follow.

    Attributes:
        missing, changed: ids of images.
    """

    def __init__(self) -> None:
        self.missing: set[int] = set()
        self.changed: set[int] = set()

    def add(self, image_id: int, on_disk: OnDisk) -> None:
        """Count a picture whose file is missing or changed."""
        if on_disk != "same":
            (self.missing if on_disk == "missing" else self.changed).add(image_id)

    def present(self, hits: Iterable[Hit]) -> list[Hit]:
        """The hits whose files are unchanged since indexing; the others are counted."""
        kept = []
        for hit in hits:
            if hit.on_disk == "same":
                kept.append(hit)
            else:
                self.add(hit.image.id, hit.on_disk)
        return kept

    def message(self) -> str:
        """The message about skipped pictures; empty if nothing was left out."""
        return skipped_words(len(self.missing), len(self.changed))

    def warn(self) -> None:
        """Report it as a warning, if anything was left out."""
        if line := self.message():
            logger.warning("%s", line)


def skipped_words(missing: int, changed: int) -> str:
    """A line that says how many pictures were left out, and what to do; empty for none."""
    if not missing and not changed:
        return ""
    changed_since = "changed since it was indexed" if changed == 1 else "changed since they were indexed"
    if not changed:
        files = "file is" if missing == 1 else "files are"
        return f"{plural(missing, 'picture is', 'pictures are')} skipped: the {files} missing"
    if not missing:
        return f"{plural(changed, 'picture is', 'pictures are')} skipped: {changed_since}; run: photoseek index"
    return (
        f"{missing + changed:,} pictures are skipped: {plural(missing, 'is', 'are')} missing, "
        f"{changed:,} {changed_since}; run: photoseek index"
    )


Looked = tuple["ImageRecord", "OnDisk"]
"""The catalog's record of an image, and how its file compares with it."""


def best_hits(
    queries: Sequence[Query],
    total: int,
    near: Callable[[list[int], int], Neighbours],
    look: Callable[[Sequence[int]], Iterable[Looked]],
    skipped: Skipped,
    *,
    left_out: Collection[int] = (),
) -> list[list[Hit]]:
    """The best ``k`` hits of each query, ties by id; skipped pictures are replaced by the next ones.

    Args:
        queries: all with the same ``k``.
        total: number of pictures that can be found.
        near: (positions of queries, count) -> the ``count`` nearest neighbours of each of them.
        look: reads the records of ids, and compares them with their files; each id is looked up once.
        left_out: images that are excluded from the hits.
    """
    k = queries[0].k
    asked = k + len(left_out)
    answers: list[list[Hit]] = [[] for _ in queries]
    absent: list[list[Hit]] = [[] for _ in queries]
    seen: dict[int, Looked] = {}
    pending = list(range(len(queries)))
    while pending:
        found = near(pending, asked)
        ids_found = sorted(set(found.ids.ravel().tolist()))  # np.unique would import numpy.ma: 4 ms
        seen.update((one[0].id, one) for one in look([i for i in ids_found if i >= 0 and i not in seen]))
        short = []
        for at, ids, scores in zip(pending, found.ids.tolist(), found.scores.tolist(), strict=True):
            known = [(i, score) for i, score in zip(ids, scores, strict=True) if i in seen and i not in left_out]
            answers[at], absent[at] = _split(known, seen, queries[at].min_score, k)
            if absent[at] and len(answers[at]) < k:
                short.append(at)
        # Some were left out: look further down until there are k others, or no more.
        pending, asked = (short, min(total, 2 * asked)) if asked < total else ([], asked)
    for some in absent:
        skipped.present(some)
    return answers


def _split(
    near: Iterable[tuple[int, float]], seen: Mapping[int, Looked], min_score: float | None, k: int
) -> tuple[list[Hit], list[Hit]]:
    """The first ``k`` neighbours that may be shown, ranked, and those before the last of them that may not be shown."""
    hits: list[Hit] = []
    absent: list[Hit] = []
    for image_id, score in near:
        if len(hits) == k:
            break
        if min_score is not None and score < min_score:
            continue  # a fused list is not in the order of scores
        record, on_disk = seen[image_id]
        into = hits if on_disk == "same" else absent
        into.append(Hit(len(hits) + 1, score, record, on_disk))
    return hits, absent

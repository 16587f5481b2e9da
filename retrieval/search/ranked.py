"""Build the ranked list of a query vector: threshold, bursts, order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.records import ImageRecord, OnDisk
from retrieval.search.hits import Hit, Reason
from retrieval.search.orders import Orders, restricted
from retrieval.search.ranking import MAX_DEPTH, Ranking, Scores, Steps

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.lexical import Matches
    from retrieval.search.relevant import Relevant


class Order(Protocol):
    """The requested form of a list; the fields of the HTTP API, or those of :class:`.pages.Listing`.

    Attributes:
        sort: ``score`` (also None), ``date`` or ``name``.
        reverse: the other way round; pictures without a date still come last.
        relevant: only pictures that answer a search by words.
        min_score: only pictures with at least this cosine.
        group_minutes: only the best of a scene within this many minutes.
    """

    @property
    def sort(self) -> str | None: ...
    @property
    def reverse(self) -> bool: ...
    @property
    def relevant(self) -> bool: ...
    @property
    def min_score(self) -> float | None: ...
    @property
    def group_minutes(self) -> float | None: ...


class Content(NamedTuple):
    """A list, or the beginning of it.

    Attributes:
        ids: (n,) in the list's order.
        scores, relevance: (n,) of each, if the list was made by them.
        burst: (n,) how many others each represents.
        total: length of the whole list.
        is_capped: more pictures qualify than are listed.
        nearest: score of the nearest picture if none qualified.
        relevant: this many at the beginning answer the words, and none after them does; None if unknown, or
            if only scores decide the order: some weak matches have high ones.
    """

    ids: Ids
    scores: Scores | None
    relevance: NDArray[np.float32] | None
    burst: NDArray[np.int32] | None
    total: int
    is_capped: bool = False
    nearest: float | None = None
    relevant: int | None = None

    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(each.nbytes for each in (self.ids, self.scores, self.relevance, self.burst) if each is not None)

    def taken(self, at: NDArray[Any]) -> Content:
        """The list at these positions, or where a mask is true; its total and number of relevant pictures stay."""
        return self._replace(
            ids=self.ids[at],
            scores=None if self.scores is None else self.scores[at],
            relevance=None if self.relevance is None else self.relevance[at],
            burst=None if self.burst is None else self.burst[at],
        )

    def without(self, ids: Collection[int]) -> Content:
        """The list without some of its pictures."""
        if not ids:
            return self
        kept = ~np.isin(self.ids, np.fromiter(ids, np.int64, len(ids)))
        relevant = None if self.relevant is None else int(np.count_nonzero(kept[: self.relevant]))
        return self.taken(kept)._replace(total=self.total - int(np.count_nonzero(~kept)), relevant=relevant)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a list.

    Attributes:
        fields: the requested form; the filter is already in ``allowed``.
        ranking: None if there is no query.
        allowed: (n,) ids that pass the filter; None for every picture.
        row: the encoder whose embeddings are searched.
        relevant: judges hits; None if hits of words cannot be judged.
        look: compares a picture with its file.
        is_counted: whether the length of a list without bursts is wanted, which requires making all of it.
        matches: the word matches to list, if ``ranking`` is None.
        good_first: list pictures that answer before the others also if the best score comes first.
    """

    fields: Order
    ranking: Ranking | None
    allowed: Ids | None
    row: EncoderRow
    relevant: Relevant | None = None
    look: Callable[[ImageRecord], OnDisk] = ImageRecord.on_disk
    is_counted: bool = True
    matches: Matches | None = None
    good_first: bool = False

    @property
    def is_by_date(self) -> bool:
        """Whether pictures come in the order of their dates (those that answer first, if there is a query)."""
        return self.fields.sort == "date" or (self.fields.sort is None and self.ranking is None and not self.matches)

    @property
    def is_plain(self) -> bool:
        """Best first, and only the filter decides what qualifies: can be made in parts."""
        fields = self.fields
        is_narrowed = fields.relevant or fields.min_score is not None or fields.group_minutes is not None
        return self.ranking is not None and is_best_first(fields) and not is_narrowed

    def reason(self, image_id: int) -> Reason | None:
        """Why a picture is listed, if not because of its cosine only."""
        if self.ranking is not None:
            return self.ranking.reason(image_id)
        if self.matches is None:
            return None
        words = self.matches.why(image_id)
        return Reason(tuple(words), words)


def is_best_first(fields: Order) -> bool:
    """Whether a list of hits is in the order of its scores; in any other order, relevant pictures come first."""
    return fields.sort in (None, "score") and not fields.reverse


def make(
    recipe: Recipe,
    reader: CatalogReader,
    orders: Orders,
    depth: int,
    known: Content | None = None,
    absent: dict[int, OnDisk] | None = None,
) -> Content:
    """The list, down to ``depth`` at least. For any thread.

    Args:
        known: the beginning of the list, if it was made before.
        absent: filled with the pictures that are in no burst because their files are missing or changed.
    """
    absent = {} if absent is None else absent
    ranking, fields = recipe.ranking, recipe.fields
    if ranking is None:
        return _browsed(recipe, reader, orders, absent)
    if recipe.is_plain:
        return _plain(recipe, ranking, reader, depth, known)
    if fields.relevant and recipe.relevant is not None:
        found = _relevant_only(recipe, ranking, recipe.relevant, reader)
    elif fields.min_score is not None:
        ids, scores, capped = Steps(ranking.by_cosine, ranking.limit).not_below(fields.min_score)
        found = Content(ids, scores, None, None, len(ids), capped, None if len(ids) else _best(ranking))
        found = found.taken(ranking.arrangement(ids))
    elif fields.group_minutes is not None and not recipe.is_counted:
        return _first_groups(recipe, ranking, reader, depth, absent)
    elif fields.group_minutes is None and fields.sort in ("date", "name"):
        return _relevant_first(_whole_in_order(recipe, ranking, reader, orders), recipe, ranking, reader)
    else:
        most = ranking.limit if fields.group_minutes is None else min(ranking.limit, MAX_DEPTH)
        ids, scores = ranking.nearest(most)
        found = Content(ids, scores, None, None, len(ids), len(ids) < ranking.size)
    found = _relevant_first(found, recipe, ranking, reader)
    if fields.group_minutes is not None:
        found = _grouped(found, recipe, reader, absent)
    return _in_order(found, recipe, reader, orders)


def _plain(recipe: Recipe, ranking: Ranking, reader: CatalogReader, depth: int, known: Content | None) -> Content:
    limit, size = ranking.limit, ranking.size
    ids, scores = ranking.nearest(ranking.step(depth))
    good = None
    if recipe.good_first and recipe.relevant is not None:
        found = recipe.relevant.among(ranking, reader)
        others, good = ~np.isin(ids, found.ids), len(found.ids)
        ids = np.concatenate([found.ids, ids[others]])
        scores = np.concatenate([found.scores, scores[others]])
    if known is not None and known.scores is not None:
        # An approximate search for more may find other pictures on the way: those already shown keep their places.
        new = ~np.isin(ids, known.ids)
        ids = np.concatenate([known.ids, ids[new]])[:limit]
        scores = np.concatenate([known.scores, scores[new]])[:limit]
    return Content(ids, scores, None, None, limit, limit < size, relevant=good)


def _browsed(recipe: Recipe, reader: CatalogReader, orders: Orders, absent: dict[int, OnDisk]) -> Content:
    fields = recipe.fields
    if recipe.matches is not None and fields.sort in (None, "score"):
        ids = recipe.matches.ranked[::-1] if fields.reverse else recipe.matches.ranked
    else:
        ids = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
        kept = recipe.allowed if recipe.matches is None else recipe.matches.ranked
        ids = ids if kept is None else restricted(ids, kept)
    found = Content(ids, None, None, None, len(ids))
    return found if fields.group_minutes is None else _grouped(found, recipe, reader, absent)


def _relevant_only(recipe: Recipe, ranking: Ranking, relevant: Relevant, reader: CatalogReader) -> Content:
    """The pictures that answer a search by words, and reach the lowest score."""
    found = relevant.among(ranking, reader)
    if recipe.fields.min_score is not None:
        found = found.kept(found.scores >= recipe.fields.min_score)
    count = len(found.ids)
    nearest = None if count else _best(ranking)
    return Content(found.ids, found.scores, found.relevance, None, count, found.is_capped, nearest, count)


def _relevant_first(found: Content, recipe: Recipe, ranking: Ranking, reader: CatalogReader) -> Content:
    """The same list, with the pictures that answer the words before the others: by date or by name, they would be hard
    to find."""
    if recipe.relevant is None or found.relevant is not None:
        return found
    if is_best_first(recipe.fields) and not recipe.good_first:
        return found
    answers = np.isin(found.ids, recipe.relevant.among(ranking, reader).ids)
    at = np.argsort(~answers, kind="stable")
    return found.taken(at)._replace(relevant=int(np.count_nonzero(answers)))


def _best(ranking: Ranking) -> float | None:
    """The score of the nearest picture."""
    scores = ranking.by_cosine.nearest(1)[1].tolist()
    return scores[0] if scores else None


def _whole_in_order(recipe: Recipe, ranking: Ranking, reader: CatalogReader, orders: Orders) -> Content:
    """Everything by date or by name; needs no search of the index if all of it is listed."""
    fields = recipe.fields
    order = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
    if ranking.limit < ranking.size or (recipe.allowed is None and len(order) != ranking.images):
        ids = restricted(order, ranking.nearest(ranking.limit)[0])
    else:
        ids = order if recipe.allowed is None else restricted(order, recipe.allowed)
        ids = ids[~np.isin(ids, ranking.left_out)] if ranking.left_out else ids
    return Content(ids, None, None, None, len(ids), ranking.limit < ranking.size)


def _first_groups(
    recipe: Recipe, ranking: Ranking, reader: CatalogReader, depth: int, absent: dict[int, OnDisk]
) -> Content:
    """The first ``depth`` of a list without bursts, best first: only better hits decide, so it need not be whole."""
    most = min(ranking.limit, MAX_DEPTH)
    count = min(2 * depth, most)
    while True:
        ids, scores = ranking.nearest(count)
        found = _grouped(Content(ids, scores, None, None, len(ids)), recipe, reader, absent)
        if len(found.ids) >= depth or count == most or len(ids) < count:
            return found
        count = min(2 * count, most)


def _grouped(found: Content, recipe: Recipe, reader: CatalogReader, absent: dict[int, OnDisk]) -> Content:
    """Without bursts: of the first :data:`MAX_DEPTH` pictures those that represent themselves or others."""
    from retrieval.search.bursts import Scenes  # most lists keep every picture

    ids = found.ids[:MAX_DEPTH]
    scores = {} if found.scores is None else dict(zip(ids.tolist(), found.scores.tolist(), strict=False))
    ranking = recipe.ranking
    left_out = () if ranking is None else ranking.left_out
    allowed = None if recipe.allowed is None else frozenset(recipe.allowed.tolist())
    scenes = Scenes(reader, recipe.row, recipe.fields.group_minutes or 0.0, allowed, leave_out=left_out)
    looked_at = [(record, recipe.look(record)) for record in reader.records(ids.tolist())]
    absent |= {record.id: state for record, state in looked_at if state != "same"}
    shown = (record for record, state in looked_at if state == "same")
    groups = scenes.grouped([Hit(rank, scores.get(record.id, 0.0), record) for rank, record in enumerate(shown, 1)])
    kept = np.array([hit.image.id for hit in groups], np.int64)
    at = np.flatnonzero(np.isin(ids, kept))  # in the order of the list, like the groups
    return found.taken(at)._replace(
        burst=np.array([hit.burst for hit in groups], np.int32),
        total=len(at),
        is_capped=found.is_capped or len(found.ids) > MAX_DEPTH,
        relevant=None if found.relevant is None else int(np.count_nonzero(at < found.relevant)),
    )


def _in_order(found: Content, recipe: Recipe, reader: CatalogReader, orders: Orders) -> Content:
    """A list that is best first, in the requested order; pictures that answer stay before the others."""
    fields = recipe.fields
    places = np.arange(len(found.ids))
    behind = places >= (len(places) if found.relevant is None else found.relevant)
    if fields.sort in ("date", "name"):
        order = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
        ranks = {image_id: rank for rank, image_id in enumerate(restricted(order, found.ids).tolist())}
        # Pictures retired in the catalog since the index was opened have no place in the order.
        at = np.array([n for n, i in enumerate(found.ids.tolist()) if i in ranks], np.int64)
        wanted = np.array([ranks[i] for i in found.ids[at].tolist()], np.int64)
        at = at[np.lexsort((wanted, behind[at]))]
    elif fields.reverse and found.scores is not None:
        is_fused = recipe.ranking is not None and recipe.ranking.by_cosine is not recipe.ranking
        at = np.lexsort((-places, behind) if is_fused else (found.ids, found.scores, behind))
    else:
        return found
    relevant = None if found.relevant is None else int(np.count_nonzero(~behind[at]))
    return found.taken(at)._replace(total=len(at), relevant=relevant)

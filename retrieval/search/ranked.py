"""Build the ranked list of a query vector: threshold, bursts, order."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.records import ImageRecord, OnDisk
from retrieval.search.engine import Hit
from retrieval.search.orders import Orders, restricted
from retrieval.search.ranking import MAX_DEPTH, Ranking, Scores, Steps

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.search.relevant import Relevant


class Order(Protocol):
    """What a list is asked to be; the fields of the HTTP API, or :class:`.pages.Listing`'s.

    Attributes:
        sort: ``score`` (also None), ``date`` or ``name``.
        reverse: the other way round; what has no date still comes last.
        relevant: only what answers a search by words.
        min_score: only what reaches this cosine.
        group_minutes: of a scene within so many minutes only the best.
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
        scores, relevance: (n,) of each, where the list was made by them.
        burst: (n,) how many others each stands for.
        total: length of the whole list.
        is_capped: more pictures qualify than are listed.
        nearest: score of the nearest picture where none qualified.
        relevant: so many at the beginning answer the words, and none behind them does; None where nobody knows, or
            where the best score comes first, which some weak matches have.
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
        """The list of these places, or of those that are marked; how long it is and what is relevant stay as said."""
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
    """What decides a list.

    Attributes:
        fields: what is asked for; the filter is in ``allowed`` already.
        ranking: None where nothing is looked for.
        allowed: (n,) ids that pass the filter; None for every picture.
        row: whose embeddings are searched.
        relevant: where hits of words can be judged.
        look: compares a picture with its file.
        is_counted: whether the length of a list without bursts is wanted, for which all of it has to be made.
    """

    fields: Order
    ranking: Ranking | None
    allowed: Ids | None
    row: EncoderRow
    relevant: Relevant | None = None
    look: Callable[[ImageRecord], OnDisk] = ImageRecord.on_disk
    is_counted: bool = True

    @property
    def is_plain(self) -> bool:
        """Best first, and nothing but the filter says what qualifies: can be made in parts."""
        fields = self.fields
        is_narrowed = fields.relevant or fields.min_score is not None or fields.group_minutes is not None
        return self.ranking is not None and is_best_first(fields) and not is_narrowed


def is_best_first(fields: Order) -> bool:
    """Whether a list of hits is in the order of its scores; in any other, what is relevant comes first."""
    return fields.sort in (None, "score") and not fields.reverse


def make(
    recipe: Recipe,
    reader: CatalogReader,
    orders: Orders,
    depth: int,
    known: Content | None = None,
    absent: dict[int, OnDisk] | None = None,
) -> Content:
    """The list, down to ``depth`` at least. Any thread.

    Args:
        known: the beginning, as far as it is made.
        absent: told of pictures that are in no burst because their files are missing or changed.
    """
    absent = {} if absent is None else absent
    ranking, fields = recipe.ranking, recipe.fields
    if ranking is None:
        return _browsed(recipe, reader, orders, absent)
    if recipe.is_plain:
        return _plain(ranking, depth, known)
    if fields.relevant and recipe.relevant is not None:
        found = _relevant_only(recipe, ranking, recipe.relevant, reader)
    elif fields.min_score is not None:
        ids, scores, capped = Steps(ranking, ranking.limit).not_below(fields.min_score)
        found = Content(ids, scores, None, None, len(ids), capped, None if len(ids) else _best(ranking))
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


def _plain(ranking: Ranking, depth: int, known: Content | None) -> Content:
    limit, size = ranking.limit, ranking.size
    ids, scores = ranking.nearest(ranking.step(depth))
    if known is not None and known.scores is not None:
        # An approximate search for more may find others on the way: what was shown stays where it is.
        new = ~np.isin(ids, known.ids)
        ids = np.concatenate([known.ids, ids[new]])[:limit]
        scores = np.concatenate([known.scores, scores[new]])[:limit]
    return Content(ids, scores, None, None, limit, limit < size)


def _browsed(recipe: Recipe, reader: CatalogReader, orders: Orders, absent: dict[int, OnDisk]) -> Content:
    fields = recipe.fields
    ids = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
    if recipe.allowed is not None:
        ids = restricted(ids, recipe.allowed)
    found = Content(ids, None, None, None, len(ids))
    return found if fields.group_minutes is None else _grouped(found, recipe, reader, absent)


def _relevant_only(recipe: Recipe, ranking: Ranking, relevant: Relevant, reader: CatalogReader) -> Content:
    """What answers a search by words, and reaches the lowest score."""
    found = relevant.among(ranking, reader)
    if recipe.fields.min_score is not None:
        found = found.kept(found.scores >= recipe.fields.min_score)
    count = len(found.ids)
    nearest = None if count else _best(ranking)
    return Content(found.ids, found.scores, found.relevance, None, count, found.is_capped, nearest, count)


def _relevant_first(found: Content, recipe: Recipe, ranking: Ranking, reader: CatalogReader) -> Content:
    """The same list, with what answers the words before what does not: by date or by name, nobody would find it among
    the others."""
    if recipe.relevant is None or found.relevant is not None or is_best_first(recipe.fields):
        return found
    answers = np.isin(found.ids, recipe.relevant.among(ranking, reader).ids)
    at = np.argsort(~answers, kind="stable")
    return found.taken(at)._replace(relevant=int(np.count_nonzero(answers)))


def _best(ranking: Ranking) -> float | None:
    """The score of the nearest picture."""
    scores = ranking.nearest(1)[1].tolist()
    return scores[0] if scores else None


def _whole_in_order(recipe: Recipe, ranking: Ranking, reader: CatalogReader, orders: Orders) -> Content:
    """Everything by date or by name, which asks the index nothing if all of it is listed."""
    fields = recipe.fields
    order = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
    if ranking.limit < ranking.size or (recipe.allowed is None and len(order) != len(ranking.index)):
        ids = restricted(order, ranking.nearest(ranking.limit)[0])
    else:
        ids = order if recipe.allowed is None else restricted(order, recipe.allowed)
        ids = ids[~np.isin(ids, ranking.left_out)] if ranking.left_out else ids
    return Content(ids, None, None, None, len(ids), ranking.limit < ranking.size)


def _first_groups(
    recipe: Recipe, ranking: Ranking, reader: CatalogReader, depth: int, absent: dict[int, OnDisk]
) -> Content:
    """The first ``depth`` of a list without bursts, best first: better hits alone decide, so it need not be whole."""
    most = min(ranking.limit, MAX_DEPTH)
    count = min(2 * depth, most)
    while True:
        ids, scores = ranking.nearest(count)
        found = _grouped(Content(ids, scores, None, None, len(ids)), recipe, reader, absent)
        if len(found.ids) >= depth or count == most or len(ids) < count:
            return found
        count = min(2 * count, most)


def _grouped(found: Content, recipe: Recipe, reader: CatalogReader, absent: dict[int, OnDisk]) -> Content:
    """Without bursts: of the first :data:`MAX_DEPTH` pictures those that stand for themselves or for others."""
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
    at = np.flatnonzero(np.isin(ids, kept))  # in the order of the list, as the groups are
    return found.taken(at)._replace(
        burst=np.array([hit.burst for hit in groups], np.int32),
        total=len(at),
        is_capped=found.is_capped or len(found.ids) > MAX_DEPTH,
        relevant=None if found.relevant is None else int(np.count_nonzero(at < found.relevant)),
    )


def _in_order(found: Content, recipe: Recipe, reader: CatalogReader, orders: Orders) -> Content:
    """What came best first, in the order that was asked for; what answers stays before what does not."""
    fields = recipe.fields
    places = np.arange(len(found.ids))
    behind = places >= (len(places) if found.relevant is None else found.relevant)
    if fields.sort in ("date", "name"):
        order = orders.of(reader, "name" if fields.sort == "name" else "date", fields.reverse)
        ranks = {image_id: rank for rank, image_id in enumerate(restricted(order, found.ids).tolist())}
        # What the catalog retired since the index was opened has no place in the order.
        at = np.array([n for n, i in enumerate(found.ids.tolist()) if i in ranks], np.int64)
        wanted = np.array([ranks[i] for i in found.ids[at].tolist()], np.int64)
        at = at[np.lexsort((wanted, behind[at]))]
    elif fields.reverse and found.scores is not None:
        at = np.lexsort((found.ids, found.scores, behind))
    else:
        return found
    relevant = None if found.relevant is None else int(np.count_nonzero(~behind[at]))
    return found.taken(at)._replace(total=len(at), relevant=relevant)

"""Count facets: the pictures that pass a filter, each field under the conditions on all other fields.

In one pass over the catalog every picture gets the set of groups of conditions that it fails, and one that fails two
groups is in no facet at all. A facet then counts the pictures that fail only its own group. (Solr and Lucene
call this tagged filters and drill-sideways.)
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.catalog.facets import failing
from retrieval.catalog.places import Place
from retrieval.catalog.reader import CatalogReader
from retrieval.filters import Filter
from retrieval.filters.conditions import COUNTED, PAIRED, fields
from retrieval.paths import as_text, is_below
from retrieval.web.facets import folder_tree
from retrieval.web.facets.columns import Codes, Columns, TagPairs, follow
from retrieval.web.facets.live_albums import Live
from retrieval.web.facets.map_cells import Box, box_around, cells_in
from retrieval.web.facets.models import (
    FacetCounts,
    FolderCount,
    FolderNode,
    MonthCount,
    PlaceCount,
    Places,
    TagCount,
    ValueCount,
    YearCount,
)

GROUPS: dict[str, list[str]] = {}
"""Facet -> the conditions that it is counted without."""

for _name, _condition in fields():
    if _condition.facet is not None:
        GROUPS.setdefault(_condition.facet.group, []).append(_name)

_REMEMBERED = 64

_NONE = ""
"""Used in place of a facet: no condition is left out."""

_REST, _OUT = 1, (1 << 32) - 1
"""The bit of the conditions that are left out for no facet; and all bits, for a picture that is in no facet."""


class Only(Protocol):
    """The pictures to count, if not all of them."""

    @property
    def name(self) -> str:
        """Equal for equal selections."""

    def ids(self, reader: CatalogReader) -> Ids:
        """(n,) ids, in no order."""


Chosen = NDArray[np.bool_] | None
"""The rows that are counted; None: all of them, for which nothing has to be copied."""


class Facets:
    """Counts facets for any number of threads, each with its own reader, and remembers answers until a commit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: str | None = None
        self._columns: Columns | None = None
        self._answers: OrderedDict[tuple[Filter, str, Box | None, int, str], FacetCounts] = OrderedDict()

    def count(
        self,
        reader: CatalogReader,
        where: Filter,
        *,
        only: Only | None = None,
        box: Box | None = None,
        most: int = 200,
        live: Live = Live(),  # noqa: B008 - without albums
    ) -> FacetCounts:
        """The facets of the present pictures under a filter.

        Args:
            only: the pictures to count; None: every one.
            box: the part of the map to divide into cells; None: the box around all places.
            live: the pictures of albums that are saved searches.
            most: the number of values returned for a facet, the most frequent ones. All years and months are returned.

        Raises:
            GalleryError: the catalog cannot be read.
        """
        columns = self._current(reader)
        key = (where, "" if only is None else only.name, box, most, live.name)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        ids = None if only is None else only.ids(reader)
        found = _Counting(reader, columns, where, ids, most, live).answer(box)
        with self._lock:
            if columns is self._columns:
                self._answers[key] = found
                if len(self._answers) > _REMEMBERED:
                    self._answers.popitem(last=False)
        return found

    def folders(
        self,
        reader: CatalogReader,
        where: Filter,
        *,
        only: Only | None = None,
        within: str | None = None,
        name: str = "",
        most: int = 200,
    ) -> list[FolderNode]:
        """Folders with pictures that pass everything but the conditions on folders.

        Args:
            only: the pictures to count; None: every one.
            within: those one level below this one; None: the outermost ones.
            name: instead of these, folders anywhere with this in their name.
            most: how many, at most.

        Raises:
            GalleryError: the catalog cannot be read.
        """
        columns = self._current(reader)
        ids = None if only is None else only.ids(reader)
        own = _Counting(reader, columns, where, ids, most, Live()).by_folder()
        if name.strip():
            return folder_tree.named(own, name, most)
        return folder_tree.roots_of(own, reader.roots()) if within is None else folder_tree.below(own, within, most)

    def _current(self, reader: CatalogReader) -> Columns:
        """The columns in step with the reader's catalog."""
        with self._lock:
            version = reader.version()
            if self._columns is None or self._version != version:
                self._columns = follow(reader, self._columns)
                self._version = version
                self._answers.clear()
            return self._columns


class _Counting:
    """The state shared by the facets of one answer."""

    def __init__(
        self, reader: CatalogReader, columns: Columns, where: Filter, ids: Ids | None, most: int, live: Live
    ) -> None:  # fmt: skip
        self._columns, self._where, self._most, self._live = columns, where, most, live
        self._asked = _by_group(where)
        is_every = where.is_empty() and not reader.has_hidden()
        self._fails = None if is_every else _fails(reader, columns, self._asked)
        if ids is not None:
            rows, known = columns.rows_of(ids)
            counted = np.zeros(len(columns.ids), np.bool_)
            counted[rows[known]] = True
            fails = np.zeros(len(columns.ids), np.uint32) if self._fails is None else self._fails
            self._fails = np.where(counted, fails, np.uint32(_OUT))
        self._roots = reader.roots()
        self._chosen: dict[int, Chosen] = {}

    def answer(self, box: Box | None) -> FacetCounts:
        dated = self._under("date")
        months = _counts(self._columns.coded["month"], dated)
        parents, folders = self._folders()
        values: Any = {facet.field: self._values(facet.group) for facet in COUNTED}
        values |= {facet.field: self._paired(facet.group) for facet in PAIRED}
        return FacetCounts(
            total=self._total(self._under(_NONE)),
            years=_years(months),
            months=[MonthCount(month=f"{month // 12:04}-{month % 12 + 1:02}", count=n) for month, n in months.items()],
            undated=self._total(dated) - sum(months.values()),
            parents=parents,
            folders=folders,
            tags=self._tags(),
            places=self._places(box),
            named_places=self._named_places(),
            **values,
        )

    def _under(self, group: str) -> Chosen:
        """The pictures that pass everything but the conditions of one group."""
        if self._fails is None:
            return None
        own = 1 << list(self._asked).index(group) if group in self._asked else _REST
        if own not in self._chosen:
            self._chosen[own] = (self._fails & np.uint32(_OUT - own)) == 0
        return self._chosen[own]

    def _total(self, chosen: Chosen) -> int:
        return len(self._columns.ids) if chosen is None else int(np.count_nonzero(chosen))

    def _values(self, group: str) -> list[ValueCount]:
        names = self._columns.names[group].texts
        counts = _counts(self._columns.coded[group], self._under(group))
        named = ((names[code], count) for code, count in counts.items())
        return [ValueCount(value=name, count=count) for name, count in _first(named, self._most)]

    def _paired(self, group: str) -> list[ValueCount]:
        chosen, pairs = self._under(group), self._columns.paired[group]
        counts = _counts(pairs.codes, None if chosen is None else chosen[pairs.rows])
        named = {pairs.names.texts[code]: count for code, count in counts.items()}
        if group == "album":
            named |= self._live_albums(chosen)
        return [ValueCount(value=name, count=count) for name, count in _first(named.items(), self._most)]

    def _live_albums(self, chosen: Chosen) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, ids in self._live.albums.items():
            rows, known = self._columns.rows_of(np.array(ids, np.int64))
            count = int(np.count_nonzero(known if chosen is None else known & chosen[np.where(known, rows, 0)]))
            found |= {name: count} if count else {}
        return found

    def _tags(self) -> list[TagCount]:
        chosen = self._under("tag")
        found: list[TagCount] = []
        sources: dict[Literal["people", "predicted"], TagPairs] = {
            "people": self._columns.said,
            "predicted": self._columns.predicted,
        }
        for source, pairs in sources.items():
            counts = _counts(pairs.codes, None if chosen is None else chosen[pairs.rows])
            named = ((pairs.names.texts[code], count) for code, count in counts.items())
            found += [TagCount(tag=tag, count=n, source=source) for tag, n in _first(named, self._most)]
        return found

    def by_folder(self) -> dict[str, int]:
        """Path -> pictures directly in it, under the conditions on everything else."""
        counts = _counts(self._columns.coded["folder"], self._under("folder"))
        return {path: n for id_, n in counts.items() if (path := self._columns.folders.get(id_)) is not None}

    def _folders(self) -> tuple[list[FolderCount], list[FolderCount]]:
        """The folders that were filtered by or indexed, and those one level below them."""
        tops = [str(folder) for folder in self._where.under] or folder_tree.topmost(self._roots)
        counts = _counts(self._columns.coded["folder"], self._under("folder"))
        parents: Counter[str] = Counter(dict.fromkeys(tops, 0))
        children: Counter[str] = Counter()
        for id_, count in counts.items():
            path = self._columns.folders.get(id_)
            within = [] if path is None else [top for top in tops if is_below(path, top)]
            parents.update(dict.fromkeys(within, count))
            # Several top folders may be nested: a folder is the same child of each one above it.
            children.update(
                dict.fromkeys({folder_tree.child(path, top) for top in within if path and path != top}, count)
            )
        largest = _first(children.items(), self._most)
        return [_folder(path, parents[path]) for path in tops], [_folder(*each) for each in sorted(largest)]

    def _places(self, box: Box | None) -> Places:
        chosen = self._under("place")
        places = self._columns.places if chosen is None else self._columns.places[chosen]
        is_known = ~np.isnan(places[:, 0])
        places = places[is_known]
        ids = (self._columns.ids if chosen is None else self._columns.ids[chosen])[is_known]
        around = box_around(places)
        seen = box or around
        return Places(count=len(places), box=around, cells=[] if seen is None else cells_in(places, seen, ids))

    def _named_places(self) -> list[PlaceCount]:
        """Towns, and the regions and countries they lie in; of equal counts, the containing place first."""
        chosen, pairs, named = self._under("place"), self._columns.located, self._columns.named
        counts: Counter[str] = Counter()
        for code, count in _counts(pairs.codes, None if chosen is None else chosen[pairs.rows]).items():
            place = named.get(pairs.names.texts[code])
            for key in () if place is None else filter(None, (place.key, place.region, place.country)):
                counts[key] += count
        found = sorted((key for key in counts if key in named), key=lambda key: (-counts[key], named[key].full_name))
        return [_place_count(named, key, counts[key]) for key in found[: self._most]]


def _place_count(named: Mapping[str, Place], key: str, count: int) -> PlaceCount:
    place = named[key]
    around = named.get((place.region if place.kind == "town" else None) or place.country or "")
    parent = None if around is None else around.full_name
    return PlaceCount(place=place.full_name, name=place.name, kind=place.kind, parent=parent, count=count)


def _by_group(where: Filter) -> dict[str, dict[str, Any]]:
    """The conditions of a filter, by the facet that is counted without them; the others first, under ``_NONE``."""
    asked = dict(where.asked())
    groups = {group: {name: asked.pop(name) for name in names if name in asked} for group, names in GROUPS.items()}
    return {_NONE: asked} | {group: conditions for group, conditions in groups.items() if conditions}


def _fails(reader: CatalogReader, columns: Columns, asked: dict[str, dict[str, Any]]) -> NDArray[np.uint32]:
    """(n,) for every picture the groups that it fails, one bit each in their order; all bits if it is in no facet."""
    rest, *groups = (Filter(**conditions) for conditions in asked.values())
    result = np.full(len(columns.ids), _OUT, np.uint32)
    for fails, ids in failing(reader, rest, groups).items():
        rows, known = columns.rows_of(ids)
        result[rows[known]] = fails
    return result


def _counts(codes: Codes, chosen: Chosen) -> dict[int, int]:
    """Code -> number of occurrences, ascending; ``UNKNOWN`` is left out."""
    codes = codes if chosen is None else codes[chosen]
    counts = np.bincount(codes[codes >= 0])
    used = np.flatnonzero(counts)
    return dict(zip(used.tolist(), counts[used].tolist(), strict=True))


def _first(counts: Iterable[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """The most frequent values."""
    return sorted(counts, key=lambda each: (-each[1], each[0]))[:most]


def _years(months: dict[int, int]) -> list[YearCount]:
    years: Counter[int] = Counter()
    for month, count in months.items():
        years[month // 12] += count
    return [YearCount(year=year, count=count) for year, count in years.items()]


def _folder(path: str, count: int) -> FolderCount:
    text = as_text(path)
    return FolderCount(path=text, name=os.path.basename(text) or text, count=count)

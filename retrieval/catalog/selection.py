"""The images of a gallery that pass a filter, and those for which it cannot be decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.catalog.access import FilteredRows
from retrieval.catalog.albums import album_named
from retrieval.catalog.encoders import active_encoder
from retrieval.catalog.folders import all_roots
from retrieval.catalog.labels import predicted_counts, tag_counts
from retrieval.catalog.persons import person_names
from retrieval.catalog.places import place_names, places_called, unnamed_count
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.filters.albums import FoundAlbum
from retrieval.filters.conditions import CONDITIONS, NAMED_PLACE
from retrieval.filters.places import NearNamed, place_parameters
from retrieval.filters.sql import FUNCTIONS, Sql, to_sql, without_hidden
from retrieval.folding import fold
from retrieval.paths import decode_path, encode_path
from retrieval.streams import plural

if TYPE_CHECKING:
    from indexes.base import Ids

_LACKS = {condition.name: condition.lacks for condition in CONDITIONS if condition.lacks}
"""Condition -> the missing datum of a picture for which the condition cannot be decided."""


@dataclass(frozen=True)
class Selection:
    """What a filter selects.

    Attributes:
        ids: (n,) of the present images that pass, sorted.
        unknown: how many images are left out only because the catalog does not know the data in question.
        lacking: the data that it lacks for them: ``date``, ``place``, ``camera``, ...
    """

    ids: Ids
    unknown: int = 0
    lacking: tuple[str, ...] = ()

    def message(self) -> str:
        """A line for people about images left out as unknown; empty if there are none."""
        if not self.unknown:
            return ""
        pictures = plural(self.unknown, "picture is", "pictures are")
        whose = "its" if self.unknown == 1 else "their"
        verb = "are" if self.lacking[-1].endswith("s") else "is"  # faces
        return f"{pictures} left out because {whose} {' or '.join(self.lacking)} {verb} unknown"


def select(
    rows: FilteredRows, where: Filter, encoder_id: int | None = None, *, for_list: bool = False
) -> Selection:  # fmt: skip
    """The images that pass a filter.

    Args:
        encoder_id: whose predicted tags count; default: the active encoder's.
        for_list: for people to look at: without hidden pictures, unless the filter asks for them.
    """
    if encoder_id is None:
        active = active_encoder(rows)
        encoder_id = None if active is None else active.id
    clause, shown = to_sql(where, encoder_id), without_hidden(where) if for_list else ""
    found = _passing(rows, "i.id", Sql(f"{clause.text}{shown} ORDER BY i.id", clause.values))
    ids = np.fromiter((row[0] for row in found), dtype=np.int64, count=len(found))
    lacks = [_LACKS[name] for name, _ in where.asked() if name in _LACKS]
    lacking = {lack.what: lack.test for lack in lacks}
    if not lacking:
        return Selection(ids)
    counts = ", ".join(f"count(CASE WHEN {test} THEN 1 END)" for test in lacking.values())
    without = " OR ".join(f"({test})" for test in lacking.values())
    [(unknown, *each)] = _passing(
        rows, f"count(*), {counts}", Sql(f"({without}) AND {clause.text} IS NULL{shown}", clause.values)
    )
    return Selection(ids, unknown, tuple(what for what, count in zip(lacking, each, strict=True) if count))


def check_names(rows: FilteredRows, where: Filter, encoder_id: int | None) -> None:
    """Raise QueryError if the gallery has no such camera, lens, folder, format, tag, album; the hint suggests some."""
    for circle in (*where.near, *where.no_near):
        if isinstance(circle, NearNamed):
            _check_place(rows, circle.name, "town")
    for condition in CONDITIONS:
        if not condition.names:
            continue
        for value in (*getattr(where, condition.name), *getattr(where, condition.twin)):
            if condition.kind == "place":
                _check_place(rows, value, condition.name)
                continue
            if condition.kind == "album":
                if not isinstance(value, FoundAlbum) and album_named(rows, value).recipe is not None:
                    raise QueryError(f"the album {value!r} is a saved search", "it cannot be looked through from here")
                continue
            having = to_sql(Filter(**{condition.name: value}), encoder_id)
            if _passing(rows, "1", Sql(f"{having.text} LIMIT 1", having.values)):
                continue
            if condition.names == "tags":
                raise _unknown(condition.name, value, _tags(rows, encoder_id))
            if condition.names == "persons":
                raise _unknown(condition.name, value, person_names(rows))
            if condition.names != "folders":
                raise _unknown(condition.name, value, _names(rows, condition.names))
            if str(value) not in all_roots(rows):
                raise _no_folder(rows, str(value))


def _check_place(rows: FilteredRows, asked: str, what: str) -> None:
    """Raise QueryError if no place of the gallery has this name, or several that do not contain each other.

    Args:
        what: ``place`` of any kind, ``town`` or ``country``.
    """
    named = NAMED_PLACE if what == "place" else f"p.kind = '{what}' AND {NAMED_PLACE}"
    found = places_called(rows, named, place_parameters(asked))
    largest = [place for place in found if not any(other.key in place.around for other in found)]
    if len(largest) == 1:
        return
    if found:
        choices = [each.full_name for each in largest]
        raise QueryError(f"several places of this gallery are called {asked!r}", f"write one of: {'; '.join(choices)}")
    if known := place_names(rows, None if what == "place" else what):
        raise _unknown(what, asked, known)
    if unnamed_count(rows):
        raise QueryError(
            "the places of this gallery's pictures have no names yet",
            "install them by: pip install 'photoseek[places]', then run: photoseek index",
        )
    raise QueryError("no picture in this gallery has a known place", "leave that condition out")


def _passing(rows: FilteredRows, columns: str, clause: Sql) -> list[Any]:
    """The columns of the present images that pass the clause."""
    sql = f"SELECT {columns} FROM images AS i JOIN folders AS f ON f.id = i.folder_id WHERE NOT i.is_retired AND "
    return rows.rows(sql + clause.text, stored_values(clause), functions=FUNCTIONS)


def stored_values(clause: Sql) -> dict[str, Any]:
    """The values of a condition as the catalog holds them: text that is not valid UTF-8 is a BLOB there."""
    return {name: encode_path(value) if isinstance(value, str) else value for name, value in clause.values.items()}


def _names(rows: FilteredRows, column: str) -> list[str]:
    """The gallery's values of a column, the most frequent first."""
    found = _passing(rows, f"i.{column}", Sql(f"i.{column} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"))
    return [row[0] for row in found]


def _tags(rows: FilteredRows, encoder_id: int | None) -> list[str]:
    """Every tag that people gave or the encoder predicts."""
    predicted = {} if encoder_id is None else predicted_counts(rows, encoder_id)
    return list(dict.fromkeys((*tag_counts(rows), *predicted)))


def _no_folder(rows: FilteredRows, asked: str) -> QueryError:
    known = [decode_path(row[0]) for row in _passing(rows, "DISTINCT f.path", Sql("true"))]
    near = get_close_matches(asked, known, n=3, cutoff=0.8)
    offered = f"did you mean {' or '.join(near)}?" if near else f"it has: {', '.join(all_roots(rows)[:6])}"
    return QueryError(f"{asked} is not in the gallery", offered)


def _unknown(what: str, asked: str, known: Sequence[str]) -> QueryError:
    if not known:
        return QueryError(f"no picture in this gallery has a {what}", "leave that condition out")
    near, some = _nearest(asked, known), known[:6]
    between = "; " if any("," in name for name in some) else ", "  # as in "Paris, France"
    offered = f"did you mean {' or '.join(near)}?" if near else f"it has: {between.join(some)}"
    return QueryError(f"no picture in this gallery has the {what} {asked!r}", offered)


def _nearest(asked: str, known: Sequence[str]) -> list[str]:
    """Up to three of ``known`` with similar spelling, as a whole or in one of their words."""
    whole: dict[str, str] = {}
    for name in known:
        for part in (name, name.partition(",")[0], *name.split()):
            whole.setdefault(fold(part), name)
    found: list[str] = get_close_matches(fold(asked), whole, n=3, cutoff=0.6)
    return list(dict.fromkeys(whole[part] for part in found))

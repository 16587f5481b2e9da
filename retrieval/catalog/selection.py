"""The images of a gallery that pass a filter, and those for which it cannot be decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.catalog.access import FilteredRows
from retrieval.catalog.encoders import active_encoder
from retrieval.catalog.folders import all_roots
from retrieval.catalog.labels import predicted_counts, tag_counts
from retrieval.errors import QueryError
from retrieval.filters import Filter
from retrieval.filters.conditions import CONDITIONS
from retrieval.filters.sql import FUNCTIONS, Sql, to_sql
from retrieval.folding import fold
from retrieval.paths import decode_path, encode_path
from retrieval.streams import plural

if TYPE_CHECKING:
    from indexes.base import Ids

_LACKS = {condition.name: condition.lacks for condition in CONDITIONS if condition.lacks}
"""Condition -> what a picture may lack that it asks about."""


@dataclass(frozen=True)
class Selection:
    """What a filter selects.

    Attributes:
        ids: (n,) of the present images that pass, sorted.
        unknown: how many images are left out only because the catalog does not know what was asked.
        lacking: what it does not know of them: ``date``, ``place``, ``camera``, ...
    """

    ids: Ids
    unknown: int = 0
    lacking: tuple[str, ...] = ()

    def message(self) -> str:
        """A line for people about what was left out unknown; empty if nothing was."""
        if not self.unknown:
            return ""
        pictures = plural(self.unknown, "picture is", "pictures are")
        return f"{pictures} left out because their {' or '.join(self.lacking)} is unknown"


def select(rows: FilteredRows, where: Filter, encoder_id: int | None = None) -> Selection:
    """The images that pass a filter.

    Args:
        encoder_id: whose predicted tags count; default: the active encoder's.
    """
    if encoder_id is None:
        active = active_encoder(rows)
        encoder_id = None if active is None else active.id
    clause = to_sql(where, encoder_id)
    found = _passing(rows, "i.id", Sql(f"{clause.text} ORDER BY i.id", clause.values))
    ids = np.fromiter((row[0] for row in found), dtype=np.int64, count=len(found))
    lacks = [_LACKS[name] for name, _ in where.asked() if name in _LACKS]
    lacking = {lack.what: lack.column for lack in lacks}
    if not lacking:
        return Selection(ids)
    counts = ", ".join(f"coalesce(sum(i.{column} IS NULL), 0)" for column in lacking.values())
    without = " OR ".join(f"i.{column} IS NULL" for column in lacking.values())
    [(unknown, *each)] = _passing(
        rows, f"count(*), {counts}", Sql(f"({without}) AND {clause.text} IS NULL", clause.values)
    )
    return Selection(ids, unknown, tuple(what for what, count in zip(lacking, each, strict=True) if count))


def check_names(rows: FilteredRows, where: Filter, encoder_id: int | None) -> None:
    """Raise QueryError if the gallery has no such camera, lens, folder, format or tag; the hint offers what is near."""
    for condition in CONDITIONS:
        if not condition.names:
            continue
        for value in (*getattr(where, condition.name), *getattr(where, condition.twin)):
            having = to_sql(Filter(**{condition.name: value}), encoder_id)
            if _passing(rows, "1", Sql(f"{having.text} LIMIT 1", having.values)):
                continue
            if condition.names == "tags":
                raise _unknown(condition.name, value, _tags(rows, encoder_id))
            if condition.names != "folders":
                raise _unknown(condition.name, value, _names(rows, condition.names))
            if str(value) not in all_roots(rows):
                raise _no_folder(rows, str(value))


def _passing(rows: FilteredRows, columns: str, clause: Sql) -> list[Any]:
    """Of the present images that pass the clause."""
    sql = f"SELECT {columns} FROM images AS i JOIN folders AS f ON f.id = i.folder_id WHERE NOT i.is_retired AND "
    return rows.rows(sql + clause.text, stored_values(clause), functions=FUNCTIONS)


def stored_values(clause: Sql) -> dict[str, Any]:
    """The values of a condition as the catalog holds them: text that is not valid UTF-8 is a BLOB there."""
    return {name: encode_path(value) if isinstance(value, str) else value for name, value in clause.values.items()}


def _names(rows: FilteredRows, column: str) -> list[str]:
    """What the gallery holds, the most frequent first."""
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
    near = _nearest(asked, known)
    offered = f"did you mean {' or '.join(near)}?" if near else f"it has: {', '.join(known[:6])}"
    return QueryError(f"no picture in this gallery has the {what} {asked!r}", offered)


def _nearest(asked: str, known: Sequence[str]) -> list[str]:
    """Up to three of ``known`` that are spelt alike, as a whole or in one of their words."""
    whole: dict[str, str] = {}
    for name in known:
        for part in (name, *name.split()):
            whole.setdefault(fold(part), name)
    found: list[str] = get_close_matches(fold(asked), whole, n=3, cutoff=0.6)
    return list(dict.fromkeys(whole[part] for part in found))

"""A filter as SQL over the catalog. Whatever people wrote travels as parameters only.

The expression is three-valued: NULL for an image that fails only because the catalog does not know its date, place,
camera or lens. That is how such images can be counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.filters.globs import folder_matches, name_matches, parse_glob
from retrieval.filters.places import Near, great_circle_km
from retrieval.folding import fold
from retrieval.paths import decode_path, encode_path, is_below

if TYPE_CHECKING:
    from retrieval.filters.filter import Filter

FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "great_circle_km": (4, great_circle_km),
    "folder_matches": (2, folder_matches),
    "name_matches": (2, name_matches),
    "is_folded_below": (2, lambda path, folder: is_below(fold(decode_path(path)), decode_path(folder))),
}
"""Name -> (arguments, function): what the expressions call, to be known to the connection."""

_ORIENTATION = {
    "portrait": "i.height > i.width",
    "landscape": "i.width > i.height",
    "square": "i.width = i.height",
}


class Sql(NamedTuple):
    """An expression over ``images AS i JOIN folders AS f``, and its parameters."""

    text: str
    values: tuple[Any, ...] = ()


def to_sql(where: Filter, encoder_id: int | None) -> Sql:
    """The filter as one expression.

    Args:
        encoder_id: whose predicted tags count.
    """
    found: list[Sql] = []
    for name, make in _EACH.items():
        for field, combined in ((name, _any), (f"no_{name}", _none)):
            if values := getattr(where, field):
                found.append(combined(make(value) for value in values))
    found += [_single(name, value) for name, value in where.asked() if name in _SINGLE]
    if where.tag:
        found.append(_tagged(where.tag, encoder_id))
    if where.no_tag:
        found.append(_none([_tagged(where.no_tag, encoder_id)]))
    if where.untagged:
        found.append(Sql("i.id NOT IN (SELECT image_id FROM tags)"))
    return _joined(" AND ", found) if found else Sql("1")


def _joined(operator: str, parts: Iterable[Sql]) -> Sql:
    parts = list(parts)
    return Sql(f"({operator.join(part.text for part in parts)})", tuple(v for part in parts for v in part.values))


def _any(parts: Iterable[Sql]) -> Sql:
    return _joined(" OR ", parts)


def _none(parts: Iterable[Sql]) -> Sql:
    """Known to match is left out; not known is kept."""
    text, values = _any(parts)
    return Sql(f"NOT coalesce({text}, 0)", values)


def _under(folder: Path) -> Sql:
    """The folder of exactly this name; only where the gallery has none, one whose folded path is the same."""
    # As bytes: a path that is not valid UTF-8 is a BLOB, which never equals a TEXT.
    path = os.fsencode(folder)
    prefix = path.rstrip(b"/") + b"/"
    exact = "(CAST(path AS BLOB) = ? OR substr(CAST(path AS BLOB), 1, ?) = ?)"
    values = (path, len(prefix), prefix)
    return Sql(
        f"""i.folder_id IN (SELECT id FROM folders WHERE {exact} UNION ALL SELECT id FROM folders
            WHERE NOT EXISTS (SELECT 1 FROM folders WHERE {exact}) AND is_folded_below(path, ?))""",
        (*values, *values, encode_path(fold(str(folder)))),
    )


def _holds(column: str) -> Callable[[str], Sql]:
    return lambda part: Sql(f"instr(i.{column}_key, ?) > 0", (fold(part),))


def _near(circle: Near) -> Sql:
    """The box first, which SQLite compares by itself; only what is in it is measured."""
    low, high, ranges = circle.box()
    longitudes = _any(Sql("i.longitude BETWEEN ? AND ?", pair) for pair in ranges)
    measured = Sql(
        "great_circle_km(i.latitude, i.longitude, ?, ?) <= ?", (circle.latitude, circle.longitude, circle.km)
    )
    return _joined(" AND ", [Sql("i.latitude BETWEEN ? AND ?", (low, high)), longitudes, measured])


def _glob(text: str) -> Sql:
    """Folders are asked once each, names by SQLite itself."""
    name, folder, counted = parse_glob(text)
    named = Sql("CAST(i.name_key AS TEXT) GLOB ?", (name,))
    if counted:
        # Only names whose folded form has another length can differ; the others are never handed to Python.
        longer = Sql("length(i.name_key) <> length(i.name) AND name_matches(i.name, ?)", (counted,))
        named = _any([named, longer])
    if not folder:
        return named
    within = Sql("i.folder_id IN (SELECT id FROM folders WHERE folder_matches(path, ?))", (folder,))
    return _joined(" AND ", [within, named])


def _tagged(tags: Sequence[str], encoder_id: int | None) -> Sql:
    """Said by a person or predicted by the encoder: neither takes anything back from the other."""
    many = len(tags)
    spelt = f"""SELECT tag FROM tag_spellings WHERE tag_key IN ({", ".join("?" * many)})
                UNION ALL VALUES {", ".join(["(?)"] * many)}"""
    said = f"SELECT image_id FROM tags WHERE tag IN ({spelt})"
    predicted = f"SELECT image_id FROM predicted_tags WHERE encoder_id = ? AND tag IN ({spelt})"
    names = (*(fold(tag) for tag in tags), *tags)
    return Sql(f"i.id IN ({said} UNION ALL {predicted})", (*names, encoder_id, *names))


_EACH: dict[str, Callable[[Any], Sql]] = {
    "under": _under,
    "camera": _holds("camera"),
    "lens": _holds("lens"),
    "near": _near,
    "glob": _glob,
    "orientation": lambda name: Sql(_ORIENTATION[name]),
    "format": lambda name: Sql("upper(i.format) = ?", (name,)),
}

_SINGLE = {
    "after": "i.taken_at >= ?",
    "before": "i.taken_at < ?",
    "added_after": "i.added_at >= ?",
    "min_width": "i.width >= ?",
    "min_height": "i.height >= ?",
}


def _single(name: str, value: Any) -> Sql:
    return Sql(_SINGLE[name], (value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else value,))

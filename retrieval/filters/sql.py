"""A filter as SQL over the catalog. All user input is passed as parameters only.

The expression is three-valued: NULL for an image that fails only because the catalog lacks the data in question: its
date, place, camera, ... This allows such images to be counted.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.filters.albums import FoundAlbum
from retrieval.filters.conditions import CONDITIONS, NAMED_PLACE, TEXT_IS_KNOWN, Condition, Kind
from retrieval.filters.globs import folder_matches, name_matches, parse_glob
from retrieval.filters.places import Near, NearNamed, great_circle_km, place_parameters
from retrieval.filters.words import TRIGRAM, match_of, parse_words
from retrieval.folding import fold
from retrieval.lexemes import phrase
from retrieval.paths import decode_path, encode_path, is_below
from retrieval.sources.addresses import spelled

if TYPE_CHECKING:
    from retrieval.filters.filter import Filter

FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "great_circle_km": (4, great_circle_km),
    "folder_matches": (2, folder_matches),
    "name_matches": (2, name_matches),
    "is_folded_below": (2, lambda path, folder: is_below(fold(decode_path(path)), decode_path(folder))),
}
"""Name -> (arguments, function): functions that the expressions call, to be registered with the connection."""


class Sql(NamedTuple):
    """An expression over ``images AS i JOIN folders AS f``, and the values of its ``:named`` parameters."""

    text: str
    values: Mapping[str, Any] = {}


def without_hidden(where: Filter) -> str:
    """What a list adds to a filter's expression: hidden pictures are left out, unless the filter asks for them."""
    return "" if where.hidden else " AND i.id NOT IN (SELECT image_id FROM hidden)"


def to_sql(where: Filter, encoder_id: int | None) -> Sql:
    """The filter as one expression.

    Args:
        encoder_id: whose predicted tags count.
    """
    found: list[Sql] = []
    for condition in CONDITIONS:
        if condition.is_several:
            for field, combined in ((condition.name, _any), (condition.twin, _none)):
                if values := getattr(where, field):
                    found.append(combined(_several(condition, values, encoder_id)))
        elif (value := getattr(where, condition.name)) not in (None, False):
            found.append(Sql(condition.statement, _parameters(condition, value)))
    return _joined(" AND ", found) if found else Sql("TRUE")


def distinct(parts: Iterable[Sql]) -> list[Sql]:
    """The expressions with parameters renamed to be unique, so that they can be used in one statement."""
    return [
        Sql(re.sub(r":([a-z_0-9]+)", rf":\1_{n}", part.text), {f"{name}_{n}": v for name, v in part.values.items()})
        for n, part in enumerate(parts)
    ]


def _several(condition: Condition, values: Sequence[Any], encoder_id: int | None) -> list[Sql]:
    """Expressions, at least one of which must hold."""
    if condition.kind == "tag":
        return [_tagged(values, encoder_id)]
    if condition.statement:
        return [Sql(condition.statement, _parameters(condition, value)) for value in values]
    return [_OWN[condition.kind](value) for value in values]


def _parameters(condition: Condition, value: Any) -> dict[str, Any]:
    if condition.unit is not None:
        low, high = value.bounds(condition.unit.tolerance)
        return {"low": low, "high": high}
    return _PARAMETERS[condition.kind](value)


def _joined(operator: str, parts: Iterable[Sql]) -> Sql:
    parts = distinct(parts)
    values = {name: value for part in parts for name, value in part.values.items()}
    return Sql(f"({operator.join(part.text for part in parts)})", values)


def _any(parts: Iterable[Sql]) -> Sql:
    return _joined(" OR ", parts)


def _none(parts: Iterable[Sql]) -> Sql:
    """Known matches are excluded; undecided images are kept."""
    text, values = _any(parts)
    return Sql(f"NOT coalesce({text}, FALSE)", values)


def _under(folder: Path) -> Sql:
    """The folder of exactly this name; only if the gallery has none, one whose folded path is equal."""
    # As bytes: a path that is not valid UTF-8 is a BLOB, which never equals a TEXT.
    path = os.fsencode(spelled(folder))
    prefix = path.rstrip(b"/") + b"/"
    exact = "(CAST(path AS BLOB) = :path OR substr(CAST(path AS BLOB), 1, :length) = :prefix)"
    return Sql(
        f"""i.folder_id IN (SELECT id FROM folders WHERE {exact} UNION ALL SELECT id FROM folders
            WHERE NOT EXISTS (SELECT 1 FROM folders WHERE {exact}) AND is_folded_below(path, :folded))""",
        {"path": path, "length": len(prefix), "prefix": prefix, "folded": encode_path(fold(spelled(folder)))},
    )


def _near(circle: Near | NearNamed) -> Sql:
    """The box first, which SQLite compares by itself; distances are computed only within it."""
    if isinstance(circle, NearNamed):
        # The towns of this name are looked up once, not for each picture.
        degrees = Near(0.0, 0.0, circle.km).box()[1]
        return Sql(
            f"""CASE WHEN i.latitude IS NOT NULL THEN EXISTS (
                SELECT 1 FROM places AS t
                WHERE t.key IN (SELECT p.key FROM places AS p WHERE p.kind = 'town' AND {NAMED_PLACE})
                AND abs(t.latitude - i.latitude) <= :degrees
                AND great_circle_km(i.latitude, i.longitude, t.latitude, t.longitude) <= :km) END""",
            {**place_parameters(circle.name), "km": circle.km, "degrees": degrees},
        )
    low, high, ranges = circle.box()
    longitudes = _any(Sql("i.longitude BETWEEN :west AND :east", {"west": west, "east": east}) for west, east in ranges)
    measured = Sql(
        "great_circle_km(i.latitude, i.longitude, :latitude, :longitude) <= :km",
        {"latitude": circle.latitude, "longitude": circle.longitude, "km": circle.km},
    )
    latitudes = Sql("i.latitude BETWEEN :south AND :north", {"south": low, "north": high})
    return _joined(" AND ", [latitudes, longitudes, measured])


def _glob(text: str) -> Sql:
    """Folders are tested once each in Python, names by SQLite itself."""
    name, folder, counted = parse_glob(text)
    named = Sql("CAST(i.name_key AS TEXT) GLOB :name", {"name": name})
    if counted:
        # Only names whose folded form has another length can differ; the others are never passed to Python.
        longer = "length(i.name_key) <> length(i.name) AND name_matches(i.name, :counted)"
        named = _any([named, Sql(longer, {"counted": counted})])
    if not folder:
        return named
    within = "i.folder_id IN (SELECT id FROM folders WHERE folder_matches(path, :folder))"
    return _joined(" AND ", [Sql(within, {"folder": folder}), named])


def _tagged(tags: Sequence[str], encoder_id: int | None) -> Sql:
    """Tagged by a person or predicted by the encoder: neither overrides the other."""
    keys = {f"key{n}": fold(tag) for n, tag in enumerate(tags)}
    names = {f"tag{n}": tag for n, tag in enumerate(tags)}
    spelt = f"""SELECT tag FROM tag_spellings WHERE tag_key IN ({", ".join(f":{key}" for key in keys)})
                UNION ALL VALUES {", ".join(f"(:{name})" for name in names)}"""
    said = f"SELECT image_id FROM tags WHERE tag IN ({spelt})"
    predicted = f"SELECT image_id FROM predicted_tags WHERE encoder_id = :encoder AND tag IN ({spelt})"
    return Sql(f"i.id IN ({said} UNION ALL {predicted})", {**keys, **names, "encoder": encoder_id})


def _read(asked: str) -> Sql:
    """The index of trigrams first; terms that are too short for it are searched for in its results."""
    terms = parse_words(asked)
    match = match_of(terms)
    short = {f"term{n}": term for n, term in enumerate(term for term in terms if len(term) < TRIGRAM)}
    held = [f"instr(t.folded, :{name}) > 0" for name in short]
    if match is not None:
        held.append("t.id IN (SELECT rowid FROM text_index WHERE text_index MATCH :match)")
    return Sql(
        f"""CASE WHEN i.content_hash IN (SELECT t.content_hash FROM picture_texts AS t WHERE {" AND ".join(held)})
            THEN TRUE WHEN {TEXT_IS_KNOWN} THEN FALSE END""",
        {**short, **({} if match is None else {"match": match})},
    )


def _album(album: str | FoundAlbum) -> Sql:
    if isinstance(album, FoundAlbum):
        return Sql("i.id IN (SELECT value FROM json_each(:ids))", {"ids": json.dumps(album.ids)})
    return Sql(
        """i.id IN (SELECT m.image_id FROM albums AS a JOIN album_entries AS e ON e.album_id = a.id
           JOIN memberships AS m ON m.entry_id = e.id WHERE a.name_key = :key AND a.deleted_at IS NULL)""",
        {"key": fold(album)},
    )


_OWN: dict[Kind, Callable[[Any], Sql]] = {
    "folder": _under, "circle": _near, "pattern": _glob, "words": _read, "album": _album,
}  # fmt: skip
"""Kind whose conditions have no statement -> SQL for one value."""

_PARAMETERS: dict[Kind, Callable[[Any], dict[str, Any]]] = {
    "date": lambda date: {"value": date.isoformat(timespec="seconds")},
    "moment": lambda moment: {"value": moment.isoformat(timespec="seconds")},
    "part": lambda part: {"part": fold(part)},
    "place": place_parameters,
    "named": lambda text: {"match": phrase(text)},
    "person": lambda name: {"key": fold(name)},
    "choice": lambda name: {"value": name},
    "day": lambda day: {"value": day},
    "code": lambda name: {"value": name},
    "flag": lambda _: {},
    "pixels": lambda pixels: {"value": pixels},
    "bytes": lambda size: {"value": size},
    "stars": lambda stars: {"value": stars},
}
"""Kind -> the parameters of a condition's statement for one value."""

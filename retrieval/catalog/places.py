"""The tables of places: which place lies at the coordinates of pictures, and the names of places.

Coordinates are looked up once. The result belongs to the coordinates, not to a picture: a picture that is moved,
retired or indexed again needs no new look-up, and one whose coordinates are corrected gets another place at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retrieval.catalog.access import FilteredRows, Rows

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

Coordinates = tuple[float, float]
"""Latitude and longitude in degrees, WGS 84, exactly as in a picture's row."""


_UNLOCATED = """FROM images AS i LEFT JOIN located AS l ON l.latitude = i.latitude AND l.longitude = i.longitude
    WHERE NOT i.is_retired AND i.latitude IS NOT NULL AND i.longitude IS NOT NULL AND l.latitude IS NULL"""
"""Present pictures whose coordinates have not been looked up."""


@dataclass(frozen=True)
class Place:
    """A town, a region or a country; the attributes are the columns of ``schema.places``."""

    key: str
    kind: Literal["town", "region", "country"]
    name: str
    full_name: str
    names: str
    region: str | None = None
    country: str | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True)
class Found:
    """A place of the gallery that has a given name.

    Attributes:
        around: keys of the places that contain it.
    """

    key: str
    kind: str
    full_name: str
    around: frozenset[str]


def unlocated(rows: Rows) -> list[Coordinates]:
    """The coordinates of present pictures that have not been looked up yet."""
    found = rows.rows(f"SELECT DISTINCT i.latitude, i.longitude {_UNLOCATED}")
    return [(latitude, longitude) for latitude, longitude in found]


def write_located(transaction: Transaction, places: Iterable[Place], located: Mapping[Coordinates, str | None]) -> None:
    """Write the results of look-ups.

    Args:
        places: those that ``located`` refers to, with the regions and countries around them.
        located: coordinates -> key of the place there.
    """
    transaction.run(
        """INSERT INTO places (key, kind, name, full_name, names, region, country, latitude, longitude)
           VALUES (:key, :kind, :name, :full_name, :names, :region, :country, :latitude, :longitude)
           ON CONFLICT (key) DO UPDATE SET kind = excluded.kind, name = excluded.name,
           full_name = excluded.full_name, names = excluded.names, region = excluded.region,
           country = excluded.country, latitude = excluded.latitude, longitude = excluded.longitude""",
        [vars(place) for place in places],
    )
    at = [
        {"latitude": latitude, "longitude": longitude, "place": key} for (latitude, longitude), key in located.items()
    ]
    transaction.run(
        """INSERT INTO located (latitude, longitude, place) VALUES (:latitude, :longitude, :place)
           ON CONFLICT (latitude, longitude) DO UPDATE SET place = excluded.place""",
        at,
    )


def drop_unused(transaction: Transaction) -> None:
    """Delete coordinates that no picture has any more, and places without pictures."""
    transaction.run(
        """DELETE FROM located WHERE NOT EXISTS (SELECT 1 FROM images AS i
           WHERE i.latitude = located.latitude AND i.longitude = located.longitude)"""
    )
    transaction.run(
        """DELETE FROM places WHERE key NOT IN (
           SELECT p.key FROM located AS l JOIN places AS c ON c.key = l.place
           JOIN places AS p ON p.key IN (c.key, c.region, c.country))"""
    )


# Queries by name


def places_called(rows: FilteredRows, named: str, values: Mapping[str, Any]) -> list[Found]:
    """The places that a condition refers to.

    Args:
        named: the condition on ``places AS p`` (``filters.conditions.NAMED_PLACE``); values: its parameters.
    """
    sql = f"SELECT p.key, p.kind, p.full_name, p.region, p.country FROM places AS p WHERE {named} ORDER BY p.full_name"
    return [
        Found(key, kind, full_name, frozenset(around for around in (region, country) if around))
        for key, kind, full_name, region, country in rows.rows(sql, values)
    ]


def all_places(rows: Rows) -> list[Place]:
    """Every town, region and country of the gallery."""
    sql = """SELECT key, kind, name, full_name, names, region, country, latitude, longitude FROM places
             ORDER BY full_name"""
    return [Place(*row) for row in rows.rows(sql)]


def place_pairs(rows: Rows) -> list[tuple[int, str]]:
    """(image id, key of the town or country in which it was taken), retired pictures included."""
    return rows.rows(
        """SELECT i.id, l.place FROM images AS i
           JOIN located AS l ON l.latitude = i.latitude AND l.longitude = i.longitude WHERE l.place IS NOT NULL"""
    )


def place_names(rows: Rows, kind: str | None = None) -> list[str]:
    """The full names of the gallery's places, those with the most pictures first.

    Args:
        kind: only ``town``, ``region`` or ``country``.
    """
    sql = f"""SELECT p.full_name FROM images AS i
              JOIN located AS l ON l.latitude = i.latitude AND l.longitude = i.longitude
              JOIN places AS c ON c.key = l.place JOIN places AS p ON p.key IN (c.key, c.region, c.country)
              WHERE NOT i.is_retired {"" if kind is None else "AND p.kind = :kind"}
              GROUP BY p.key ORDER BY count(*) DESC, 1"""
    return [name for (name,) in rows.rows(sql, {} if kind is None else {"kind": kind})]


def unnamed_count(rows: Rows) -> int:
    """How many present pictures have coordinates that have not been looked up."""
    return int(rows.rows(f"SELECT count(*) {_UNLOCATED}")[0][0])

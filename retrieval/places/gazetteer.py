"""From coordinates to the town, region and country.

The country is determined by the time zone (``tzfpy``: OpenStreetMap's borders, simplified, ODbL;
``tzdata``: the country of each zone), because the nearest town may be across the border.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.resources import files
from math import degrees, floor
from typing import Any, Literal

import numpy as np
from babel import Locale, default_locale
from numpy.typing import NDArray
from tzfpy import get_tz

from retrieval.catalog.places import Coordinates, Place
from retrieval.filters.places import EARTH_KM
from retrieval.places.world import called, open_world

Kind = Literal["town", "region", "country"]

_MOST_KM = 50.0
"""Maximal distance from the edge of a town; farther from any town, only the country is named."""

_MOST_KM_AT_SEA = 12 * 1.852
"""The width of territorial waters, twelve nautical miles: farther out there is no place."""

_PEOPLE_PER_KM2 = 10_000.0
"""Of a dense city. Treats a town as a disc, so that the edge of a city is not assigned to the village next to it."""

_LARGEST_KM = 60.0
"""More than the radius of any town computed this way."""

_HALF_CELL_KM = 79.0
"""From the centre of a square degree to its farthest corner, at the equator."""

_ROWS = 500


class Gazetteer:
    """Names of places, looked up in the file created by ``world.py``; close it after use.

    Raises:
        ImportError: packages of the extra ``places`` are missing.
    """

    def __init__(self) -> None:
        self._world = open_world()
        self._country_of_zone = dict(_zones())
        self._countries = {code: (name, names) for code, name, names in self._world.execute("SELECT * FROM countries")}
        self._language = default_locale("LC_MESSAGES") or "en"

    def close(self) -> None:
        """Close the file."""
        self._world.close()

    def locate(self, coordinates: Sequence[Coordinates]) -> dict[Coordinates, str | None]:
        """Coordinates -> key of the town there, or of the country if no town is near; None: no place."""
        found: dict[Coordinates, str | None] = {}
        cells = defaultdict(list)  # of one degree: coordinates in a cell are compared with the same towns
        for latitude, longitude in coordinates:
            code = self._country_of_zone.get(get_tz(longitude, latitude), "")
            cells[code, floor(latitude), floor(longitude)].append((latitude, longitude))
        for (code, south, west), cell in cells.items():
            keys, places, radii = self._around(code, south + 0.5, west + 0.5)
            most = _MOST_KM if code else _MOST_KM_AT_SEA
            beyond = code if code in self._countries else None
            for start in range(0, len(cell), _ROWS):
                part = cell[start : start + _ROWS]
                for at, (nearest, km) in zip(part, _nearest(np.array(part), places, radii), strict=True):
                    found[at] = keys[nearest] if km <= most else beyond
        return found

    def _around(
        self, code: str, latitude: float, longitude: float
    ) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
        """The towns of a country (of all, if none is named) that may be near coordinates in a cell.

        Returns:
            Their keys, (n, 3) unit vectors, and (n,) radii in km.
        """
        most = _HALF_CELL_KM + _MOST_KM + _LARGEST_KM
        sql = "SELECT id, latitude, longitude, people FROM towns WHERE latitude BETWEEN :south AND :north"
        values: dict[str, float | str] = {
            "south": latitude - degrees(most / EARTH_KM),
            "north": latitude + degrees(most / EARTH_KM),
        }
        sql, values = (f"{sql} AND country = :country", values | {"country": code}) if code else (sql, values)
        rows = self._world.execute(sql, values).fetchall()
        table = np.array([row[1:] for row in rows], np.float64).reshape(-1, 3)
        places, radii = _on_sphere(table[:, :2]), np.sqrt(table[:, 2] / (np.pi * _PEOPLE_PER_KM2))
        middle = _on_sphere(np.array([(latitude, longitude)]))[0]
        near = np.flatnonzero(places @ middle >= np.cos((_HALF_CELL_KM + _MOST_KM + radii) / EARTH_KM))
        return [rows[row][0] for row in near], places[near], radii[near]

    def places(self, keys: Sequence[str | None]) -> list[Place]:
        """The places with these keys, including the regions and countries around them, each once."""
        found: dict[str, Place] = {}
        for key in dict.fromkeys(key for key in keys if key is not None):
            if key in self._countries:
                found.setdefault(key, self._country(key))
                continue
            for place in self._chain(key, found):
                found[place.key] = place
        return list(found.values())

    def _chain(self, key: str, known: dict[str, Place]) -> Iterator[Place]:
        """The country, the region and the town."""
        sql = """SELECT t.country, t.region, t.latitude, t.longitude, t.name, t.names, r.name FROM towns AS t
                 LEFT JOIN regions AS r ON r.key = t.region WHERE t.id = :id"""
        code, region, latitude, longitude, name, names, region_name = self._world.execute(sql, {"id": key}).fetchone()
        country = known.get(code) or self._country(code)
        yield country
        around = [country.name]
        if region_name is not None:
            yield known.get(region) or _place(region, "region", region_name, around, country=code)
            around.insert(0, region_name)
        yield _place(
            key, "town", name, around, names,
            region=None if region_name is None else region, country=code, latitude=latitude, longitude=longitude,
        )  # fmt: skip

    def _country(self, code: str) -> Place:
        """A country, named in this machine's language; it can be searched by its name in any language."""
        name, names = self._countries.get(code, (code, ""))
        return _place(code, "country", Locale.parse(self._language).territories.get(code) or name, [], names)


def _place(key: str, kind: Kind, name: str, around: Sequence[str], names: str = "", **more: Any) -> Place:
    full_name = ", ".join((name, *around))
    return Place(key, kind, name, full_name, called([name, full_name, *names.split("\n")]), **more)


def _nearest(
    coordinates: NDArray[np.float64], places: NDArray[np.float64], radii: NDArray[np.float64]
) -> list[tuple[int, float]]:
    """The town with the nearest edge for each of (n, 2) coordinates, and the distance in km (negative: inside)."""
    if not len(places):
        return [(-1, np.inf)] * len(coordinates)
    cosines = np.clip(_on_sphere(coordinates) @ places.T, -1.0, 1.0)
    km = EARTH_KM * np.arccos(cosines) - radii
    best = km.argmin(axis=1)
    return [(int(at), float(km[n, at])) for n, at in enumerate(best)]


def _on_sphere(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) latitudes and longitudes -> (n, 3) unit vectors."""
    latitude, longitude = np.radians(degrees).T
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )


def _zones() -> Iterator[tuple[str, str]]:
    """(time zone, code of its country) for the zones on land."""
    for line in (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            code, _, zone, *_ = line.split("\t")
            yield zone, code

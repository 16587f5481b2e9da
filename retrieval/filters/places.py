"""Places in conditions: names, and circles on the globe with their distances and bounding boxes in degrees."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import asin, atan2, cos, degrees, hypot, isfinite, pi, radians, sin

from retrieval.errors import QueryError
from retrieval.folding import fold

EARTH_KM = 6371.0088
"""Mean radius of the Earth (IUGG: (2a + b) / 3 of the WGS 84 ellipsoid)."""

_HINT = "write LATITUDE,LONGITUDE,RADIUS in degrees and km, m or mi, for instance 48.858,2.294,5km; or Paris,5km"
_RADIUS = re.compile(r"(.*?)\s*([a-z]*)", re.IGNORECASE | re.DOTALL)
_UNITS_KM = {"km": 1.0, "m": 0.001, "mi": 1.609344}
_MARGIN = 1e-9  # degrees, 0.1 mm: rounding may make the box too wide, never too narrow

Box = tuple[float, float, tuple[tuple[float, float], ...]]


@dataclass(frozen=True)
class Near:
    """Within a distance of a place.

    Args:
        latitude, longitude: degrees, WGS 84.
        km: the distance along a great circle, above 0.

    Raises:
        QueryError: an invalid place or distance.
    """

    latitude: float
    longitude: float
    km: float

    def __post_init__(self) -> None:
        for name, most in (("latitude", 90), ("longitude", 180)):
            value = getattr(self, name)
            if not -most <= value <= most:
                raise QueryError(f"the {name} {value:g} is not between -{most} and {most}", _HINT)
        if not (isfinite(self.km) and self.km > 0):
            raise QueryError(f"the radius {self.km:g} km is not above 0", _HINT)

    def __str__(self) -> str:
        return f"{self.latitude!r},{self.longitude!r},{self.km!r}km"

    def holds(self, other: Near | NearNamed) -> bool:
        """True if the other circle is certain to lie within this one."""
        if isinstance(other, NearNamed):
            return False
        between = great_circle_km(self.latitude, self.longitude, other.latitude, other.longitude)
        return between is not None and between + other.km <= self.km

    def box(self) -> Box:
        """(lowest latitude, highest latitude, ranges of longitude) around the circle, in degrees.

        A circle over the 180th meridian has two ranges; one that contains a pole has all longitudes. The width is
        that of the circle's tangent meridians, asin(sin r / cos latitude), which is wider than at its centre
        (J. P. Snyder, Map Projections: A Working Manual, 1987, chapter 5; oblique spherical triangles).
        """
        angle = self.km / EARTH_KM
        reach = degrees(angle) + _MARGIN
        low, high = self.latitude - reach, self.latitude + reach
        if low <= -90 or high >= 90:
            return max(low, -90.0), min(high, 90.0), ((-180.0, 180.0),)
        width = degrees(asin(min(1.0, sin(angle) / cos(radians(self.latitude))))) + _MARGIN
        west, east = self.longitude - width, self.longitude + width
        if west <= -180:
            return low, high, ((-180.0, east), (west + 360, 180.0))
        if east >= 180:
            return low, high, ((west, 180.0), (-180.0, east - 360))
        return low, high, ((west, east),)


@dataclass(frozen=True)
class NearNamed:
    """Within a distance of the centre of a town in which pictures of the gallery were taken.

    Args:
        name: as returned by :func:`place_name`.
        km: along a great circle, above 0.

    Raises:
        QueryError: an invalid distance.
    """

    name: str
    km: float

    def __post_init__(self) -> None:
        if not (isfinite(self.km) and self.km > 0):
            raise QueryError(f"the radius {self.km:g} km is not above 0", _HINT)

    def __str__(self) -> str:
        return f"{self.name},{self.km!r}km"

    def holds(self, other: Near | NearNamed) -> bool:
        """True if the other circle is certain to lie within this one."""
        return isinstance(other, NearNamed) and fold(other.name) == fold(self.name) and other.km <= self.km


def parse_near(text: str) -> Near | NearNamed:
    """A circle as people write it: ``48.858,2.294,5km``, or ``Paris,5km`` around a town.

    Raises:
        QueryError: the message says which part is wrong.
    """
    *around, radius = (part.strip() for part in text.split(","))
    if not around:
        raise QueryError(f"{text!r} has no comma, and a place with a radius has one before the radius", _HINT)
    match = _RADIUS.fullmatch(radius)
    unit = match[2].lower() if match else ""
    if match is None or unit not in _UNITS_KM:
        raise QueryError(f"the radius {radius!r} in {text!r} does not end in km, m or mi", _HINT)
    km = _number("radius", match[1], text) * _UNITS_KM[unit]
    if not any(_is_number(part) for part in around):
        return NearNamed(place_name(", ".join(around)), km)
    if len(around) != 2:
        raise QueryError(f"{text!r} has {len(around) + 1} parts between commas, and coordinates with a radius 3", _HINT)
    return Near(_number("latitude", around[0], text), _number("longitude", around[1], text), km)


def place_name(text: str) -> str:
    """The name of a place, optionally followed by the places that contain it, separated by commas; single spaces.

    Raises:
        QueryError: it contains no name.
    """
    parts = [" ".join(part.split()) for part in text.split(",")]
    if not all(parts):
        raise QueryError(f"{text!r} is not the name of a place", "write Paris, or with what it lies in: Paris, Texas")
    return ", ".join(parts)


def place_parameters(name: str) -> dict[str, str]:
    """The parameters of ``conditions.NAMED_PLACE`` for a name returned by :func:`place_name`.

    In the catalog names are enclosed in line breaks, so that a part of a name does not match.
    """
    key, *around = (f"\n{part.strip()}\n" for part in fold(name).split(","))
    return {
        "whole": f"\n{fold(name)}\n",
        "name": key if len(around) < 3 else "\n\n\n",
        "within": around[0] if around else "",
        "beyond": around[1] if len(around) > 1 else "",
    }


def _is_number(part: str) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _number(name: str, part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise QueryError(f"the {name} {part!r} in {text!r} is not a number", _HINT)
    return value


def great_circle_km(
    latitude: float | None, longitude: float | None, other_latitude: float, other_longitude: float
) -> float | None:
    """The distance between two places along a great circle, in km; None if the first one is not known.

    Vincenty's formula for the sphere, which is accurate for near and for antipodal places:
    tan d = |a x b| / (a . b) (T. Vincenty, Survey Review 23 (176), 1975).
    """
    if latitude is None or longitude is None:
        return None
    here, there = radians(latitude), radians(other_latitude)
    turn = radians(other_longitude - longitude)
    across = hypot(cos(there) * sin(turn), cos(here) * sin(there) - sin(here) * cos(there) * cos(turn))
    along = sin(here) * sin(there) + cos(here) * cos(there) * cos(turn)
    return EARTH_KM * min(pi, atan2(across, along))

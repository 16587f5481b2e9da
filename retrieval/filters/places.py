"""Circles on the globe: distances along great circles, and the boxes of degrees that a circle fits into."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import asin, atan2, cos, degrees, hypot, isfinite, pi, radians, sin

from retrieval.errors import QueryError

EARTH_KM = 6371.0088
"""Mean radius of the Earth (IUGG: (2a + b) / 3 of the WGS 84 ellipsoid)."""

_HINT = "write LATITUDE,LONGITUDE,RADIUS in degrees and km, m or mi, for instance 48.858,2.294,5km"
_RADIUS = re.compile(r"(.*?)\s*([a-z]*)", re.IGNORECASE | re.DOTALL)
_UNITS_KM = {"km": 1.0, "m": 0.001, "mi": 1.609344}
_MARGIN = 1e-9  # degrees, 0.1 mm: the box may be a rounding too wide, never too narrow

Box = tuple[float, float, tuple[tuple[float, float], ...]]


@dataclass(frozen=True)
class Near:
    """Within a distance of a place.

    Args:
        latitude, longitude: degrees, WGS 84.
        km: the distance along a great circle, above 0.

    Raises:
        QueryError: no such place, or no such distance.
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

    def holds(self, other: Near) -> bool:
        """True if the other circle lies in this one."""
        between = great_circle_km(self.latitude, self.longitude, other.latitude, other.longitude)
        return between is not None and between + other.km <= self.km

    def box(self) -> Box:
        """(lowest latitude, highest latitude, ranges of longitude) around the circle, in degrees.

        A circle over the 180th meridian has two ranges, one that reaches a pole has all longitudes. The width is
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


def parse_near(text: str) -> Near:
    """A circle as people write it: ``48.858,2.294,5km``.

    Raises:
        QueryError: the message says which part is wrong.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3:
        raise QueryError(f"{text!r} has {len(parts)} parts between commas, and a place with a radius has 3", _HINT)
    match = _RADIUS.fullmatch(parts[2])
    unit = match[2].lower() if match else ""
    if match is None or unit not in _UNITS_KM:
        raise QueryError(f"the radius {parts[2]!r} in {text!r} does not end in km, m or mi", _HINT)
    latitude, longitude = _number("latitude", parts[0], text), _number("longitude", parts[1], text)
    return Near(latitude, longitude, _number("radius", match[1], text) * _UNITS_KM[unit])


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

    Vincenty's formula for the sphere, which loses no digits for near and for antipodal places:
    tan d = |a x b| / (a . b) (T. Vincenty, Survey Review 23 (176), 1975).
    """
    if latitude is None or longitude is None:
        return None
    here, there = radians(latitude), radians(other_latitude)
    turn = radians(other_longitude - longitude)
    across = hypot(cos(there) * sin(turn), cos(here) * sin(there) - sin(here) * cos(there) * cos(turn))
    along = sin(here) * sin(there) + cos(here) * cos(there) * cos(turn)
    return EARTH_KM * min(pi, atan2(across, along))

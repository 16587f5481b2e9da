"""Names of towns for a map: the largest ones in a part of the globe."""

from __future__ import annotations

from contextlib import closing
from functools import lru_cache

_MOST_PEOPLE = 1_000_000
_WIDE = 60.0
"""Degrees: parts of the map that are wider name only towns of that many people, which are found at once."""

Town = tuple[str, float, float, int]
"""Name, latitude, longitude, people."""


@lru_cache(256)
def largest_towns(box: tuple[float, float, float, float], most: int) -> tuple[Town, ...]:
    """The towns with the most people in a box, the largest first; none without the packages of the extra ``places``.

    Args:
        box: south, west, north, east in degrees; west > east: around the 180th meridian.
        most: how many, at most.
    """
    try:
        from retrieval.places.world import open_world  # packages that a server may lack
    except ImportError:
        return ()
    south, west, north, east = box
    width = (east - west) % 360 or 360.0
    least = _MOST_PEOPLE if width > _WIDE else 0
    across = "longitude BETWEEN :west AND :east" if west <= east else "(longitude >= :west OR longitude <= :east)"
    sql = f"""SELECT name, latitude, longitude, people FROM towns
              WHERE latitude BETWEEN :south AND :north AND {across} AND people >= :least
              ORDER BY people DESC, name LIMIT :most"""
    values = {"south": south, "north": north, "west": west, "east": east, "least": least, "most": most}
    with closing(open_world()) as world:
        return tuple(world.execute(sql, values))

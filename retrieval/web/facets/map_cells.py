"""Counts of pictures in the cells of a map grid."""

from __future__ import annotations

from math import cos, radians, sqrt

import numpy as np
from numpy.typing import NDArray

from indexes.base import Ids
from retrieval.web.facets.models import Cell

MOST_CELLS = 400

Box = tuple[float, float, float, float]
"""South, west, north, east in degrees; west > east: around the 180th meridian (as in RFC 7946, section 5.2)."""

Places = NDArray[np.float64]
"""(n, 2) latitudes and longitudes in degrees."""


def box_around(places: Places) -> Box | None:
    """The smallest box that holds all places; None if there are none.

    It crosses the 180th meridian only if that makes it less than half as wide: Fiji, but not the whole world.
    """
    if len(places) == 0:
        return None
    south, north = float(places[:, 0].min()), float(places[:, 0].max())
    longitudes = np.unique(places[:, 1])
    west, east = float(longitudes[0]), float(longitudes[-1])
    if len(longitudes) > 1:
        gaps = np.diff(longitudes)
        widest = int(gaps.argmax())
        if 360 - gaps[widest] < (east - west) / 2:
            west, east = float(longitudes[widest + 1]), float(longitudes[widest])
    return south, west, north, east


def cells_in(places: Places, box: Box, ids: Ids | None = None) -> list[Cell]:
    """The places in a box, counted in at most ``MOST_CELLS`` cells that are nearly square on the ground.

    A cell is placed at the mean of its own places, so that a single place keeps its position.

    Args:
        ids: (n,) of the pictures; each cell then names its latest one.
    """
    south, west, north, east = box
    wide = east - west if west <= east else east - west + 360  # not a remainder: 360 would become 0
    along = (places[:, 1] - west) % 360
    inside = (places[:, 0] >= south) & (places[:, 0] <= north) & (along <= wide)
    latitude, along = places[inside, 0], along[inside]
    rows, columns = _grid(north - south, wide * cos(radians((north + south) / 2)))
    row = _steps(latitude - south, north - south, rows)
    column = _steps(along, wide, columns)
    cell = row * columns + column
    counts = np.bincount(cell, minlength=rows * columns)
    used = np.flatnonzero(counts)
    mean_latitude = np.bincount(cell, latitude, rows * columns)[used] / counts[used]
    mean_longitude = (np.bincount(cell, along, rows * columns)[used] / counts[used] + west + 180) % 360 - 180
    shown: list[int | None] = [None] * len(used)
    if ids is not None:
        latest = np.zeros(rows * columns, np.int64)
        np.maximum.at(latest, cell, ids[inside])
        shown = latest[used].tolist()
    return [
        Cell(lat=round(float(lat), 6), lon=round(float(lon), 6), count=int(count), image_id=image)
        for lat, lon, count, image in zip(mean_latitude, mean_longitude, counts[used], shown, strict=True)
    ]


def _grid(high: float, wide: float) -> tuple[int, int]:
    """Rows and columns for a box of these sides, in any unit; their product is at most ``MOST_CELLS``."""
    if high <= 0 or wide <= 0:
        return (1 if high <= 0 else MOST_CELLS), (1 if wide <= 0 else MOST_CELLS if high <= 0 else 1)
    columns = min(max(round(sqrt(MOST_CELLS * wide / high)), 1), MOST_CELLS)
    return max(MOST_CELLS // columns, 1), columns


def _steps(distance: NDArray[np.float64], whole: float, steps: int) -> NDArray[np.int64]:
    if whole <= 0:
        return np.zeros(len(distance), np.int64)
    return np.minimum((distance / whole * steps).astype(np.int64), steps - 1)

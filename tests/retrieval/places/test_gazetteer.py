"""Names of places: borders, islands, the sea, big cities, their suburbs; and the required content of the packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retrieval.folding import fold
from retrieval.places.locating import can_name_places

if TYPE_CHECKING:
    from retrieval.places.gazetteer import Gazetteer

pytestmark = pytest.mark.skipif(not can_name_places(), reason="needs photoseek[places]")


KNOWN = {
    # Known spots: by their coordinates in encyclopedias.
    "Eiffel Tower": (48.8584, 2.2945, "Paris, Île-de-France, France"),
    "Times Square": (40.7580, -73.9855, "New York City, New York, United States"),
    "Sydney Opera House": (-33.8568, 151.2153, "Sydney, New South Wales, Australia"),
    "Tokyo Station": (35.6812, 139.7671, "Tokyo, Tokyo, Japan"),
    "Marienplatz": (48.1374, 11.5755, "Munich, Bavaria, Germany"),
    "the palace of a suburb": (48.8049, 2.1204, "Versailles, Île-de-France, France"),
    # Borders: the nearest town is often on the other side.
    "Geneva": (46.2044, 6.1432, "Geneva, Geneva, Switzerland"),
    "just behind it": (46.2050, 6.2600, "Ville-la-Grand, Auvergne-Rhône-Alpes, France"),
    "an exclave in Switzerland": (47.6967, 8.6892, "Büsingen, Baden-Wurttemberg, Germany"),
    "Monaco": (43.7384, 7.4246, "Monaco, Municipality of Monaco, Monaco"),
    "the Vatican": (41.9029, 12.4534, "Vatican City, Vatican City"),
    "Gibraltar": (36.1400, -5.3500, "Gibraltar, Gibraltar"),
    "Hong Kong": (22.3000, 114.1700, "Hong Kong, Hong Kong SAR China"),
    # Islands, both sides of the date line, the poles, and the sea.
    "an island far out": (54.1810, 7.8860, "Helgoland, Schleswig-Holstein, Germany"),
    "Svalbard": (78.2200, 15.6500, "Longyearbyen, Svalbard, Svalbard & Jan Mayen"),
    "Fiji, west of the line": (-17.7500, 179.9800, "Fiji"),
    "Fiji, east of it": (-16.5000, -179.9000, "Fiji"),
    "inner Iceland": (64.9000, -19.0000, "Iceland"),
    "the Sahara": (25.0000, 10.0000, "Algeria"),
    "Antarctica": (-77.8500, 166.6700, "Antarctica"),
    "the Atlantic": (30.0000, -30.0000, None),
    "the North Sea": (54.5000, 4.0000, None),
    "the North Pole": (90.0000, 0.0000, None),
    "null": (0.0000, 0.0000, None),
}


@pytest.mark.parametrize("spot", KNOWN)
def test_known_spots_have_their_names(gazetteer: Gazetteer, spot: str) -> None:
    latitude, longitude, name = KNOWN[spot]
    [key] = gazetteer.locate([(latitude, longitude)]).values()
    named = {place.key: place.full_name for place in gazetteer.places([key])}
    assert (None if key is None else named[key]) == name


def test_a_place_has_its_names_in_any_language_and_what_it_lies_in(gazetteer: Gazetteer) -> None:
    found = {place.kind: place for place in gazetteer.places(["2867714"])}
    town, region, country = found["town"], found["region"], found["country"]
    for name in ("München", "MUNICH", "Monaco di Baviera", "Мюнхен", "慕尼黑", "Munich, Bavaria, Germany"):
        assert f"\n{fold(name)}\n" in town.names
    assert (town.region, town.country, region.country, country.country) == (region.key, "DE", "DE", None)
    for name in ("Germany", "Deutschland", "Allemagne", "Германия", "德国", "DEU"):
        assert f"\n{fold(name)}\n" in country.names
    assert town.latitude == pytest.approx(48.137, abs=0.01) and country.latitude is None


def test_places_around_others_come_once(gazetteer: Gazetteer) -> None:
    found = gazetteer.locate([(48.8584, 2.2945), (48.8049, 2.1204), (43.3, 5.4), (48.8584, 2.2945)])
    keys = [place.key for place in gazetteer.places(list(found.values()))]
    assert len(keys) == len(set(keys)) and keys.count("FR") == 1 and len(found) == 3


def test_countries_are_called_as_this_machines_language_has_it(gazetteer, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(gazetteer, "_language", "de_DE")
    names = {place.kind: place.full_name for place in gazetteer.places(["3137115"])}
    assert names["country"] == "Norwegen" and names["town"].endswith(", Norwegen")

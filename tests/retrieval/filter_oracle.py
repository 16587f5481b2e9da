"""Filters in plain Python over plain rows: the reference for the SQL."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from retrieval.catalog.places import Place
from retrieval.filters import Filter, Near
from retrieval.filters.conditions import fields
from retrieval.filters.places import NearNamed
from retrieval.filters.spans import Span
from retrieval.folding import fold
from retrieval.paths import is_below


def _place(key: str, kind: Any, name: str, *around: str, others: tuple[str, ...] = (), **more: Any) -> Place:
    full_name = ", ".join((name, *around))
    return Place(key, kind, name, full_name, "\n" + "\n".join(map(fold, (name, full_name, *others))) + "\n", **more)


GAZETTEER = {
    place.key: place
    for place in (
        _place("FR", "country", "France", others=("Frankreich",)),
        _place("GB", "country", "United Kingdom"),
        _place("FJ", "country", "Fiji"),
        _place("3", "town", "Fiji", "England", "United Kingdom", country="GB", latitude=0.0, longitude=0.0),
        _place("FR.11", "region", "Île-de-France", "France", country="FR"),
        _place(
            "1", "town", "Paris", "Île-de-France", "France", others=("巴黎", "Lutèce"),
            region="FR.11", country="FR", latitude=48.85, longitude=2.35,
        ),
        _place(
            "2", "town", "London", "England", "United Kingdom",
            region=None, country="GB", latitude=51.5, longitude=-0.12,
        ),
    )
}  # fmt: skip
"""Key -> place, as a gazetteer would have them."""

LOCATED: dict[tuple[float, float], str | None] = {
    (48.858, 2.294): "1", (48.86, 2.35): "1", (51.5, -0.12): "2", (-17.7, 179.9): "FJ", (0.0, 0.0): "3",
}  # fmt: skip
"""Coordinates -> key of what lies there."""


@dataclass(frozen=True)
class Row:
    """An image as the catalog has it."""

    id: int
    path: str
    format: str
    width: int
    height: int
    taken_at: datetime | None
    added_at: datetime
    camera: str | None
    lens: str | None
    place: tuple[float, float] | None
    tags: frozenset[str] = frozenset()
    predicted: frozenset[str] = frozenset()
    size: int = 1000
    iso: int | None = None
    aperture: float | None = None
    exposure: float | None = None
    focal_length: float | None = None
    text: str | None = None
    stars: tuple[tuple[str, int], ...] = ()  # source -> rating
    is_favourite: bool = False
    albums: frozenset[str] = frozenset()
    duration_s: float | None = None
    people: tuple[str, ...] | None = None  # whose faces are seen; None: faces were not looked for
    is_hidden: bool = False

    @property
    def kind(self) -> str:
        if self.duration_s is not None:
            return "video"
        screens = {(1920, 1080), (1080, 1920)}
        is_plain = self.camera is None and self.exposure is None and self.place is None
        is_named = fold(PurePosixPath(self.path).name).startswith("screenshot")
        is_screen = self.format == "PNG" and (self.width, self.height) in screens
        return "screenshot" if is_plain and (is_named or is_screen) else "photo"

    @property
    def rating(self) -> int:
        """The one that counts: the user's, of a copy, of XMP."""
        said = dict(self.stars)
        return next((said[source] for source in ("user", "merged", "xmp") if source in said), 0)


def km_between(here: tuple[float, float], there: tuple[float, float]) -> float:
    """By the angle between two unit vectors in space."""
    a, b = (
        np.array([np.cos(np.radians(x)) * np.cos(np.radians(y)), np.cos(np.radians(x)) * np.sin(np.radians(y)),
                  np.sin(np.radians(x))])
        for x, y in (here, there)
    )  # fmt: skip
    return float(6371.0088 * np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


def holds_name(known: str | None, part: str) -> bool | None:
    return None if known is None else fold(part) in fold(known)


def chain(place: tuple[float, float]) -> list[Place]:
    """The town at these coordinates and what it lies in."""
    here = GAZETTEER.get(LOCATED.get(place) or "")
    return [] if here is None else [GAZETTEER[key] for key in (here.key, here.region, here.country) if key]


def is_called(place: Place, name: str) -> bool:
    """By its own name and those of what it lies in, or by all of them as they are written together."""
    key, *around = (part.strip() for part in fold(name).split(","))
    names = place.names.strip("\n").split("\n")
    outside = [GAZETTEER[key] for key in (place.region, place.country) if key]
    found = all(any(part in other.names.split("\n") for other in outside) for part in around)
    return fold(name) in names or (key in names and found)


def is_meant(place: Place, name: str) -> bool:
    """A country before the towns of its name."""
    countries = [each for each in GAZETTEER.values() if each.kind == "country"]
    is_country = any(fold(name) in each.names.strip("\n").split("\n") for each in countries)
    return is_called(place, name) and (place.kind == "country" or not is_country)


def is_taken_in(place: tuple[float, float] | None, name: str, *kinds: str) -> bool | None:
    if place is None:
        return None
    return any(is_meant(each, name) for each in chain(place) if each.kind in (kinds or (each.kind,)))


def is_within(place: tuple[float, float] | None, circle: Near | NearNamed) -> bool | None:
    if place is not None and isinstance(circle, NearNamed):
        towns = [each for each in GAZETTEER.values() if each.kind == "town" and is_meant(each, circle.name)]
        return any(km_between(place, (each.latitude, each.longitude)) <= circle.km for each in towns)
    return None if place is None else km_between(place, (circle.latitude, circle.longitude)) <= circle.km


def is_about(number: float | None, span: Span, share: float) -> bool | None:
    """Within the range, or so near to one of its ends that it is the same number; beyond it, if the end is left out."""
    if number is None:
        return None
    gap = -share if span.excludes_end else share
    above = span.low is None or number > span.low * (1 - gap) or (gap >= 0 and number == span.low * (1 - gap))
    below = span.high is None or number < span.high * (1 + gap) or (gap >= 0 and number == span.high * (1 + gap))
    if span.excludes_end and number in (span.low, span.high):
        return False
    return above and below


def can_be_read(text: str | None, asked: str) -> bool | None:
    """Each word, or a whole phrase in quotes; neither case nor punctuation counts."""
    parts = [asked.strip('"')] if asked.startswith('"') else asked.split()
    plain = None if text is None else re.sub(r"[^\w]+", " ", text.lower())
    return None if plain is None else all(re.sub(r"[^\w]+", " ", part.lower()).strip() in plain for part in parts)


def is_called_by(asked: str, *texts: str | None) -> bool:
    """The words follow each other in one of the texts; letters and digits are words of their own."""
    plain = [" ".join(re.findall(r"[^\W\d_]+|\d+", fold(text or ""))) for text in (asked, *texts)]
    return any(f" {plain[0]} " in f" {text} " for text in plain[1:])


def shape(row: Row) -> str:
    return ("square", "landscape", "portrait")[(row.width > row.height) - (row.width < row.height)]


PREDICATES: dict[str, Callable[[Row, Any], bool | None]] = {
    "after": lambda row, date: None if row.taken_at is None else row.taken_at >= date,
    "before": lambda row, date: None if row.taken_at is None else row.taken_at < date,
    "day": lambda row, day: None if row.taken_at is None else f"{row.taken_at:%m-%d}" == day,
    "undated": lambda row, _: row.taken_at is None,
    "unplaced": lambda row, _: row.place is None,
    "added_after": lambda row, moment: row.added_at >= moment,
    "under": lambda row, folder: is_below(os.path.dirname(row.path), str(folder)),
    "camera": lambda row, part: holds_name(row.camera, part),
    "lens": lambda row, part: holds_name(row.lens, part),
    "iso": lambda row, span: is_about(row.iso, span, 0.0),
    "aperture": lambda row, span: is_about(row.aperture, span, 0.02),
    "exposure": lambda row, span: is_about(row.exposure, span, 0.02),
    "focal_length": lambda row, span: is_about(row.focal_length, span, 0.02),
    "near": lambda row, circle: is_within(row.place, circle),
    "place": lambda row, name: is_taken_in(row.place, name),
    "country": lambda row, name: is_taken_in(row.place, name, "country"),
    "text": lambda row, asked: can_be_read(row.text, asked),
    "name": lambda row, asked: is_called_by(
        asked, PurePosixPath(row.path).stem, " ".join(PurePosixPath(row.path).parent.parts[-2:])
    ),
    "caption": lambda row, asked: is_called_by(asked, row.text),
    "person": lambda row, name: None if row.people is None else fold(name) in map(fold, row.people),
    "people": lambda row, span: is_about(None if row.people is None else len(row.people), span, 0.0),
    "glob": lambda row, pattern: PurePosixPath(fold(row.path)).match(fold(pattern)),
    "orientation": lambda row, name: shape(row) == name,
    "format": lambda row, name: row.format == name,
    "tag": lambda row, tag: fold(tag) in {fold(each) for each in row.tags | row.predicted},
    "untagged": lambda row, _: not row.tags,
    "kind": lambda row, kind: row.kind == kind,
    "duration": lambda row, span: is_about(row.duration_s, span, 0.0) is True,
    "rating": lambda row, name: row.rating == (-1 if name == "rejected" else int(name)),
    "min_rating": lambda row, stars: row.rating >= stars,
    "favourite": lambda row, _: row.is_favourite,
    "hidden": lambda row, _: row.is_hidden,
    "album": lambda row, name: fold(str(name)) in map(fold, row.albums),
    "min_width": lambda row, pixels: row.width >= pixels,
    "max_width": lambda row, pixels: row.width <= pixels,
    "min_height": lambda row, pixels: row.height >= pixels,
    "max_height": lambda row, pixels: row.height <= pixels,
    "min_bytes": lambda row, size: row.size >= size,
    "max_bytes": lambda row, size: row.size <= size,
}
"""Condition -> whether one value of it holds; None: not known."""


def passes(row: Row, where: Filter) -> bool | None:
    """True, False, or None: fails only because something is not known."""
    verdicts: list[bool | None] = []
    for name, condition in fields():
        if (value := getattr(where, name)) == condition.default:
            continue
        each = [PREDICATES[condition.name](row, part) for part in (value if condition.is_several else (value,))]
        if name != condition.name:
            verdicts.append(not any(each))
        else:
            verdicts.append(True if True in each else None if None in each else False)
    return False if False in verdicts else None if None in verdicts else True

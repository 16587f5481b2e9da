"""What a filter means, in plain Python over plain rows: the other opinion to the SQL."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from retrieval.filters import Filter, Near
from retrieval.filters.conditions import fields
from retrieval.filters.spans import Span
from retrieval.folding import fold
from retrieval.paths import is_below


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


def is_within(place: tuple[float, float] | None, circle: Near) -> bool | None:
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


def shape(row: Row) -> str:
    return ("square", "landscape", "portrait")[(row.width > row.height) - (row.width < row.height)]


PREDICATES: dict[str, Callable[[Row, Any], bool | None]] = {
    "after": lambda row, date: None if row.taken_at is None else row.taken_at >= date,
    "before": lambda row, date: None if row.taken_at is None else row.taken_at < date,
    "added_after": lambda row, moment: row.added_at >= moment,
    "under": lambda row, folder: is_below(os.path.dirname(row.path), str(folder)),
    "camera": lambda row, part: holds_name(row.camera, part),
    "lens": lambda row, part: holds_name(row.lens, part),
    "iso": lambda row, span: is_about(row.iso, span, 0.0),
    "aperture": lambda row, span: is_about(row.aperture, span, 0.02),
    "exposure": lambda row, span: is_about(row.exposure, span, 0.02),
    "focal_length": lambda row, span: is_about(row.focal_length, span, 0.02),
    "near": lambda row, circle: is_within(row.place, circle),
    "glob": lambda row, pattern: PurePosixPath(fold(row.path)).match(fold(pattern)),
    "orientation": lambda row, name: shape(row) == name,
    "format": lambda row, name: row.format == name,
    "tag": lambda row, tag: fold(tag) in {fold(each) for each in row.tags | row.predicted},
    "untagged": lambda row, _: not row.tags,
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

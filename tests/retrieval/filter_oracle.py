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


def shape(row: Row) -> str:
    return ("square", "landscape", "portrait")[(row.width > row.height) - (row.width < row.height)]


PREDICATES: dict[str, Callable[[Row, Any], bool | None]] = {
    "after": lambda row, date: None if row.taken_at is None else row.taken_at >= date,
    "before": lambda row, date: None if row.taken_at is None else row.taken_at < date,
    "added_after": lambda row, moment: row.added_at >= moment,
    "under": lambda row, folder: is_below(os.path.dirname(row.path), str(folder)),
    "camera": lambda row, part: holds_name(row.camera, part),
    "lens": lambda row, part: holds_name(row.lens, part),
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

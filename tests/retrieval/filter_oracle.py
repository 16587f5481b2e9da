"""What a filter means, in plain Python over plain rows: the other opinion to the SQL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from retrieval.filters import Filter, Near
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


def km_between(here: tuple[float, float], there: tuple[float, float]) -> float:
    """By the angle between two unit vectors in space."""
    a, b = (
        np.array([np.cos(np.radians(x)) * np.cos(np.radians(y)), np.cos(np.radians(x)) * np.sin(np.radians(y)),
                  np.sin(np.radians(x))])
        for x, y in (here, there)
    )  # fmt: skip
    return float(6371.0088 * np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


def matches(row: Row, name: str, value: Any) -> bool | None:
    """Whether one value of a condition holds; None: not known."""
    if name == "under":
        return is_below(os.path.dirname(row.path), str(value))
    if name in ("camera", "lens"):
        known = getattr(row, name)
        return None if known is None else fold(value) in fold(known)
    if name == "near":
        assert isinstance(value, Near)
        return None if row.place is None else km_between(row.place, (value.latitude, value.longitude)) <= value.km
    if name == "glob":
        return PurePosixPath(fold(row.path)).match(fold(value))
    if name == "orientation":
        shape = (row.width > row.height) - (row.width < row.height)
        return value == ("square", "landscape", "portrait")[shape]
    if name == "format":
        return row.format == value
    assert name == "tag"
    return fold(value) in {fold(tag) for tag in row.tags | row.predicted}


def passes(row: Row, where: Filter) -> bool | None:
    """True, False, or None: fails only because something is not known."""
    verdicts: list[bool | None] = []
    for name, value in where.asked():
        if name.startswith("no_"):
            verdicts.append(not any(matches(row, name[3:], part) for part in value))
        elif name in ("after", "before"):
            known = row.taken_at
            verdicts.append(None if known is None else known >= value if name == "after" else known < value)
        elif name == "added_after":
            verdicts.append(row.added_at >= value)
        elif name.startswith("min_"):
            verdicts.append(getattr(row, name[4:]) >= value)
        elif name == "untagged":
            verdicts.append(not row.tags)
        else:
            each = [matches(row, name, part) for part in value]
            verdicts.append(True if True in each else None if None in each else False)
    return False if False in verdicts else None if None in verdicts else True

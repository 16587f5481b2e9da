"""The filter as a value: conditions that all have to hold, normalised, and refused where they contradict each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from retrieval.errors import QueryError
from retrieval.filters.contradictions import refuse_contradictions
from retrieval.filters.globs import parse_glob
from retrieval.filters.places import Near, parse_near
from retrieval.tag_text import clean_tag

Orientation = Literal["portrait", "landscape", "square"]

ORIENTATIONS = ("portrait", "landscape", "square")
_MOST_VALUES = 100  # of all conditions together: SQLite takes expressions of limited depth, and this may come over HTTP
_SPOKEN = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000", "PGM": "PPM", "PBM": "PPM", "PNM": "PPM"}


@dataclass(frozen=True, repr=False)
class Filter:
    """Conditions that all have to hold; of several values of one condition, any one is enough.

    A picture of which the catalog does not know what is asked (no date, place, camera or lens) fails the condition.
    The ``no_`` conditions leave out what is known to match, so they keep such pictures. Each field is named as its flag
    on the command line; one value may stand without a tuple.

    Args:
        under: folders; an image in one of them, at any depth. Relative ones are resolved at once.
        after: earliest moment, inclusive, in the local time that the camera wrote.
        before: latest moment, exclusive.
        added_after: first seen in the gallery at or after this moment; without a time zone: this machine's local time.
        camera, lens: part of the name, in any case (:mod:`retrieval.folding`).
        near: circles around places.
        glob: patterns for the path, see :mod:`retrieval.filters.globs`.
        orientation: of the picture as shown.
        format: such as ``JPEG`` or ``PNG``, in any case.
        min_width, min_height: pixels, of the picture as shown.
        tag: in any case; given by a person, or predicted by the model that is searched with.
        untagged: only images to which no person gave a tag, whatever the model predicts.

    Raises:
        QueryError: a value that cannot be, or conditions that no image can pass together.
    """

    under: tuple[Path, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    camera: tuple[str, ...] = ()
    orientation: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    added_after: datetime | None = None
    lens: tuple[str, ...] = ()
    near: tuple[Near, ...] = ()
    glob: tuple[str, ...] = ()
    min_width: int | None = None
    min_height: int | None = None
    tag: tuple[str, ...] = ()
    untagged: bool = False
    no_under: tuple[Path, ...] = ()
    no_camera: tuple[str, ...] = ()
    no_orientation: tuple[str, ...] = ()
    no_format: tuple[str, ...] = ()
    no_lens: tuple[str, ...] = ()
    no_near: tuple[Near, ...] = ()
    no_glob: tuple[str, ...] = ()
    no_tag: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A filter is a key (see the engine): equal ones have to be equal values, also when given as lists.
        for name, normal in _NORMAL.items():
            for field in (name, f"no_{name}"):
                given = getattr(self, field)
                values = [given] if isinstance(given, str | Path | Near) else given or ()
                object.__setattr__(self, field, tuple(dict.fromkeys(normal(value) for value in values)))
        if sum(len(values) for _, values in self.asked() if isinstance(values, tuple)) > _MOST_VALUES:
            raise QueryError(f"a filter of more than {_MOST_VALUES} values", "leave some out")
        self._normalise_moments()
        for side in ("width", "height"):
            least = getattr(self, f"min_{side}")
            if least is not None and least < 1:
                raise QueryError(f"every picture has a {side} of more than {least} pixels", "ask for 1 or more")
        refuse_contradictions(self)

    def _normalise_moments(self) -> None:
        for name in ("after", "before"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is not None:
                raise QueryError("a filter's dates have no time zone", "give local time, as the camera wrote it")
        for name in ("after", "before", "added_after"):
            moment = getattr(self, name)
            if moment is not None:  # the catalog knows seconds
                object.__setattr__(self, name, moment.replace(microsecond=0))
        if self.added_after is not None:
            try:
                object.__setattr__(self, "added_after", self.added_after.astimezone(UTC))
            except (OverflowError, ValueError, OSError):
                raise QueryError(f"{self.added_after} is too far away", "give a date of the last years") from None

    def __repr__(self) -> str:
        return f"Filter({', '.join(f'{name}={value!r}' for name, value in self.asked())})"

    def is_empty(self) -> bool:
        """True if every image passes."""
        return not any(True for _ in self.asked())

    def asked(self) -> Iterator[tuple[str, Any]]:
        """(field, value) of every condition that asks for something."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in ((), None, False):
                yield field.name, value

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, fit for JSON: text, numbers, lists of text. The inverse of :meth:`from_mapping`."""
        from retrieval.filters.text import to_mapping

        return to_mapping(self)

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> Filter:
        """A filter from plain values under its fields' names, see :func:`retrieval.filters.parse_filter`."""
        from retrieval.filters.text import parse_filter

        return parse_filter(**values)


def _folder(value: Path | str) -> Path:
    return Path(os.path.realpath(value))


def _word(what: str, value: str) -> str:
    if not value.strip():
        raise QueryError(f"an empty {what} was given", f"name a {what}, or leave the condition out")
    return value.strip()


def _orientation(value: str) -> str:
    if value.lower() not in ORIENTATIONS:
        raise QueryError(f"unknown orientation {value!r}", f"use one of {', '.join(ORIENTATIONS)}")
    return value.lower()


def _format(value: str) -> str:
    name = _word("format", value).upper()
    return _SPOKEN.get(name, name)


def _glob(value: str) -> str:
    parse_glob(value)
    return value


def _near(value: Near | str) -> Near:
    return parse_near(value) if isinstance(value, str) else value


_NORMAL: dict[str, Callable[[Any], Any]] = {
    "under": _folder,
    "camera": partial(_word, "camera"),
    "lens": partial(_word, "lens"),
    "tag": clean_tag,
    "near": _near,
    "glob": _glob,
    "orientation": _orientation,
    "format": _format,
}

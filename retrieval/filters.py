"""Which images a search may return: conditions on metadata, turned into SQL and applied before ranking."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from retrieval.errors import QueryError

Orientation = Literal["portrait", "landscape", "square"]

_ORIENTATION_SQL: dict[str, str] = {
    "portrait": "i.height > i.width",
    "landscape": "i.width > i.height",
    "square": "i.width = i.height",
}


@dataclass(frozen=True)
class Filter:
    """Conditions that all have to hold. An image without a date or a camera fails a condition that asks for one.

    Args:
        under: folders; an image in one of them, at any depth.
        after: earliest moment, inclusive, in the local time that the camera wrote.
        before: latest moment, exclusive.
        camera: part of the camera's name, in any case.
        orientation: of the picture as shown.
        formats: such as ``JPEG`` or ``PNG``, in any case.
    """

    under: tuple[Path, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    camera: str | None = None
    orientation: Orientation | None = None
    formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A filter is a key (see the engine), also when it was given lists.
        object.__setattr__(self, "under", tuple(self.under))
        object.__setattr__(self, "formats", tuple(self.formats))
        if any(moment is not None and moment.tzinfo is not None for moment in (self.after, self.before)):
            raise QueryError("a filter's dates have no time zone", "give local time, as the camera wrote it")
        if self.after is not None and self.before is not None and self.after >= self.before:
            raise QueryError(
                f"no photo can be taken at or after {self.after} and before {self.before}", "swap the two dates"
            )
        if self.orientation is not None and self.orientation not in _ORIENTATION_SQL:
            raise QueryError(f"unknown orientation {self.orientation!r}", f"use one of {', '.join(_ORIENTATION_SQL)}")

    def is_empty(self) -> bool:
        """True if every image passes."""
        return self == Filter()

    def to_sql(self) -> tuple[str, list[object]]:
        """A condition over ``images AS i JOIN folders AS f`` with its parameters; user text only as parameters."""
        clauses: list[str] = []
        values: list[object] = []
        if self.under:
            # As bytes: a path that is not valid UTF-8 is a BLOB, which never equals a TEXT.
            stored = "CAST(f.path AS BLOB)"
            either = f"({stored} = ? OR substr({stored}, 1, ?) = ?)"
            clauses.append("(" + " OR ".join([either] * len(self.under)) + ")")
            for folder in self.under:
                path = os.fsencode(os.path.realpath(folder))
                prefix = path.rstrip(b"/") + b"/"
                values += [path, len(prefix), prefix]
        if self.after is not None:
            clauses.append("i.taken_at >= ?")
            values.append(self.after.isoformat(timespec="seconds"))
        if self.before is not None:
            clauses.append("i.taken_at < ?")
            values.append(self.before.isoformat(timespec="seconds"))
        if self.camera is not None:
            clauses.append("instr(lower(i.camera), lower(?)) > 0")
            values.append(self.camera)
        if self.orientation is not None:
            clauses.append(_ORIENTATION_SQL[self.orientation])
        if self.formats:
            clauses.append(f"upper(i.format) IN ({', '.join('?' * len(self.formats))})")
            values += [name.upper() for name in self.formats]
        return " AND ".join(clauses) or "1", values


def parse_filter(
    *,
    under: Sequence[Path] = (),
    after: str = "",
    before: str = "",
    camera: str = "",
    orientation: str = "",
    formats: Sequence[str] = (),
) -> Filter:
    """A filter from what people write on a command line; empty strings ask for nothing.

    Raises:
        QueryError: a date that is none, an unknown orientation, dates that exclude each other.
    """
    return Filter(
        under=tuple(under),
        after=parse_date(after) if after else None,
        before=parse_date(before) if before else None,
        camera=camera or None,
        orientation=orientation or None,  # type: ignore[arg-type]  # Filter refuses other words
        formats=tuple(formats),
    )


_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}))?)?)?)?")


def parse_date(text: str) -> datetime:
    """The first moment of what is written: ``2023``, ``2023-06``, ``2023-06-01``, ``2023-06-01 18:30``.

    Raises:
        QueryError: not a date.
    """
    match = _DATE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        first = ("1", "1", "1", "0", "0", "0")
        parts = (int(part or start) for part, start in zip(match.groups(), first, strict=True))
        year, month, day, hour, minute, second = parts
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise QueryError(f"{text!r} is not a date", "write 2023, 2023-06, 2023-06-01 or '2023-06-01 18:30'") from None

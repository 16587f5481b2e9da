"""The conditions that a filter may have, one row each; flags, fields, words, facets and SQL are made from these rows.

A row says everything that is particular to a condition, as plain data: a command line reads this table whenever it
starts. What values of one kind have in common (how they are read, compared and asked for) is in ``kinds.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Kind = Literal[
    "folder", "date", "moment", "part", "circle", "pattern", "choice", "code", "tag", "flag", "pixels", "bytes", "span"
]  # fmt: skip
"""Of a condition's values: a folder; a date by the camera's clock; a moment anywhere; a part of a name; a circle on the
globe; a pattern for paths; one of ``choices``; a short code such as ``JPEG``; a tag; yes or no; a number of pixels;
the size of a file; a number or a range of numbers in a unit."""

_SINGLE = ("date", "moment", "flag", "pixels", "bytes")


# Plain classes: the machinery of named tuples and data classes would cost every start of a command line 3 ms.


class Lack:
    """What a picture may lack, so that a condition can neither hold nor fail: its name, and its column."""

    def __init__(self, what: str, column: str) -> None:
        self.what, self.column = what, column


class Facet:
    """How values are counted.

    Args:
        group: conditions of one group are counted without regard to each other.
        field: of the answer, if values of a column are counted.
        expression: over ``images AS i``: their text; NULL is not counted.
    """

    def __init__(self, group: str, field: str = "", expression: str = "") -> None:
        self.group, self.field, self.expression = group, field, expression


class Order:
    """Another condition, whose value has to be below this one's.

    Args:
        low: its name.
        may_be_equal: whether a picture can pass both if they have the same value.
        message: of the error; ``{low}`` and ``{high}`` are the values.
        hint: what to do about it.
    """

    def __init__(self, low: str, may_be_equal: bool, message: str, hint: str) -> None:
        self.low, self.may_be_equal, self.message, self.hint = low, may_be_equal, message, hint


class Unit:
    """Of the numbers in a range.

    Args:
        what: goes on after "is not".
        examples: of ranges.
        before, behind: patterns for what may stand around a number.
        tolerance: by which share a picture's number may differ and still be the same: cameras write 1/59 s for 1/60 s,
            and f/1.78 for f/1.8.
    """

    def __init__(self, what: str, examples: str, before: str = "", behind: str = "", tolerance: float = 0.02) -> None:
        self.what, self.examples, self.before, self.behind, self.tolerance = what, examples, before, behind, tolerance


class Condition:
    """One condition.

    Args:
        name: of the field, and with hyphens of the flag.
        kind: of its values.
        help: goes on after "Only pictures".
        statement: over ``images AS i``, with the kind's parameters; empty where the kind has one.
        lacks: what is not known of some pictures; they are counted.
        facet: how it is counted; None: in no facet.
        order: of two conditions that enclose a range, the upper one has it.
        unit: of a range.
        choices: all possible values, if these are few.
        names: where values come from that a gallery may not hold: a column of images, ``folders`` or ``tags``.
        commas: several values may stand in one argument.

    Attributes:
        is_several: it takes several values, of which any one is enough, and has a twin that leaves out what matches.
        twin: the name of that.
        default: what asks for nothing.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        help: str,
        statement: str = "",
        *,
        lacks: Lack | None = None,
        facet: Facet | None = None,
        order: Order | None = None,
        unit: Unit | None = None,
        choices: tuple[str, ...] = (),
        names: str = "",
        commas: bool = False,
    ) -> None:
        self.name, self.kind, self.help, self.statement = name, kind, help, statement
        self.lacks, self.facet, self.order, self.unit = lacks, facet, order, unit
        self.choices, self.names, self.commas = choices, names, commas
        self.is_several = kind not in _SINGLE
        self.twin = f"no_{name}"
        self.default: Any = () if self.is_several else False if kind == "flag" else None


_DATE, _PLACE = Lack("date", "taken_at"), Lack("place", "latitude")
_SWAP = "swap the two sizes"
_SHAPE = "CASE WHEN i.height > i.width THEN 'portrait' WHEN i.width > i.height THEN 'landscape' ELSE 'square' END"

CONDITIONS = (
    Condition(
        "after", "date", "taken at or after: 2023, 2023-06, '3 weeks ago', ...",
        "i.taken_at >= :value", lacks=_DATE, facet=Facet("date"),
    ),
    Condition(
        "before", "date", "taken before.",
        "i.taken_at < :value", lacks=_DATE, facet=Facet("date"),
        order=Order("after", False, "no photo can be taken at or after {low} and before {high}", "swap the two dates"),
    ),
    Condition("added_after", "moment", "first indexed at or after.", "i.added_at >= :value"),
    Condition("under", "folder", "in this folder, at any depth.", facet=Facet("folder"), names="folders"),
    Condition(
        "camera", "part", "whose camera's name holds this.",
        "instr(i.camera_key, :part) > 0", lacks=Lack("camera", "camera"),
        facet=Facet("camera", "cameras", "i.camera"), names="camera",
    ),
    Condition(
        "lens", "part", "whose lens's name holds this.",
        "instr(i.lens_key, :part) > 0", lacks=Lack("lens", "lens"),
        facet=Facet("lens", "lenses", "i.lens"), names="lens",
    ),
    Condition(
        "iso", "span", "taken at this sensitivity: 400, 100-400, '>=1600'.",
        "i.iso BETWEEN :low AND :high", lacks=Lack("ISO", "iso"),
        unit=Unit("an ISO sensitivity", "400, 100-400 or '>=1600'", before="iso", tolerance=0.0),
    ),
    Condition(
        "aperture", "span", "taken with this f-number: f/2.8, f/1.4-f/4.",
        "i.aperture BETWEEN :low AND :high", lacks=Lack("aperture", "aperture"),
        unit=Unit("an f-number", "f/2.8, f/1.4-f/4 or '<=f/2'", before="f/|ƒ/|f|ƒ"),
    ),
    Condition(
        "exposure", "span", "exposed for so long: 1/250, 1/500-1/60, '>=2s'.",
        "i.exposure BETWEEN :low AND :high", lacks=Lack("exposure time", "exposure"),
        unit=Unit("an exposure time", "1/250, 1/500-1/60 or '>=2s'", behind="s|sec|seconds?|″"),
    ),
    Condition(
        "focal_length", "span", "taken at this focal length of the lens: 50mm, 35-85mm.",
        "i.focal_length BETWEEN :low AND :high", lacks=Lack("focal length", "focal_length"),
        unit=Unit("a focal length", "50mm, 35-85mm or '>=200mm'", behind="mm"),
    ),
    Condition("near", "circle", "taken around a place: 48.858,2.294,5km.", lacks=_PLACE, facet=Facet("place")),
    Condition("glob", "pattern", "named like this: '*.png', 'trip/*.jpg', raw/."),
    Condition(
        "orientation", "choice", "that are portrait, landscape or square.",
        f"{_SHAPE} = :value", facet=Facet("orientation", "orientations", _SHAPE),
        choices=("portrait", "landscape", "square"), commas=True,
    ),
    Condition(
        "format", "code", "of this format: JPEG, PNG, HEIF, ...",
        "upper(i.format) = :value", facet=Facet("format", "formats", "upper(i.format)"), names="format", commas=True,
    ),
    Condition(
        "tag", "tag", "with this tag, given by a person or predicted by the model.",
        facet=Facet("tag"), names="tags", commas=True,
    ),
    Condition(
        "untagged", "flag", "that no person has tagged.",
        "i.id NOT IN (SELECT image_id FROM tags)", facet=Facet("tag"),
    ),
    Condition("min_width", "pixels", "at least this wide, in pixels.", "i.width >= :value"),
    Condition(
        "max_width", "pixels", "at most this wide.", "i.width <= :value",
        order=Order("min_width", True, "no picture is at least {low} and at most {high} pixels wide", _SWAP),
    ),
    Condition("min_height", "pixels", "at least this high, in pixels.", "i.height >= :value"),
    Condition(
        "max_height", "pixels", "at most this high.", "i.height <= :value",
        order=Order("min_height", True, "no picture is at least {low} and at most {high} pixels high", _SWAP),
    ),
    Condition("min_bytes", "bytes", "whose files have at least this size: 500 kB, 2MB, ...", "i.size >= :value"),
    Condition(
        "max_bytes", "bytes", "whose files have at most this size.", "i.size <= :value",
        order=Order("min_bytes", True, "no file has at least {low} and at most {high} bytes", _SWAP),
    ),
)  # fmt: skip
"""Every condition, in the order in which help tells them."""

NAMED = {condition.name: condition for condition in CONDITIONS}

COUNTED = [condition.facet for condition in CONDITIONS if condition.facet is not None and condition.facet.field]
"""Facets that are the values of a column."""


def fields() -> Iterator[tuple[str, Condition]]:
    """Every field of a filter with its condition: first each condition itself, then the twins."""
    for condition in CONDITIONS:
        yield condition.name, condition
    for condition in CONDITIONS:
        if condition.is_several:
            yield condition.twin, condition

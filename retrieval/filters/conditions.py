"""The conditions that a filter may have, one row each; flags, fields, words, facets and SQL are made from these rows.

A row holds everything that is specific to a condition, as plain data: a command line reads this table whenever it
starts. What values of one kind have in common (how they are read, compared and asked for) is in ``kinds.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from retrieval.filters.screens import IS_SCREENSHOT

Kind = Literal[
    "folder", "date", "moment", "part", "circle", "place", "pattern", "choice", "code", "tag", "flag", "pixels",
    "bytes", "span", "words", "stars", "album", "named", "day", "person",
]  # fmt: skip
"""Kinds of a condition's values: a folder; a date by the camera's clock; an absolute moment; a part of a name; a circle
on the globe; the name of a place; a path pattern; one of ``choices``; a short code such as ``JPEG``; a tag; yes or no;
a number of pixels; a file size; a number or a range of numbers in a unit; words and phrases in a picture's text; a
number of stars; an album; consecutive words in a name or caption; a day of the year; a person by name, or a group of
faces by number."""

_SINGLE = ("date", "moment", "flag", "pixels", "bytes", "stars")


# Plain classes: named tuples and data classes would add 3 ms to every start of a command line.


class Lack:
    """Data that a picture may lack, so that a condition can neither hold nor fail.

    Args:
        what: name of the data.
        column: column of images that is NULL if the data is missing.
        test: SQL over ``images AS i``, if no column shows it.
    """

    def __init__(self, what: str, column: str = "", test: str = "") -> None:
        self.what, self.test = what, test or f"i.{column} IS NULL"


class Facet:
    """How the values of a condition are counted.

    Args:
        group: conditions of one group are counted independently of each other.
        field: its field in the answer, if values are counted.
        expression: SQL over ``images AS i`` for the value as text, if it comes from a column; NULL is not counted.
    """

    def __init__(self, group: str, field: str = "", expression: str = "") -> None:
        self.group, self.field, self.expression = group, field, expression


class UpperLimit:
    """Another condition, whose value must be below this one's.

    Args:
        low: its name.
        may_be_equal: whether a picture can pass both if they have the same value.
        message: of the error; ``{low}`` and ``{high}`` are the values.
        hint: what to do about it.
    """

    def __init__(self, low: str, may_be_equal: bool, message: str, hint: str) -> None:
        self.low, self.may_be_equal, self.message, self.hint = low, may_be_equal, message, hint


class Unit:
    """The unit of the numbers in a range.

    Args:
        what: completes "is not ...".
        examples: examples of ranges.
        before, behind: patterns for what may stand before and after a number.
        tolerance: relative difference up to which a picture's number counts as equal: cameras write 1/59 s for 1/60 s,
            and f/1.78 for f/1.8.
        larger: patterns of larger units, each with its size in this unit; if there are any, ``1:30`` means minutes
            and seconds, ``1:02:03`` also hours.
    """

    def __init__(
        self,
        what: str,
        examples: str,
        before: str = "",
        behind: str = "",
        tolerance: float = 0.02,
        larger: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self.what, self.examples, self.before, self.behind, self.tolerance = what, examples, before, behind, tolerance
        self.larger = larger


class Condition:
    """One condition.

    Args:
        name: of the field; with hyphens, of the flag.
        kind: of its values.
        help: completes "Only pictures ...".
        statement: SQL over ``images AS i``, with the kind's parameters; empty if the kind provides it.
        lacks: data that some pictures lack; those pictures are counted.
        facet: how it is counted; None: not in any facet. A number with a tolerance has none: f/1.8 also matches f/1.78,
            so more pictures would be listed than were counted.
        order: set for the upper one of two conditions that enclose a range.
        unit: of the numbers in a range.
        choices: all possible values, if these are few.
        names: source of the values, any of which a gallery may lack: a column of images, ``folders``, ``tags``,
            ``albums``, ``persons``, ``places`` or ``countries``.
        commas: one argument may contain several values.

    Attributes:
        is_several: it takes several values, any of which suffices, and has a twin that excludes matches.
        twin: the twin's name.
        default: the value that imposes no condition.
        title: its title on the web page.
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
        order: UpperLimit | None = None,
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
        what = lacks.what if lacks is not None and kind in ("part", "span") else name.replace("_", " ")
        self.title = what[0].upper() + what[1:]
        self.default: Any = () if self.is_several else False if kind == "flag" else None


_DATE, _PLACE = Lack("date", "taken_at"), Lack("place", "latitude")
_SWAP = "swap the two sizes"
_SHAPE = "CASE WHEN i.height > i.width THEN 'portrait' WHEN i.width > i.height THEN 'landscape' ELSE 'square' END"

_KIND = f"""CASE WHEN i.duration_s IS NOT NULL THEN 'video' WHEN {IS_SCREENSHOT} THEN 'screenshot'
    WHEN i.is_page THEN 'document' ELSE 'photo' END"""

NAMED_PLACE = """((instr(p.names, :whole) > 0 OR (instr(p.names, :name) > 0 AND
    (:within = '' OR EXISTS (SELECT 1 FROM places AS a WHERE a.key IN (p.region, p.country)
                             AND instr(a.names, :within) > 0)) AND
    (:beyond = '' OR EXISTS (SELECT 1 FROM places AS b WHERE b.key = p.country AND instr(b.names, :beyond) > 0))))
    AND (p.kind = 'country' OR NOT EXISTS (SELECT 1 FROM places AS w WHERE w.kind = 'country'
                                           AND instr(w.names, :whole) > 0)))"""
"""Whether ``places AS p`` has this name; a country takes precedence over towns of its name. The parameters are from
``places.place_parameters``."""

_TAKEN_IN = f"""(i.latitude, i.longitude) IN (SELECT l.latitude, l.longitude FROM located AS l WHERE l.place IN (
    SELECT c.key FROM places AS c JOIN places AS p ON p.key IN (c.key, c.region, c.country)
    WHERE {{}}{NAMED_PLACE}))"""

_CALLED = """SELECT CAST(d.ref AS INTEGER) FROM lexical_index AS x JOIN lexical AS d ON d.id = x.rowid
    WHERE x.lexical_index MATCH :match AND d.kind || '' = '{}'"""
"""Nothing is appended so that SQLite does not ask the index of words for each name: 0.3 ms, not 2.3 s, of 100,000."""

TEXT_IS_KNOWN = """EXISTS (SELECT 1 FROM picture_texts AS u WHERE u.content_hash = i.content_hash
    AND u.reason IS NULL)"""
"""Whether a picture's text was read."""
FACES_ARE_KNOWN = """EXISTS (SELECT 1 FROM face_looks AS l WHERE l.content_hash = i.content_hash
    AND l.reason IS NULL)"""
"""Whether faces were looked for in a picture."""

_SHOWS = f"""CASE WHEN i.content_hash IN (SELECT c.content_hash FROM persons AS p JOIN faces AS c ON c.person_id = p.id
    WHERE p.name_key = :key OR CAST(p.id AS TEXT) = :key) THEN TRUE
    WHEN {FACES_ARE_KNOWN} THEN FALSE END"""

_FACES = Lack("faces", test=f"NOT {FACES_ARE_KNOWN}")

STARS = """coalesce((SELECT r.rating FROM ratings AS r WHERE r.image_id = i.id ORDER BY
    CASE r.source WHEN 'user' THEN 0 WHEN 'merged' THEN 1 ELSE 2 END, r.rating DESC LIMIT 1), 0)"""
"""A picture's stars: from its user, else merged from a copy, else from XMP; 0 for none, -1 for rejected."""

RATED = f"replace(CAST({STARS} AS TEXT), '-1', 'rejected')"

CONDITIONS = (
    Condition(
        "after", "date", "taken at or after: 2023, 2023-06, '3 weeks ago', ...",
        "i.taken_at >= :value", lacks=_DATE, facet=Facet("date"),
    ),
    Condition(
        "before", "date", "taken before.",
        "i.taken_at < :value", lacks=_DATE, facet=Facet("date"),
        order=UpperLimit(
            "after", False, "no photo can be taken at or after {low} and before {high}", "swap the two dates"
        ),
    ),
    Condition(
        "day", "day", "taken on this day of any year: 12-24, today.",
        "CASE WHEN coalesce(i.taken_precision, '') NOT IN ('year', 'month') THEN substr(i.taken_at, 6, 5) = :value END",
        lacks=_DATE, facet=Facet("date"),
    ),
    Condition("undated", "flag", "whose date is not known.", "i.taken_at IS NULL", facet=Facet("date")),
    Condition("added_after", "moment", "first indexed at or after.", "i.added_at >= :value"),
    Condition("under", "folder", "in this folder, at any depth.", facet=Facet("folder"), names="folders"),
    Condition(
        "camera", "part", "whose camera name contains this.",
        "instr(i.camera_key, :part) > 0", lacks=Lack("camera", "camera"),
        facet=Facet("camera", "cameras", "i.camera"), names="camera",
    ),
    Condition(
        "lens", "part", "whose lens name contains this.",
        "instr(i.lens_key, :part) > 0", lacks=Lack("lens", "lens"),
        facet=Facet("lens", "lenses", "i.lens"), names="lens",
    ),
    Condition(
        "iso", "span", "taken at this sensitivity: 400, 100-400, '>=1600'.",
        "i.iso BETWEEN :low AND :high", lacks=Lack("ISO", "iso"), facet=Facet("iso", "isos", "CAST(i.iso AS TEXT)"),
        unit=Unit("an ISO sensitivity", "400, 100-400 or '>=1600'", before="iso", tolerance=0.0),
    ),
    Condition(
        "aperture", "span", "taken with this f-number: f/2.8, f/1.4-f/4.",
        "i.aperture BETWEEN :low AND :high", lacks=Lack("aperture", "aperture"),
        unit=Unit("an f-number", "f/2.8, f/1.4-f/4 or '<=f/2'", before="f/|ƒ/|f|ƒ"),
    ),
    Condition(
        "exposure", "span", "with this exposure time: 1/250, 1/500-1/60, '>=2s'.",
        "i.exposure BETWEEN :low AND :high", lacks=Lack("exposure time", "exposure"),
        unit=Unit("an exposure time", "1/250, 1/500-1/60 or '>=2s'", behind="s|sec|seconds?|″"),
    ),
    Condition(
        "focal_length", "span", "taken at this focal length: 50mm, 35-85mm.",
        "i.focal_length BETWEEN :low AND :high", lacks=Lack("focal length", "focal_length"),
        unit=Unit("a focal length", "50mm, 35-85mm or '>=200mm'", behind="mm"),
    ),
    Condition(
        "near", "circle", "taken around a place: 48.858,2.294,5km or Paris,5km.", lacks=_PLACE, facet=Facet("place"),
    ),
    Condition(
        "place", "place", "taken in this town, region or country: Paris, 'Paris, Texas'.",
        _TAKEN_IN.format(""), lacks=_PLACE, facet=Facet("place"), names="places",
    ),
    Condition(
        "country", "place", "taken in this country, by its name in any language.",
        _TAKEN_IN.format("p.kind = 'country' AND "), lacks=_PLACE, facet=Facet("place"), names="countries",
    ),
    Condition("unplaced", "flag", "of which no coordinates are known.", "i.latitude IS NULL", facet=Facet("place")),
    Condition(
        "text", "words", "in which these words can be read, all of them: invoice, '\"total due\" 2024'.",
        lacks=Lack("text", test=f"NOT {TEXT_IS_KNOWN}"),
    ),
    Condition(
        "name", "named", "whose file or folder name has these words, one after the other: bakery, 'new york'.",
        f"(i.id IN ({_CALLED.format('name')}) OR i.folder_id IN ({_CALLED.format('folder')}))",
    ),
    Condition(
        "caption", "named", "with a caption that has these words, one after the other.",
        f"i.id IN (SELECT image_id FROM captions WHERE id IN ({_CALLED.format('caption')}))",
    ),
    Condition(
        "person", "person", "with this person, by name or by number (see: photoseek people).",
        _SHOWS, lacks=_FACES, facet=Facet("person", "persons"), names="persons",
    ),
    Condition(
        "people", "span", "with the faces of so many people: 2, 2-4, '>=3'.",
        """(SELECT l.faces FROM face_looks AS l WHERE l.content_hash = i.content_hash AND l.reason IS NULL)
           BETWEEN :low AND :high""",
        lacks=_FACES,
        unit=Unit("a number of people", "2, 2-4 or '>=3'", behind="people|persons?|faces?", tolerance=0.0),
    ),
    Condition("glob", "pattern", "whose file name or path matches: '*.png', 'trip/*.jpg', raw/."),
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
    Condition(
        "rating", "choice", "rated so: 5, 4, ..., 0 for none, or rejected.",
        f"{RATED} = :value", facet=Facet("rating", "ratings"),
        choices=("rejected", "0", "1", "2", "3", "4", "5"), commas=True,
    ),
    Condition(
        "min_rating", "stars", "with at least so many stars, 1 to 5.", f"{STARS} >= :value", facet=Facet("rating"),
    ),
    Condition(
        "favourite", "flag", "that are favourites.",
        "i.id IN (SELECT image_id FROM favourites)", facet=Facet("favourite"),
    ),
    Condition(
        "hidden", "flag", "that are hidden; all other lists leave them out.",
        "i.id IN (SELECT image_id FROM hidden)", facet=Facet("hidden"),
    ),
    Condition("album", "album", "in this album.", facet=Facet("album", "albums"), names="albums"),
    Condition(
        "kind", "choice", "of this kind: photo, video, screenshot or document.",
        f"{_KIND} = :value", facet=Facet("kind", "kinds", _KIND), choices=("photo", "video", "screenshot", "document"),
        commas=True,
    ),
    Condition(
        "duration", "span", "that are videos of this length: 10s-60s, '>=1:30', '<5min'.",
        "coalesce(i.duration_s BETWEEN :low AND :high, FALSE)", facet=Facet("duration"),
        unit=Unit(
            "a length", "10s-60s, '>=1:30' or '<5min'", behind="s|sec|seconds?", tolerance=0.0,
            larger=(("m|min|minutes?", 60), ("h|hours?", 3600)),
        ),
    ),
    Condition("min_width", "pixels", "at least this wide, in pixels.", "i.width >= :value"),
    Condition(
        "max_width", "pixels", "at most this wide.", "i.width <= :value",
        order=UpperLimit("min_width", True, "no picture is at least {low} and at most {high} pixels wide", _SWAP),
    ),
    Condition("min_height", "pixels", "at least this high, in pixels.", "i.height >= :value"),
    Condition(
        "max_height", "pixels", "at most this high.", "i.height <= :value",
        order=UpperLimit("min_height", True, "no picture is at least {low} and at most {high} pixels high", _SWAP),
    ),
    Condition("min_bytes", "bytes", "whose files have at least this size: 500 kB, 2MB, ...", "i.size >= :value"),
    Condition(
        "max_bytes", "bytes", "whose files have at most this size.", "i.size <= :value",
        order=UpperLimit("min_bytes", True, "no file has at least {low} and at most {high} bytes", _SWAP),
    ),
)  # fmt: skip
"""Every condition, in the order of the help text."""

NAMED = {condition.name: condition for condition in CONDITIONS}

COUNTED = [each.facet for each in CONDITIONS if each.facet is not None and each.facet.expression]
"""Facets of values from a column."""

PAIRED = [
    facet for facet in (each.facet for each in CONDITIONS) if facet is not None and facet.field and not facet.expression
]
"""Facets of values that are labels, which may change without a change of the picture."""


def fields() -> Iterator[tuple[str, Condition]]:
    """Every field of a filter with its condition: first each condition itself, then the twins."""
    for condition in CONDITIONS:
        yield condition.name, condition
    for condition in CONDITIONS:
        if condition.is_several:
            yield condition.twin, condition

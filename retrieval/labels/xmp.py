"""Keywords and descriptions from untrusted XMP: bounded, without document types or entities."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from retrieval.errors import QueryError
from retrieval.pictures.dates import Moment, parse_moment
from retrieval.regular_files import read_regular
from retrieval.tag_text import clean_caption, clean_tag

MAX_BYTES = 16 << 20
"""Sidecars are a few kB; those with brushed masks of an image editor reach several MB."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MAX_DEPTH = 64
_MAX_ITEMS = 2000
_MAX_TEXT = 20_000

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_ITEM = f"{_RDF} li"
_LANGUAGE = "http://www.w3.org/XML/1998/namespace lang"
_SUBJECT = "http://purl.org/dc/elements/1.1/ subject"
_DESCRIPTION = "http://purl.org/dc/elements/1.1/ description"
_LEVELS = {
    "http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject": "|",
    "http://www.digikam.org/ns/1.0/ TagsList": "/",
}
"""Property -> separator between a tag and its parent."""

OURS = "https://photoseek.invalid/ns/xmp/1.0/"
"""Namespace of the properties that record which keywords, caption and rating photoseek wrote (``xmp_writing.py``)."""

_OUR_TAGS, _OUR_CAPTION, _OUR_RATING = f"{OURS} Tags", f"{OURS} Caption", f"{OURS} Rating"

_XMP, _EXIF = "http://ns.adobe.com/xap/1.0/ ", "http://ns.adobe.com/exif/1.0/ "
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/ "
_RATING, _PERCENT = f"{_XMP}Rating", "http://ns.microsoft.com/photo/1.0/ Rating"
_DATES = (f"{_EXIF}DateTimeOriginal", f"{_PHOTOSHOP}DateCreated", f"{_XMP}CreateDate", f"{_EXIF}DateTimeDigitized")
_LATITUDE, _LONGITUDE = f"{_EXIF}GPSLatitude", f"{_EXIF}GPSLongitude"
_FOR_EXTENSION = f"{_PHOTOSHOP}SidecarForExtension"
_RAW_NAME = "http://ns.adobe.com/camera-raw-settings/1.0/ RawFileName"
_SIMPLE = frozenset(
    {_RATING, _PERCENT, *_DATES, _LATITUDE, _LONGITUDE, _FOR_EXTENSION, _RAW_NAME, _OUR_CAPTION, _OUR_RATING}
)
"""Properties with one value: an attribute of rdf:Description or an element; the first of several is used."""

_COORDINATE = re.compile(r"\s*(\d{1,3})(?:,(\d{1,2}(?:\.\d+)?))?(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEW])\s*", re.IGNORECASE)
_STARS = (1, 13, 38, 63, 88)  # Windows writes 1, 25, 50, 75 and 99 percent


class UnreadableXmp(ValueError):
    """Not XMP, or of an unsupported kind; the message is short enough for one line."""


@dataclass(frozen=True)
class Xmp:
    """The contents of a picture's XMP.

    Attributes:
        tags: after ``tag_text.clean_tag``, sorted. Each level of a hierarchy is a tag of its own: a picture
            filed under Family|Anna is found by both names.
        caption: the description, in the default language if there is one.
        rating: stars from 1 to 5, 0 for none given, -1 for rejected.
        taken: when the picture was taken.
        place: (latitude, longitude) in degrees, north and east positive.
        belongs_to: extension of the file that the XMP was written for, if recorded.
        ours: the tags, caption and rating that photoseek wrote; None if it wrote nothing.
    """

    tags: tuple[str, ...] = ()
    caption: str | None = None
    rating: int | None = None
    taken: Moment | None = None
    place: tuple[float, float] | None = None
    belongs_to: str | None = None
    ours: Xmp | None = None


def parse_xmp(data: bytes) -> Xmp:
    """Parse dc:subject, lr:hierarchicalSubject, digiKam:TagsList, dc:description, and the other properties of Xmp.

    Text that cannot be a tag (too long, control characters) is left out.

    Raises:
        UnreadableXmp: not well-formed, too large, too deep, or with a document type (and thus entities).

    Reference: ISO 16684-1 (XMP); Dublin Core properties in its section 8.3.
    """
    if len(data) > MAX_BYTES:
        raise UnreadableXmp(f"larger than {MAX_BYTES >> 20} MiB")
    reading = _Reading()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    # Before parsing: entities can expand a small file into a large one, or include another file's content.
    # defusedxml would add no protection here: it has no limits on depth or number, and takes 18 ms to import.
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        # Some programs pad their packet with NUL; not in UTF-16, where NUL is half a letter.
        parser.Parse(data if b"\0" in data[:4] or data[:2] in _UTF_16 else data.rstrip(b"\0"), True)
    except expat.ExpatError as error:
        raise UnreadableXmp(f"not well-formed XML (line {error.lineno})") from error
    except (LookupError, ValueError) as error:  # an unknown encoding
        raise error if isinstance(error, UnreadableXmp) else UnreadableXmp("an unknown encoding") from error
    return reading.result()


def read_sidecar(path: str | Path) -> Xmp:
    """The XMP of a sidecar file.

    Raises:
        UnreadableXmp: see :func:`parse_xmp`.
        OSError: the file cannot be read, is not a regular file, or is too large.
    """
    return parse_xmp(read_regular(path, MAX_BYTES))


@dataclass
class _Reading:
    """The state of a parser: its position, and what it has found."""

    tags: set[str] = field(default_factory=set)
    our_tags: set[str] = field(default_factory=set)
    descriptions: list[tuple[str, str]] = field(default_factory=list)  # (language, text)
    simple: dict[str, str] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _property: str | None = None
    _language: str = ""
    _text: list[str] | None = None
    _length: int = 0
    _items: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(name)
        if len(self._open) > _MAX_DEPTH:
            raise UnreadableXmp("nested too deeply")
        if self._property is None and (name in (_SUBJECT, _DESCRIPTION, _OUR_TAGS) or name in _LEVELS):
            self._property = name
        elif self._property is not None and name == _ITEM:
            self._items += 1
            if self._items > _MAX_ITEMS:
                raise UnreadableXmp("too many keywords")
            self._language = attributes.get(_LANGUAGE, "")
            self._text, self._length = [], 0
        elif self._text is None and name in _SIMPLE:
            self._text, self._length = [], 0
        for simple in _SIMPLE.intersection(attributes):
            self.simple.setdefault(simple, attributes[simple][:_MAX_TEXT])
        if description := attributes.get(_DESCRIPTION):  # short form: as an attribute of rdf:Description
            self.descriptions.append(("", description[:_MAX_TEXT]))

    def text(self, text: str) -> None:
        if self._text is not None and self._length < _MAX_TEXT:
            self._text.append(text)
            self._length += len(text)

    def end(self, name: str) -> None:
        self._open.pop()
        if name == self._property:
            self._property = None
        elif name in _SIMPLE and self._text is not None:
            self.simple.setdefault(name, "".join(self._text))
            self._text = None
        elif name == _ITEM and self._text is not None:
            self._take("".join(self._text))
            self._text = None

    def result(self) -> Xmp:
        """The parsed contents."""
        tags = tuple(sorted(self.tags))
        return Xmp(tags, self.caption(), self._rating(), self._taken(), self._place(), self._owner(), self._ours())

    def _ours(self) -> Xmp | None:
        caption, rating = self.simple.get(_OUR_CAPTION), _stars(self.simple.get(_OUR_RATING, ""))
        if not self.our_tags and caption is None and rating is None:
            return None
        return Xmp(tuple(sorted(self.our_tags)), caption, rating)

    def _rating(self) -> int | None:
        for name, read in ((_RATING, _stars), (_PERCENT, _stars_of_percent)):
            if (found := read(self.simple.get(name, ""))) is not None:
                return found
        return None

    def _taken(self) -> Moment | None:
        moments = (parse_moment(self.simple.get(name)) for name in _DATES)
        return next((moment for moment in moments if moment is not None), None)

    def _place(self) -> tuple[float, float] | None:
        latitude = _coordinate(self.simple.get(_LATITUDE), "NS", 90)
        longitude = _coordinate(self.simple.get(_LONGITUDE), "EW", 180)
        return None if latitude is None or longitude is None or latitude == longitude == 0 else (latitude, longitude)

    def _owner(self) -> str | None:
        said = self.simple.get(_FOR_EXTENSION, "").strip().strip(".")
        named = self.simple.get(_RAW_NAME, "").strip()
        return said or (named.rpartition(".")[2] if "." in named else None) or None

    def caption(self) -> str | None:
        for _, text in sorted(self.descriptions, key=lambda pair: pair[0] != "x-default"):
            try:
                return clean_caption(text)
            except QueryError:
                continue
        return None

    def _take(self, text: str) -> None:
        if self._property == _DESCRIPTION:
            self.descriptions.append((self._language, text))
            return
        separator = _LEVELS.get(self._property or "")
        levels = text.split(separator) if separator else [text]
        if levels[0].casefold().startswith("_digikam_"):  # digiKam's own notes: colour labels, pick labels
            return
        for level in levels:
            try:
                (self.our_tags if self._property == _OUR_TAGS else self.tags).add(clean_tag(level))
            except QueryError:  # empty, or not valid as a tag
                continue


def _refuse(*_: object) -> None:
    raise UnreadableXmp("it declares a document type or entities")


def _stars(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if -1 <= value <= 5 else None


def _stars_of_percent(text: str) -> int | None:
    value = int(text) if text.strip().isdecimal() and len(text) < 4 else None
    return None if value is None or value > 100 else sum(value >= least for least in _STARS)


def _coordinate(text: str | None, signs: str, limit: float) -> float | None:
    """Reference: XMP Specification Part 2, GPSCoordinate: ``48,51,30N`` or ``48,51.5N``."""
    found = _COORDINATE.fullmatch(text or "")
    if not found or found[4].upper() not in signs:
        return None
    degrees, minutes, seconds = (float(part or 0) for part in found.groups()[:3])
    value = degrees + minutes / 60 + seconds / 3600
    if minutes > 60 or seconds > 60 or value > limit:
        return None
    return round(-value if found[4].upper() == signs[1] else value, 8) + 0.0

"""Keywords and a description from XMP, which strangers wrote: bounded, without document types or entities."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.parsers import expat

from retrieval.errors import QueryError
from retrieval.labels.tag_text import clean_caption, clean_tag

MAX_BYTES = 16 << 20
"""Sidecars are a few kB; those with brushed masks of an image editor reach some MB."""

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
"""Property -> what separates a tag from the one above it."""

_PACKET = b"http://ns.adobe.com/xap/1.0/\0"
_MAX_JPEG_SEGMENTS = 1000


class UnreadableXmp(ValueError):
    """This is not XMP, or not of a kind that is read; the message is short enough for a line."""


@dataclass(frozen=True)
class Xmp:
    """What XMP says about a picture.

    Attributes:
        tags: as ``tag_text.clean_tag`` leaves them, sorted. Each level of a hierarchy is a tag of its own: a picture
            filed under Family|Anna is found by both names.
        caption: the description, in the default language if there is one.
    """

    tags: tuple[str, ...] = ()
    caption: str | None = None


def parse_xmp(data: bytes) -> Xmp:
    """Read dc:subject, lr:hierarchicalSubject, digiKam:TagsList and dc:description.

    What cannot be a tag (too long, control characters) is left out.

    Raises:
        UnreadableXmp: not well-formed, too large, too deep, or with a document type (and with it entities).

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
    # Before any of it is read: entities are how a small file becomes a large one, or another file's content.
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        # Some programs fill their packet up with NUL. In UTF-16, where NUL is half a letter, they do not.
        parser.Parse(data if b"\0" in data[:4] or data[:2] in _UTF_16 else data.rstrip(b"\0"), True)
    except expat.ExpatError as error:
        raise UnreadableXmp(f"not well-formed XML (line {error.lineno})") from error
    except (LookupError, ValueError) as error:  # an encoding that nobody knows
        raise error if isinstance(error, UnreadableXmp) else UnreadableXmp("an unknown encoding") from error
    return Xmp(tuple(sorted(reading.tags)), reading.caption())


def read_sidecar(path: str | Path) -> Xmp:
    """The XMP of a sidecar file.

    Raises:
        UnreadableXmp: see :func:`parse_xmp`.
        OSError: the file cannot be read.
    """
    with _open(path) as file:
        return parse_xmp(file.read(MAX_BYTES + 1))


def read_embedded(path: str | Path) -> Xmp:
    """The XMP inside a JPEG file (its first packet), found by the segments' lengths; empty for any other file.

    Raises:
        UnreadableXmp: see :func:`parse_xmp`.
        OSError: the file cannot be read.

    Reference: ISO 16684-1, annex on JPEG: APP1 with the name http://ns.adobe.com/xap/1.0/.
    """
    with _open(path) as file:
        if file.read(2) != b"\xff\xd8":
            return Xmp()
        for _ in range(_MAX_JPEG_SEGMENTS):
            head = file.read(4)
            length = int.from_bytes(head[2:], "big")
            # Metadata comes before the picture itself, which begins with a start of scan (DA).
            if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA or length < 2:
                break
            if head[1] == 0xE1:
                body = file.read(length - 2)
                if body.startswith(_PACKET):
                    return parse_xmp(body[len(_PACKET) :])
            else:
                file.seek(length - 2, os.SEEK_CUR)
    return Xmp()


def _open(path: str | Path) -> IO[bytes]:
    # A pipe of this name would keep us waiting for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise UnreadableXmp("not a file")
    return Path(path).open("rb")


@dataclass
class _Reading:
    """The state of a parser: where it is, and what it has found."""

    tags: set[str] = field(default_factory=set)
    descriptions: list[tuple[str, str]] = field(default_factory=list)  # (language, text)
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
        if self._property is None and (name in (_SUBJECT, _DESCRIPTION) or name in _LEVELS):
            self._property = name
        elif self._property is not None and name == _ITEM:
            self._items += 1
            if self._items > _MAX_ITEMS:
                raise UnreadableXmp("too many keywords")
            self._language = attributes.get(_LANGUAGE, "")
            self._text, self._length = [], 0
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
        elif name == _ITEM and self._text is not None:
            self._take("".join(self._text))
            self._text = None

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
        if levels[0].casefold().startswith("_digikam_"):  # its own notes on a picture: colour labels, pick labels
            return
        for level in levels:
            try:
                self.tags.add(clean_tag(level))
            except QueryError:  # empty, or nothing that could be a tag
                continue


def _refuse(*_: object) -> None:
    raise UnreadableXmp("it declares a document type or entities")

"""The common behaviour of the values of one kind: how they are parsed, and which ones exclude each other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retrieval.asker import in_folder
from retrieval.errors import QueryError
from retrieval.filters.albums import FoundAlbum
from retrieval.filters.conditions import Condition, Kind
from retrieval.filters.dates import parse_date, parse_day, parse_moment
from retrieval.filters.globs import parse_glob
from retrieval.filters.places import Near, NearNamed, parse_near, place_name
from retrieval.filters.spans import Span, parse_span
from retrieval.filters.words import parse_words
from retrieval.folding import fold
from retrieval.lexemes import phrase
from retrieval.paths import is_below, is_remote
from retrieval.sources.addresses import spelled
from retrieval.tag_text import clean_album, clean_person, clean_tag

_SIZE = r"([0-9]{1,15})(?:\.([0-9]{1,9}))?\s*(?:([kmgt])(i)?)?(?:b|bytes)?"
_MOST_BYTES = 10**18
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_SPOKEN = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000", "PGM": "PPM", "PBM": "PPM", "PNM": "PPM"}


def read(condition: Condition, value: Any) -> Any:
    """One value of a condition, from text or as a filter holds it; equal for equivalent inputs.

    Raises:
        QueryError: an invalid value.
    """
    return _READ[condition.kind](condition, value)


def _text(condition: Condition, value: Any) -> str:
    if not isinstance(value, str):
        name = condition.name
        raise QueryError(f"{name} takes texts", f"write a text or a list of texts for {name}")
    return value


def _word(condition: Condition, value: Any) -> str:
    text, name = _text(condition, value).strip(), condition.name
    if not text:
        raise QueryError(f"an empty {name} was given", f"name a {name}, or leave the condition out")
    return text


def _folder(condition: Condition, value: Any) -> Path:
    text = str(value) if isinstance(value, Path) else _text(condition, value)
    address = spelled(value if isinstance(value, Path) else text)
    return Path(address) if is_remote(address) else Path(os.path.realpath(in_folder(text)))


def _circle(condition: Condition, value: Any) -> Near | NearNamed:
    return value if isinstance(value, Near | NearNamed) else parse_near(_text(condition, value))


def _pattern(condition: Condition, value: Any) -> str:
    parse_glob(text := _text(condition, value))
    return text


def _choice(condition: Condition, value: Any) -> str:
    text = _text(condition, str(value) if type(value) is int else value).strip().lower()
    if text not in condition.choices:
        raise QueryError(f"unknown {condition.name} {value!r}", f"use one of {', '.join(condition.choices)}")
    return text


def _code(condition: Condition, value: Any) -> str:
    name = _word(condition, value).upper()
    return _SPOKEN.get(name, name)


def _date(_condition: Condition, value: Any) -> datetime:
    """In the local time that the camera wrote, to the second, which is the catalog's precision."""
    date = value if isinstance(value, datetime) else parse_date(str(value))
    if date.tzinfo is not None:
        raise QueryError("a filter's dates have no time zone", "give local time, as the camera wrote it")
    return date.replace(microsecond=0)


def _moment(_condition: Condition, value: Any) -> datetime:
    """In UTC, to the second; input without a time zone is in this machine's."""
    moment = value if isinstance(value, datetime) else parse_moment(str(value))
    try:
        return moment.replace(microsecond=0).astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        raise QueryError(f"{moment} is too far away", "give a date of the last years") from None


def _pixels(condition: Condition, value: Any) -> int:
    text, name = str(value).strip(), condition.name
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise QueryError(f"{name} {text!r} is not a number of pixels", "write a whole number, for instance 1920")
    return _above_zero(condition, int(text), "picture", f"{int(text)} pixels")


def _stars(condition: Condition, value: Any) -> int:
    text = str(value).strip()
    if text not in ("1", "2", "3", "4", "5"):
        raise QueryError(f"{condition.name} {text[:40]!r} is no number of stars", "write 1, 2, 3, 4 or 5")
    return int(text)


def _bytes(condition: Condition, value: Any) -> int:
    text, name = str(value).strip(), condition.name
    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    size = None
    if match is not None:
        whole, part, letter, is_binary = match.groups(default="")
        factor = (1024 if is_binary else 1000) ** ("kmgt".index(letter.lower()) + 1 if letter else 0)
        size = int(whole + part) * factor // 10 ** len(part)
    if size is None or size > _MOST_BYTES:
        raise QueryError(
            f"{name} {text[:40]!r} is no size of a file", "write a number of bytes, 500 kB, 2MB or 1.5 GiB"
        )
    return _above_zero(condition, size, "file", f"{size} bytes")


def _above_zero(condition: Condition, number: int, what: str, said: str) -> int:
    least, side = condition.name.startswith("min_"), condition.name.partition("_")[2]
    if number < 1 and least:
        raise QueryError(
            f"every {what} has a {'size' if what == 'file' else side} of more than {said}", "ask for 1 or more"
        )
    if number < 1:
        raise QueryError(f"no {what} has a {'size' if what == 'file' else side} of {said} or less", "ask for 1 or more")
    return number


def _words(condition: Condition, value: Any) -> str:
    parse_words(text := _word(condition, value))
    return text


def _named(condition: Condition, value: Any) -> str:
    text = _word(condition, value)
    if not phrase(text):
        raise QueryError(f"there is no word in {text[:60]!r}", f"write words that a {condition.name} has")
    return text


def _span(condition: Condition, value: Any) -> Span:
    if isinstance(value, Span):
        return value
    assert condition.unit is not None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return parse_span(
        f"{value:f}" if isinstance(value, float) else str(value) if is_number else _text(condition, value),
        condition.unit,
    )


def _flag(condition: Condition, value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise QueryError(f"{condition.name} {text!r} is neither true nor false", "write true or false")
    return text in _TRUE


_READ: dict[Kind, Callable[[Condition, Any], Any]] = {
    "folder": _folder,
    "date": _date,
    "moment": _moment,
    "part": _word,
    "circle": _circle,
    "place": lambda condition, value: place_name(_word(condition, value)),
    "pattern": _pattern,
    "choice": _choice,
    "code": _code,
    "tag": lambda condition, value: clean_tag(_text(condition, value)),
    "flag": _flag,
    "pixels": _pixels,
    "bytes": _bytes,
    "span": _span,
    "words": _words,
    "stars": _stars,
    "album": lambda condition, value: value if isinstance(value, FoundAlbum) else clean_album(_text(condition, value)),
    "named": _named,
    "day": lambda condition, value: parse_day(_text(condition, value)),
    "person": lambda condition, value: clean_person(_text(condition, str(value) if type(value) is int else value)),
}


def _same(no: str, yes: str) -> bool:
    return fold(no) == fold(yes)


EXCLUDES: dict[Kind, Callable[[Any, Any], bool]] = {
    "folder": lambda no, yes: is_below(str(yes), str(no)),
    "part": lambda no, yes: fold(no) in fold(yes),  # names that hold ``yes`` hold every part of it too
    "circle": lambda no, yes: no.holds(yes),
    "place": _same,
    "pattern": _same,
    "choice": _same,
    "day": _same,
    "code": _same,
    "tag": _same,
    "span": lambda no, yes: no.holds(yes),
    "named": lambda no, yes: phrase(no) == phrase(yes),
    "words": lambda no, yes: all(any(part in whole for whole in parse_words(yes)) for part in parse_words(no)),
    "person": _same,
    "album": lambda no, yes: fold(str(no)) == fold(str(yes)),
}
"""Kind of several values -> whether an excluded value removes everything that the wanted value matches."""

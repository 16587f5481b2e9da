"""The query language: one string such as ``2:beach + sunset - people + img:photo.jpg`` becomes terms.

::

    query = [sign] term (sign term)*
    term  = [weight ":"] (words | "img:" path | "img:id:" number | "img:" URL)
    words = (word | ["-"] ("name" | "text" | "caption" | "place" | "tag" | "person") ":" (word | quoted words))*

A sign is ``+`` or ``-`` preceded by white space (or nothing), and followed by white space, a letter, a double quote or
a weight. So ``t-shirt``, ``-5 degrees`` and ``rock -- roll`` are words; ``beach - people`` and ``beach -people`` keep
away from people. Everything between double quotes is words: ``"salt + pepper"``, ``"9:30 train"``; a quote inside a
word (``12" vinyl``) is an inch.

A word that begins with ``name:`` and the like is a condition: ``receipt name:bakery place:"New York"``
looks for receipts among the pictures with that name and place. It equals the command-line flag of that name (several
of one name are alternatives), and with ``-`` directly before it the flag with ``no``. The words around it stay one
text. In quotes it is plain words: ``"name: John"``, ``"name:John"``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from retrieval.errors import QueryError
from retrieval.search.query import EMPTY_QUERY, Term, picture_term

if TYPE_CHECKING:
    from retrieval.filters import Filter

_WEIGHT = re.compile(r"(\d+(?:\.\d+)?):")
_PICTURE = "img:"
PREFIXES = ("name", "text", "caption", "place", "tag", "person")
"""Conditions of a filter that may be used in a query."""
_OWN = ('"', _PICTURE, "http://", "https://")
"""A text that begins with one of these is not a word."""
_SHOWN = 60  # characters of a long query shown around the wrong one


class QuerySyntaxError(QueryError):
    """A query that cannot be parsed; ``position`` is the character (from 0) of ``text`` that is wrong."""

    def __init__(self, problem: str, text: str, position: int, hint: str) -> None:
        super().__init__(f"{problem}, at character {position + 1}:\n{_pointed(text, position)}", hint)
        self.position = position


class Asked(NamedTuple):
    """A parsed query.

    Attributes:
        terms: what to look for; none if there are only conditions.
        conditions: field of a filter -> its values, as ``filters.parse_typed`` takes them.
    """

    terms: tuple[Term, ...]
    conditions: dict[str, list[str]]

    def where(self, given: Filter | None) -> Filter | None:
        """A filter that combines these conditions with those of ``given``.

        Raises:
            QueryError: they contradict each other, or have impossible values.
        """
        if not self.conditions:
            return given
        from retrieval.filters.filter import parse_typed  # not needed for queries by words only

        own = parse_typed(self.conditions)
        return own if given is None else given.also(own)


def parse_query(text: str, *, allow_urls: bool = False) -> tuple[Term, ...]:
    """The terms of a query as people write it.

    Args:
        allow_urls: whether ``img:https://...`` may stand for a picture that is fetched from the network.

    Raises:
        QueryError: an empty query; a URL that is not allowed; a condition.
        QuerySyntaxError: a misplaced sign, weight or quote.
    """
    asked = parse_question(text, allow_urls=allow_urls)
    if asked.conditions:
        raise QueryError(f"a condition such as {next(iter(asked.conditions))}: cannot be used here", "put it in quotes")
    return asked.terms


def parse_question(text: str, *, allow_urls: bool = False) -> Asked:
    """The same, with conditions allowed; otherwise raises as :func:`parse_query`."""
    terms: list[Term] = []
    conditions: dict[str, list[str]] = {}
    sign: tuple[float, int] | None = None
    at = _skip_space(text, 0)
    while at < len(text):
        if found := _condition(text, at):
            at = _skip_space(text, _noted(found, text, conditions, is_refused=sign is not None and sign[0] < 0))
            sign = None
            continue
        if _is_sign(text, at):
            if sign is not None:
                raise QuerySyntaxError("two signs in a row", text, at, 'put text between them, or use quotes: "+"')
            sign, at = (1.0 if text[at] == "+" else -1.0, at), _skip_space(text, at + 1)
            continue
        term, at = _term(text, at, 1.0 if sign is None else sign[0], allow_urls, conditions)
        terms.append(term)
        sign = None
    if sign is not None:
        raise QuerySyntaxError("nothing follows the sign", text, sign[1], 'add text, or use quotes: "+"')
    if not terms and not conditions:
        raise QueryError(*EMPTY_QUERY)
    return Asked(tuple(terms), conditions)


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(rf'(-?)({"|".join(PREFIXES)}):(?:"([^"]*)("?)|([^\s"]\S*))', re.IGNORECASE)


def _condition(text: str, at: int) -> re.Match[str] | None:
    """A condition that begins at this position, if a word begins there."""
    begins = at == 0 or text[at - 1].isspace() or text[at - 1] == "+"
    return _pattern().match(text, at) if begins and ":" in text else None


def _noted(found: re.Match[str], text: str, conditions: dict[str, list[str]], *, is_refused: bool = False) -> int:
    """Record a condition; returns the position where it ends."""
    minus, name, quoted, close, word = found.groups()
    if quoted is not None and not close:
        raise QuerySyntaxError("this quote is not closed", text, found.end(2) + 1, 'write "..." around words')
    if not (value := (word if quoted is None else quoted).strip()):
        raise QuerySyntaxError("empty quotes", text, found.start(), f"say which {name.lower()}")
    if quoted is not None and name.lower() == "text":
        value = f'"{value}"'  # without quotes, that condition would match the words anywhere
    conditions.setdefault(("no_" if minus or is_refused else "") + name.lower(), []).append(value)
    return found.end()


def parse_arguments(arguments: Sequence[str], *, allow_urls: bool = False) -> Asked:
    """The parsed arguments of a command line; each is a query of its own, and all are combined.

    Consecutive single words are one text (``red bird`` without quotes). A sign may be an argument by itself
    (``beach + sunset - people`` without quotes); it applies to the whole next argument.
    """
    terms: list[Term] = []
    conditions: dict[str, list[str]] = {}
    sign: float | None = None
    arguments = _joined(arguments)
    for at, argument in enumerate(arguments):
        if argument in ("+", "-"):
            if sign is not None or at == len(arguments) - 1:
                whole = " ".join(arguments)
                place = len(" ".join([*arguments[:at], ""]))
                raise QuerySyntaxError("nothing follows the sign", whole, place, "put text after each sign")
            sign = 1.0 if argument == "+" else -1.0
            continue
        found = parse_question(argument, allow_urls=allow_urls)
        terms += [Term(term.kind, term.value, term.weight * (sign or 1.0)) for term in found.terms]
        for name, values in found.conditions.items():
            field = name if sign != -1.0 else name.removeprefix("no_") if name.startswith("no_") else f"no_{name}"
            conditions.setdefault(field, []).extend(values)
        sign = None
    return Asked(tuple(terms), conditions)


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments, with runs of single words joined: the shell split them because they were not quoted."""
    joined: list[str] = []
    is_open = False
    for argument in arguments:
        is_word = len(argument.split()) == 1 and not (
            argument in ("+", "-") or _is_sign(argument, 0) or _WEIGHT.match(argument) or argument.startswith(_OWN)
        )
        if is_word and is_open:
            joined[-1] += f" {argument.strip()}"
        else:
            joined.append(argument)
        is_open = is_word
    return joined


def _is_sign(text: str, at: int) -> bool:
    if text[at] not in "+-" or not (at == 0 or text[at - 1].isspace()):
        return False
    behind = text[at + 1 : at + 2]
    return not behind or behind.isspace() or behind.isalpha() or behind == '"' or bool(_WEIGHT.match(text, at + 1))


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _term(text: str, start: int, sign: float, allow_urls: bool, conditions: dict[str, list[str]]) -> tuple[Term, int]:
    """The term that starts at ``start``, and where the next sign or the end is."""
    weight, at = 1.0, start
    if match := _WEIGHT.match(text, start):
        weight, at = float(match[1]), match.end()
        if weight == 0 or not isfinite(weight):
            raise QuerySyntaxError(f"a weight of {match[1]:.20} has no effect", text, start, "use a number above zero")
    is_picture = text.startswith(_PICTURE, at)
    if at > start and _pattern().match(text, at):
        raise QuerySyntaxError("a condition has no weight", text, start, 'omit the weight, or use quotes: 2:"name:x"')
    body, end = _body(text, at + len(_PICTURE) * is_picture, conditions)
    if not body:
        what = (
            "no picture follows img:" if is_picture else "no words follow the weight" if at > start else "empty quotes"
        )
        raise QuerySyntaxError(what, text, start, "say what to look for")
    if is_picture:
        return picture_term(body, sign * weight, allow_urls=allow_urls), end
    if body.lower().startswith(("http://", "https://")):
        raise QuerySyntaxError(
            "an address cannot be used as text", text, start, f"to search with that picture: img:{body}"
        )
    return Term("text", body, sign * weight), end


def _body(text: str, start: int, conditions: dict[str, list[str]]) -> tuple[str, int]:
    """The words from ``start`` to the next sign, without quotes; conditions among them are recorded."""
    parts: list[str] = []
    at = start
    while at < len(text):
        if at > start and (found := _condition(text, at)):
            at = _skip_space(text, _noted(found, text, conditions))
            continue
        if at > start and _is_sign(text, at):
            break
        if text[at] == '"' and (at == start or text[at - 1].isspace()):
            close = text.find('"', at + 1)
            if close < 0:
                raise QuerySyntaxError("this quote is not closed", text, at, 'write "..." around words')
            parts.append(text[at + 1 : close])
            at = close + 1
        else:
            parts.append(text[at])
            at += 1
    return "".join(parts).strip(), at


def _pointed(text: str, position: int) -> str:
    """The text and a line below it with ``^`` under that character; wide characters take two columns."""
    first = max(0, position - _SHOWN)
    shown = "".join(c if c.isprintable() else " " for c in text[first : position + _SHOWN])
    before = shown[: position - first]
    width = sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in before)
    return f"{shown.rstrip()}\n{' ' * width}^"


def query_words(terms: Sequence[Term]) -> str:
    """``2:beach + sunset - people + img:photo.jpg``."""
    said = ""
    for term in terms:
        sign = "-" if term.weight < 0 else "+"
        value = {"text": "", "id": "img:id:"}.get(term.kind, "img:") + str(term.value)
        weight = f"{abs(term.weight):g}:" if abs(term.weight) != 1 else ""
        said += (f" {sign} " if said else "- " if sign == "-" else "") + weight + value
    return said

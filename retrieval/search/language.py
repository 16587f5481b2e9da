"""The query language: one string such as ``2:beach + sunset - people + img:photo.jpg`` becomes terms.

::

    query = [sign] term (sign term)*
    term  = [weight ":"] (words | "img:" path | "img:id:" number | "img:" URL)

A sign is ``+`` or ``-`` with white space (or nothing) before it, and behind it white space, a letter, a double quote or
a weight. So ``t-shirt``, ``-5 degrees`` and ``rock -- roll`` are words; ``beach - people`` and ``beach -people`` keep
away from people. All between double quotes is words: ``"salt + pepper"``, ``"9:30 train"``; a quote in the middle of a
word (``12" vinyl``) is an inch.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from math import isfinite

from retrieval.errors import QueryError
from retrieval.search.query import EMPTY_QUERY, Term, picture_term

_WEIGHT = re.compile(r"(\d+(?:\.\d+)?):")
_PICTURE = "img:"
_OWN = ('"', _PICTURE, "http://", "https://")
"""What begins so is no word of a text."""
_SHOWN = 60  # characters of a long query around the one that is wrong


class QuerySyntaxError(QueryError):
    """A query that cannot be read; ``position`` is the character (from 0) of ``text`` that stands in the way."""

    def __init__(self, problem: str, text: str, position: int, hint: str) -> None:
        super().__init__(f"{problem}, at character {position + 1}:\n{_pointed(text, position)}", hint)
        self.position = position


def parse_query(text: str, *, allow_urls: bool = False) -> tuple[Term, ...]:
    """The terms of a query as people write it.

    Args:
        allow_urls: whether ``img:https://...`` may stand for a picture that is fetched from the network.

    Raises:
        QueryError: nothing is asked for; a URL that is not allowed.
        QuerySyntaxError: a sign, a weight or a quote that leads nowhere.
    """
    terms: list[Term] = []
    sign: tuple[float, int] | None = None
    at = _skip_space(text, 0)
    while at < len(text):
        if _is_sign(text, at):
            if sign is not None:
                raise QuerySyntaxError("two signs in a row", text, at, 'put text between them, or use quotes: "+"')
            sign, at = (1.0 if text[at] == "+" else -1.0, at), _skip_space(text, at + 1)
            continue
        term, at = _term(text, at, 1.0 if sign is None else sign[0], allow_urls)
        terms.append(term)
        sign = None
    if sign is not None:
        raise QuerySyntaxError("nothing follows the sign", text, sign[1], 'add text, or use quotes: "+"')
    if not terms:
        raise QueryError(*EMPTY_QUERY)
    return tuple(terms)


def parse_arguments(arguments: Sequence[str], *, allow_urls: bool = False) -> tuple[Term, ...]:
    """The terms of the arguments of a command line, each a query of its own; all count.

    Single words that follow each other are one text (``red bird`` without quotes). A sign may be an argument by itself
    (``beach + sunset - people`` without quotes); it is for all of the next one.
    """
    terms: list[Term] = []
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
        found = parse_query(argument, allow_urls=allow_urls)
        terms += [Term(term.kind, term.value, term.weight * (sign or 1.0)) for term in found]
        sign = None
    return tuple(terms)


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments, with runs of single words put together: what a shell took apart because nobody wrote quotes."""
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


def _term(text: str, start: int, sign: float, allow_urls: bool) -> tuple[Term, int]:
    """The term that starts at ``start``, and where the next sign or the end is."""
    weight, at = 1.0, start
    if match := _WEIGHT.match(text, start):
        weight, at = float(match[1]), match.end()
        if weight == 0 or not isfinite(weight):
            raise QuerySyntaxError(f"a weight of {match[1]:.20} has no effect", text, start, "use a number above zero")
    is_picture = text.startswith(_PICTURE, at)
    body, end = _body(text, at + len(_PICTURE) * is_picture)
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


def _body(text: str, start: int) -> tuple[str, int]:
    """The words from ``start`` to the next sign, without quotes."""
    parts: list[str] = []
    at = start
    while at < len(text) and not (at > start and _is_sign(text, at)):
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
    """The text and a line below with ``^`` under that character; wide characters take two columns."""
    first = max(0, position - _SHOWN)
    shown = "".join(c if c.isprintable() else " " for c in text[first : position + _SHOWN])
    before = shown[: position - first]
    width = sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in before)
    return f"{shown.rstrip()}\n{' ' * width}^"

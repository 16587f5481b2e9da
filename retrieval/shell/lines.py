"""Parse a line of the shell: a command, or a query with filters."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from retrieval.errors import QueryError
from retrieval.filters.conditions import fields
from retrieval.filters.filter import Filter, parse_typed
from retrieval.search.language import parse_question
from retrieval.search.query import Term, picture_term

Action = Literal[
    "nothing", "query", "more", "like", "not", "open", "show", "similar", "filter", "reset", "help", "quit"
]

HELP = """a dog                      a query: words, 2:beach + sunset - people, img:photo.jpg
a dog --camera canon -n 5  with filters (as photoseek search --help lists them), for this query
more                       the next hits
like 3, not 5 6            more like hit 3, less like hits 5 and 6; they add up
--under trip -n 20         filters alone: what passes them, newest first
similar 3                  what looks like hit 3
show 3, open 3             what is known of hit 3; open its file
filter --after 2023        a filter for all that follows; filter off; filter (says which)
reset                      forget the likes, the filter and the query
quit                       or Ctrl-D
"more" in quotes, or any other words: a query
"""

_NUMBERS = re.compile(r"\d{1,6}(?:[\s,]+\d{1,6})*")
_FLAGS = re.compile(r"(?:^|\s)(?=--[a-z]|-n\s*\d)")
_WITH_NUMBERS: tuple[Action, ...] = ("like", "not", "open", "show", "similar")
_ALONE: dict[str, Action] = {
    "more": "more", "reset": "reset", "help": "help", "?": "help", "quit": "quit", "exit": "quit",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A parsed line.

    Args:
        terms: of a query; empty: pictures are listed, newest first.
        numbers: of hits, as displayed.
        where: the filter in the line; None if there is none.
        k: the number of hits, if given.
        clears: ``filter off``.
    """

    action: Action
    terms: tuple[Term, ...] = ()
    numbers: tuple[int, ...] = ()
    where: Filter | None = None
    k: int | None = None
    clears: bool = False


def parse_line(text: str, *, allow_urls: bool = False) -> Line:
    """Parse a line. A command word counts as one only with valid arguments: ``show dogs`` is a query.

    Raises:
        QueryError: an invalid query or filter.
    """
    text = text.strip()
    word, _, rest = text.partition(" ")
    word, rest = word.lower(), rest.strip()
    if not text:
        return Line("nothing")
    if not rest and word in _ALONE:
        return Line(_ALONE[word])
    for action in _WITH_NUMBERS:
        if word == action and (not rest or _NUMBERS.fullmatch(rest)):
            if not rest:
                raise QueryError(f"{word} what?", f"give the number of a hit: {word} 3")
            return Line(action, numbers=tuple(int(number) for number in re.findall(r"\d+", rest)))
    if word == "filter" and (not rest or rest.lower() == "off" or rest.startswith("-")):
        where, k = _flags(rest if rest.startswith("-") else "")
        return Line("filter", where=where, k=k, clears=rest.lower() == "off")
    query, flags = _split(text)
    where, k = _flags(flags)
    if not query.strip():
        return Line("query", where=where, k=k)
    asked = parse_question(query, allow_urls=allow_urls)
    return Line("query", asked.terms, where=asked.where(where), k=k)


def hit_term(image_id: int) -> Term:
    """The term for a picture of the gallery."""
    return picture_term(f"id:{image_id}")


def _split(text: str) -> tuple[str, str]:
    """The query, and the flags after it; text in double quotes belongs to the query."""
    for found in _FLAGS.finditer(text):
        if text[: found.start()].count('"') % 2 == 0:
            return text[: found.start()], text[found.end() :]
    return text, ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise QueryError(message, "flags come after the query; put quotes around a query that contains such words")


def _parser() -> _Parser:
    """The flags of a filter, named after its fields; their values are parsed by ``parse_typed``."""
    parser = _Parser(prog="shell", add_help=False, allow_abbrev=False, usage="")
    for name, condition in fields():
        flag = "--" + name.replace("_", "-")
        if condition.kind == "flag":
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, action="append", metavar="VALUE")
    parser.add_argument("-n", "--limit", dest="k", metavar="N")
    return parser


def _flags(text: str) -> tuple[Filter | None, int | None]:
    if not text:
        return None, None
    try:
        words: Sequence[str] = shlex.split(text)
    except ValueError as error:
        raise QueryError(f"the flags cannot be parsed: {error}".lower(), "close each quote") from None
    given: dict[str, Any] = vars(_parser().parse_args(words))
    k = given.pop("k")
    if k is not None and not (k.isdecimal() and 0 < int(k) <= 10_000):
        raise QueryError(f"cannot return {k} hits", "give a number from 1 to 10,000")
    where = parse_typed(given)
    return None if where.is_empty() else where, None if k is None else int(k)

"""The fast path of a search: its command line is read without typer.

typer makes parsers for the 80 flags of ``search`` before it reads any, which takes more than a third of the CPU time of
a whole search. A command line of words, conditions, orders and the commonest other flags is read here. All others take
the slow path (``commands/search.py``): flags not named below, and everything that is or may be wrong, so that messages
come from one place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.commands.answers import Form, Request
from retrieval.commands.searching import DEFAULT_LIMIT, find_and_show
from retrieval.config.process import lookup

if TYPE_CHECKING:
    from retrieval.filters.conditions import Condition
    from retrieval.search.pages import Listing

_ON = {
    "--json": "as_json", "--jsonl": "as_json", "--paths": "paths", "--relevant": "relevant", "--reverse": "reverse",
    "--explain": "explain",
}  # fmt: skip
"""Flag without a value -> the parameter that it sets."""

_VALUES = {
    "--gallery": "gallery", "--limit": "limit", "-n": "limit", "--min-score": "min_score", "--sort": "sort",
    "--page": "page", "--group-near": "group_minutes", "--only": "only",
}  # fmt: skip
"""Flag with a value -> the parameter that it sets."""

_WHOLE, _NUMBER = ("limit", "page"), ("min_score", "group_minutes")
_LISTING = ("sort", "reverse", "page", "group_minutes")
_MOST_DIGITS = 6


class _LongWayError(Exception):
    """This command line has to be read by typer."""


def plain_search(arguments: Sequence[str]) -> PlainSearch | None:
    """Read the arguments of ``photoseek``; None if they have to take the slow path."""
    if arguments[:1] != ["search"] or "_PHOTOSEEK_COMPLETE" in os.environ:
        return None
    try:
        found = PlainSearch(arguments[1:])
    except _LongWayError:
        return None
    return found if found.texts else None


class PlainSearch:
    """A parsed command line.

    Attributes:
        texts: the queries.
        given: other flags by the parameter they set, with typed values.
        conditions: fields of a filter, with texts.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.texts: list[str] = []
        self.given: dict[str, Any] = {}
        self.conditions: dict[str, Any] = {}
        rest = iter(arguments)
        for argument in rest:
            flag, equals, value = argument.partition("=")
            if not argument.startswith("-"):
                self.texts.append(_not_blank(argument))
            elif argument in _ON:
                self.given[_ON[argument]] = True
            elif flag in _VALUES and (flag != "-n" or not equals):
                name = _VALUES[flag]
                self.given[name] = _typed(name, _not_blank(value if equals else next(rest, "")))
            else:
                field, condition = _condition(flag)
                if condition.kind == "flag":
                    if equals:
                        raise _LongWayError
                    self.conditions[field] = True
                    continue
                value = _not_blank(value if equals else next(rest, ""))
                if condition.kind in ("pixels", "stars"):
                    self.conditions[field] = _whole(value)
                elif condition.is_several:
                    self.conditions.setdefault(field, []).append(value)
                else:
                    self.conditions[field] = value

    def run(self) -> None:
        """Search, and print the hits."""
        from retrieval.logs import log_to_stderr
        from retrieval.program import begin_work
        from retrieval.search.language import parse_arguments

        log_to_stderr()
        begin_work()
        where = None
        if self.conditions:
            from retrieval.filters.filter import parse_typed

            where = parse_typed(self.conditions)
        given, asked = self.given, parse_arguments(self.texts)
        find_and_show(
            Request(asked.terms, asked.where(where)),
            self.texts,
            Form(
                as_json=given.get("as_json", False),
                paths=given.get("paths", False),
                explain=given.get("explain", False),
            ),
            given.get("gallery"),
            limit=given["limit"] if "limit" in given else _usual("search.limit", DEFAULT_LIMIT),
            min_score=given.get("min_score"),
            relevant=given.get("relevant", False),
            only=given.get("only"),
            listing=self._listing(),
        )

    def _listing(self) -> Listing | None:
        wanted = {name: self.given[name] for name in _LISTING if name in self.given}
        for name in ("raw", "live"):
            if (pairs := _usual(f"search.{name}-pairs", "both")) != "both":
                wanted[f"{name}_pairs"] = pairs
        if not wanted:
            return None
        from retrieval.search.pages import Listing

        return Listing(**wanted)


def _usual(name: str, default: Any) -> Any:
    """A setting; the table of all settings is only loaded if a variable's text has to be parsed."""
    variable = "PHOTOSEEK_" + name.upper().translate(_IN_VARIABLES)
    if variable in os.environ:
        from retrieval.config.values import setting

        return setting(name)
    found = lookup(name, variable)
    return default if found is None else found


_IN_VARIABLES = str.maketrans(".-", "__")


def _condition(flag: str) -> tuple[str, Condition]:
    """The field of a filter that a flag sets, and its condition."""
    from retrieval.filters.conditions import fields

    for field, condition in fields():
        if flag == "--" + field.replace("_", "-"):
            return field, condition
    raise _LongWayError


def _not_blank(value: str) -> str:
    """A value that can be used unchanged: not empty, without a home folder, and not possibly a flag."""
    if not value.strip() or value[0] in "-~":
        raise _LongWayError
    return value


def _typed(name: str, value: str) -> Any:
    if name == "gallery":
        return Path(value)
    if name in _WHOLE:
        return _whole(value)
    if name in _NUMBER:
        try:
            return float(value)
        except ValueError:
            raise _LongWayError from None
    return value


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS and int(value)):
        raise _LongWayError
    return int(value)

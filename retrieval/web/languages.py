"""The languages of the page: one file of messages each, and which of them a browser gets."""

from __future__ import annotations

import json
from functools import cache
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from starlette.datastructures import Headers

from retrieval.filters.conditions import CONDITIONS

DEFAULT = "en"
COOKIE = "photoseek-language"
"""Set by the page when somebody chooses a language; it holds the name of the language and nothing else."""

_FOLDER = Path(__file__).with_name("page") / "messages"

Message = str | dict[str, str]
"""A text with ``{placeholders}``, or one for each plural category of CLDR (``one``, ``other``, ...), taken by ``n``."""


@cache
def languages() -> tuple[str, ...]:
    """The languages that have a file of messages, as BCP 47 tags in lower case; the default one first."""
    found = sorted(path.stem for path in _FOLDER.glob("*.json"))
    return (DEFAULT, *(name for name in found if name != DEFAULT))


@cache
def messages(language: str) -> dict[str, Message]:
    """The messages of a language by key.

    The names of conditions (``condition.camera``) are English where its file has none: in English they are those of
    the table of conditions.

    Args:
        language: one of :func:`languages`.
    """
    texts: dict[str, Message] = json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return {f"condition.{each.name}": each.title for each in CONDITIONS} | texts


def language_of(headers: Headers) -> str:
    """The language for a request: the one chosen in the page, else the first that its browser prefers, else English."""
    chosen = _cookie(headers.get("cookie", ""))
    if chosen in languages():
        return chosen
    for wanted in _preferred(headers.get("accept-language", "")):
        for language in languages():
            if wanted == language or wanted.startswith(language + "-"):
                return language
    return DEFAULT


def _preferred(header: str) -> list[str]:
    """The tags of ``Accept-Language`` (RFC 9110, 12.5.4), the best first; those with a weight of 0 are left out."""
    weighed = []
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        weight = parameter.strip().removeprefix("q=") if parameter.strip() else "1"
        try:
            weighed.append((float(weight), tag.strip().lower()))
        except ValueError:
            continue
    return [tag for weight, tag in sorted(weighed, key=lambda each: -each[0]) if weight > 0]


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value

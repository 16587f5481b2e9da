"""The lines of each setting in a file: for messages, and to replace them."""

from __future__ import annotations

import re
import tomllib
from typing import NamedTuple

HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"\s*(?:([A-Za-z0-9_-]+(?:\s*\.\s*[A-Za-z0-9_-]+)*)|\"([\w.-]+)\")\s*=")
_MOST_LINES = 1100
"""Of one value: a list with the maximal number of texts."""


class Entry(NamedTuple):
    """The lines of a setting, counted from 0."""

    first: int
    last: int


def entries(text: str) -> dict[str, Entry]:
    """The lines of each setting; also for a file that is not valid TOML elsewhere."""
    lines = text.split("\n")
    found: dict[str, Entry] = {}
    table, at = "", 0
    while at < len(lines):
        first, at = at, at + 1
        if header := HEADER.match(lines[first]):
            table = f"{header[1]}."
        elif key := _KEY.match(lines[first]):
            name = re.sub(r"\s", "", key[1] or key[2])
            last = _end(lines, first)
            found.setdefault(f"{table}{name}", Entry(first, last))
            at = last + 1
    return found


def _end(lines: list[str], first: int) -> int:
    """The last line of the value that begins at line ``first``."""
    for last in range(first, min(len(lines), first + _MOST_LINES)):
        try:
            tomllib.loads("\n".join(lines[first : last + 1]))
        except tomllib.TOMLDecodeError:
            continue
        return last
    return first

"""Patterns for paths, in the way of ``pathlib``: matched from the right, name by name, in any case.

``*.png`` looks at the file's name alone. ``trip/*.png`` wants the file in a folder ``trip``, wherever that is; a
pattern that starts with ``/`` or ``~`` is compared from the top. ``*`` and ``?`` stay within one name, ``**`` is for
any number of folders, ``[a-c]`` and ``[!a-c]`` for one character, and ``raw/`` for everything below a folder ``raw``.
Upper and lower case are alike (cameras write ``.JPG``).
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from typing import NamedTuple

from retrieval.errors import QueryError

_CLASS = re.compile(r"\[([!^]|(?![!^]))(\]?[^\]]+|\])\]")
_LONGEST = 1000


class Glob(NamedTuple):
    """A pattern, taken apart, in lower case.

    Attributes:
        name: for the file's name, in SQLite's GLOB syntax.
        folder: for the path of its folder, in ``fnmatch``'s syntax with ``/`` between names; empty: any folder.
    """

    name: str
    folder: str


def parse_glob(text: str) -> Glob:
    """Take a pattern apart.

    Raises:
        QueryError: it names nothing, a bracket is not closed, or it is over 1,000 characters long.
    """
    # A pattern, not a path: pathlib would drop its last slash.
    pattern = os.path.expanduser(text) if text.startswith("~") else text  # noqa: PTH111
    if not pattern.strip("/") or len(pattern) > _LONGEST:
        shown = f"{text[:40]!r}{'...' if len(text) > 40 else ''}"
        raise QueryError(f"{shown} is no pattern for files", "write one such as '*.png', 'trip/*.jpg' or raw/")
    names = pattern.split("/")
    if any("[" in _CLASS.sub("", name) for name in names):
        raise QueryError(f"a bracket is not closed in {text!r}", "write [[] for the character itself")
    if names[-1] == "**":
        names.append("*")
    elif not names[-1]:  # as in .gitignore: what lies below
        names[-1:] = ["**", "*"]
    *folders, name = (name.lower() for name in names)
    folder = "/".join(_CLASS.sub(lambda match: f"[{'!' if match[1] else ''}{match[2]}]", part) for part in folders)
    return Glob(
        _CLASS.sub(lambda match: f"[{'^' if match[1] else ''}{match[2]}]", name),
        "/" if folders == [""] else folder,
    )


def folder_matches(path: str | bytes, pattern: str) -> bool:
    """True if a folder's path, as the catalog stores it, matches :attr:`Glob.folder`.

    All ways to match are followed at once, so that no pattern takes longer than its length times the path's.
    """
    wanted = [name for name in pattern.split("/") if name]
    if not pattern.startswith("/"):
        wanted.insert(0, "**")
    states = _open(wanted, {0})
    for name in os.fsdecode(path).replace(os.sep, "/").lower().split("/"):
        if name:
            stay = {at for at in states if at < len(wanted) and wanted[at] == "**"}
            on = {at + 1 for at in states - stay if at < len(wanted) and fnmatchcase(name, wanted[at])}
            states = _open(wanted, stay | on)
    return len(wanted) in states


def _open(wanted: list[str], states: set[int]) -> set[int]:
    """The states with those that follow without a name: ``**`` may stand for no folder."""
    found: set[int] = set()
    for at in states:
        found.add(at)
        while at < len(wanted) and wanted[at] == "**":
            at += 1
            found.add(at)
    return found

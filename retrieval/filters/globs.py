"""Patterns for paths, as in ``pathlib``: matched from the right, name by name, ignoring case.

``*.png`` matches only the file's name. ``trip/*.png`` matches a file in a folder ``trip``, wherever that is; a
pattern that starts with ``/`` or ``~`` is matched from the root. ``*`` and ``?`` stay within one name, ``**`` matches
any number of folders, ``[a-c]`` and ``[!a-c]`` one character, and ``raw/`` everything below a folder ``raw``.
Upper and lower case are equal (cameras write ``.JPG``), and so are composed and decomposed letters: names and
patterns are compared folded (:mod:`retrieval.folding`). If a folded name is longer ("ß" becomes "ss"), ``?`` and
``[]`` also match a character of the name as it is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from retrieval.errors import QueryError
from retrieval.folding import fold, fold_each

_CLASS = re.compile(r"\[([!^]|(?![!^]))(\]?[^\]]+|\])\]")
_LONGEST = 1000


class Glob(NamedTuple):
    """A parsed pattern.

    Attributes:
        name: for the file's folded name, in SQLite's GLOB syntax.
        folder: for the path of its folder, in ``fnmatch``'s syntax with ``/`` between names; empty: any folder.
        counted: for the file's name if characters are counted (see :func:`name_matches`); empty: nothing is counted.
    """

    name: str
    folder: str
    counted: str = ""


def parse_glob(text: str) -> Glob:
    """Parse a pattern.

    Raises:
        QueryError: it contains no name, a bracket is not closed, or it is over 1,000 characters long.
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
    elif not names[-1]:  # as in .gitignore: everything below
        names[-1:] = ["**", "*"]
    *folders, name = names
    folder = "/".join(_with_classes(part, "!", lambda text: text) for part in folders)
    return Glob(
        _with_classes(name, "^", fold),
        "/" if folders == [""] else folder,
        _with_classes(name, "!", fold_each) if "?" in name or "[" in name else "",
    )


def _with_classes(pattern: str, negation: str, folded: Callable[[str], str]) -> str:
    """A pattern with its classes in another syntax, folded; a class never gets more characters than before."""
    parts: list[str] = []
    end = 0
    for match in _CLASS.finditer(pattern):
        parts += [folded(pattern[end : match.start()]), f"[{negation if match[1] else ''}{fold_each(match[2])}]"]
        end = match.end()
    return "".join([*parts, folded(pattern[end:])])


def name_matches(name: str | bytes, pattern: str) -> bool:
    """True if a file's name, as the catalog stores it, matches :attr:`Glob.counted`."""
    return fnmatchcase(fold_each(os.fsdecode(name)), pattern)


def folder_matches(path: str | bytes, pattern: str) -> bool:
    """True if a folder's path, as the catalog stores it, matches :attr:`Glob.folder`.

    All ways to match are followed at once, so that matching takes at most pattern length times path length.
    """
    wanted = [name for name in pattern.split("/") if name]
    if not pattern.startswith("/"):
        wanted.insert(0, "**")
    states = _open(wanted, {0})
    for name in os.fsdecode(path).replace(os.sep, "/").split("/"):
        if name:
            stay = {at for at in states if at < len(wanted) and wanted[at] == "**"}
            on = {at + 1 for at in states - stay if at < len(wanted) and _is_alike(name, wanted[at])}
            states = _open(wanted, stay | on)
    return len(wanted) in states


def _is_alike(name: str, pattern: str) -> bool:
    """Folded, or character by character (see :func:`name_matches`)."""
    if fnmatchcase(fold(name), _folded_pattern(pattern)):
        return True
    return not name.isascii() and fnmatchcase(fold_each(name), fold_each(pattern))


@lru_cache(maxsize=256)
def _folded_pattern(pattern: str) -> str:
    return _with_classes(pattern, "!", fold)


def _open(wanted: list[str], states: set[int]) -> set[int]:
    """The states, and those reachable without consuming a name: ``**`` may match no folder."""
    found: set[int] = set()
    for at in states:
        found.add(at)
        while at < len(wanted) and wanted[at] == "**":
            at += 1
            found.add(at)
    return found

"""Patterns in ``.gitignore`` syntax, matched in time proportional to pattern length times name length.

The usual translation, one regular expression with a ``[^/]*`` for each star, tries every way to distribute a name over
the stars of ``*a*a*a*a*b``: with ten stars and a name of 200 characters that does not end. Here a star takes as little
as possible and never backtracks, which finds a match whenever there is one, because what follows it has a fixed
length.

Reference: gitignore(5); brackets have the meaning of git's wildmatch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MAX_LENGTH = 1_000
"""Maximum number of characters in a pattern. A name has 255 bytes at most."""

MAX_PATTERNS = 2_000
"""Maximum number of patterns in a list: each is tried for each file."""

_DEEP = re.compile(r"\*\*+\Z")

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r"\ \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": r"\ -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\ \t\n\r\f\v",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A parsed line.

    Attributes:
        leaves_out: False for a line that begins with ``!``.
        folders_only: the line ended in a slash.
        segments: of the path, outermost first; None stands for ``**``, any number of folders.
    """

    leaves_out: bool
    folders_only: bool
    segments: tuple[re.Pattern[str] | None, ...]


class GitIgnore:
    """A list of patterns; the last one that matches decides.

    Raises:
        ValueError: an invalid pattern, one that is too long, or too many; the message says which.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        parsed = [_parse(line) for line in lines]
        self._patterns = [pattern for pattern in reversed(parsed) if pattern is not None]
        if len(self._patterns) > MAX_PATTERNS:
            raise ValueError(f"{len(self._patterns):,} patterns, the limit is {MAX_PATTERNS:,}")

    def verdict(self, parts: Sequence[str], *, is_folder: bool) -> bool | None:
        """True: excluded. False: included again by a ``!``. None: no pattern matches.

        Args:
            parts: names of folders, then the entry's own, relative to the folder that the patterns belong to.
        """
        for pattern in self._patterns:
            if (is_folder or not pattern.folders_only) and _matches(pattern.segments, parts):
                return pattern.leaves_out
        return None


def _parse(line: str) -> _Pattern | None:
    """None for an empty line or a comment."""
    if len(line) > MAX_LENGTH:
        raise ValueError(f"a pattern of {len(line):,} characters, the limit is {MAX_LENGTH:,}")
    text = _without_trailing_blanks(line)
    if not text or text.startswith("#"):
        return None
    leaves_out = not text.startswith("!")
    text = text.removeprefix("!")
    folders_only = text.endswith("/")
    anchored = "/" in text.rstrip("/")
    if not text:
        raise ValueError(f"{line!r} names nothing")
    names = text.removeprefix("/").removesuffix("/").split("/")
    if not all(names):
        return None  # names in a path are never empty
    if not anchored:
        names.insert(0, "**")
    segments = [None if _DEEP.match(name) else re.compile(_expression(name, line)) for name in names]
    # "a/**" matches everything in a, but not a itself.
    if segments[-1] is None:
        segments.append(re.compile(r"(?s:.+)\Z"))
    return _Pattern(leaves_out, folders_only, tuple(segments))


def _without_trailing_blanks(line: str) -> str:
    """Trailing blanks count only after a backslash."""
    text = line.rstrip("\r\n")
    while text.endswith(" ") and not re.search(r"(?<!\\)(?:\\\\)*\\ \Z", text):
        text = text[:-1]
    return text


def _matches(segments: Sequence[re.Pattern[str] | None], parts: Sequence[str]) -> bool:
    """Whether the segments match the whole path. ``**`` takes as few folders as possible, and more after a failure."""
    at = where = 0
    retry: tuple[int, int] | None = None  # after the last **: which segment, which part
    while where < len(parts):
        if at < len(segments):
            segment = segments[at]
            if segment is None:
                at += 1
                retry = (at, where)
                continue
            if segment.match(parts[where]):
                at += 1
                where += 1
                continue
        if retry is None:
            return False
        at, where = retry[0], retry[1] + 1
        retry = (at, where)
    return all(segment is None for segment in segments[at:])


def _expression(name: str, line: str) -> str:
    """One segment as a regular expression whose stars never backtrack."""
    chunks: list[list[str]] = [[]]
    at = 0
    while at < len(name):
        character = name[at]
        if character == "*":
            chunks.append([])
            at += 1
        elif character == "?":
            chunks[-1].append(".")
            at += 1
        elif character == "[":
            found, at = _bracket(name, at, line)
            chunks[-1].append(found)
        else:
            if character == "\\":
                at += 1
                if at == len(name):
                    raise ValueError(f"{line!r} ends in a backslash")
            chunks[-1].append(re.escape(name[at]))
            at += 1
    first, *rest = ("".join(chunk) for chunk in chunks)
    if not rest:
        return rf"(?s:{first})\Z"
    *middle, last = rest
    stars = "".join(f"(?>.*?{chunk})" for chunk in middle if chunk)
    return rf"(?s:{first}{stars}.*{last})\Z"


def _bracket(name: str, start: int, line: str) -> tuple[str, int]:
    """The bracket expression that begins at ``start`` as a regular expression, and the position of its end."""
    at = start + 1
    negated = name[at : at + 1] in ("!", "^")
    at += negated
    items: list[str] = []
    begin = at
    while True:
        if at >= len(name):
            raise ValueError(f"{line!r} has a bracket without its end")
        if name[at] == "]" and at > begin:
            break
        if name.startswith("[:", at) and (end := name.find(":]", at)) > 0:
            kind = name[at + 2 : end]
            if kind not in _CLASSES:
                raise ValueError(f"{line!r} has [:{kind}:], which is no class of characters")
            items.append(_CLASSES[kind])
            at = end + 2
            continue
        low, at = _literal(name, at)
        if name[at : at + 1] == "-" and name[at + 1 : at + 2] not in ("]", ""):
            high, at = _literal(name, at + 1)
            if high < low:
                raise ValueError(f"{line!r} has a range that runs backwards")
            items.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            items.append(re.escape(low))
    return f"[{'^' if negated else ''}{''.join(items)}]", at + 1


def _literal(name: str, at: int) -> tuple[str, int]:
    if name[at] == "\\" and at + 1 < len(name):
        at += 1
    return name[at], at + 1

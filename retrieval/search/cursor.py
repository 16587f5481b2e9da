"""Cursors: the position where a page ended, bound to the query and the state of the gallery."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from blake3 import blake3

from retrieval.errors import PageExpired, QueryError

_FORM = "p1."
_MAX_LENGTH = 512


@dataclass(frozen=True)
class Cursor:
    """The position after the last hit of a page.

    Attributes:
        offset: how many hits came before.
        last: id of the last of them.
        question: digest of everything that decides the list, see :func:`digest`.
        change: the catalog's change number at that time.
    """

    offset: int
    last: int
    question: str
    change: int

    def text(self) -> str:
        """An opaque string, safe in a URL and on a command line."""
        body = json.dumps([self.offset, self.last, self.question, self.change], separators=(",", ":"))
        return _FORM + base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def read_cursor(text: str, question: str, change: int) -> Cursor:
    """The cursor encoded in ``text``.

    Raises:
        QueryError: it is not a cursor, or belongs to another question.
        PageExpired: the gallery changed.
    """
    try:
        if not text.startswith(_FORM) or len(text) > _MAX_LENGTH:
            raise ValueError("another form")
        body = text.removeprefix(_FORM)
        offset, last, asked, then = json.loads(base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True))
        if not (isinstance(asked, str) and all(type(n) is int and n >= 0 for n in (offset, last, then))):
            raise ValueError("other values")
    except (ValueError, TypeError, RecursionError):
        raise QueryError(
            "this is not a valid cursor", "use the value of next from the previous page unchanged"
        ) from None
    if asked != question:
        raise QueryError(
            "the cursor belongs to another search", "give the same query, filters, order and model as for that page"
        )
    if then != change:
        raise PageExpired("the gallery has changed since the previous page", "start again with the first page")
    return Cursor(offset, last, asked, then)


def digest(*parts: object) -> str:
    """A short digest of values whose ``repr`` is complete."""
    return blake3("\n".join(map(repr, parts)).encode("utf-8", "surrogatepass")).hexdigest()[:16]

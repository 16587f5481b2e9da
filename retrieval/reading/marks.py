"""Positions of a query's words in a line of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from retrieval.catalog.texts import TextLine
from retrieval.errors import QueryError
from retrieval.filters.words import fold_text, parse_words

Span = tuple[float, float]
"""Start and end, as fractions of the line's length."""


def terms_of(asked: Iterable[str]) -> tuple[str, ...]:
    """The terms of several queries (see ``words.parse_words``); invalid queries have none."""
    found: list[str] = []
    for words in asked:
        try:
            found += parse_words(words)
        except QueryError:
            continue
    return tuple(dict.fromkeys(found))


def marks(line: TextLine, terms: Sequence[str]) -> list[Span]:
    """The parts of a line that match terms; if a phrase does not occur as a whole, the matches of each of its words."""
    folded, owners = _folded(line.text)
    found: set[Span] = set()
    for term in terms:
        places = list(_places(folded, term)) or [
            place for word in term.split() if len(word) > 1 for place in _places(folded, word)
        ]
        found.update(_span(line, owners[first], owners[last]) for first, last in places)
    return sorted(found)


def _folded(text: str) -> tuple[str, list[int]]:
    """The folded text, and for each of its characters the index of its source character in ``text``.

    Spaces get any index: no term begins or ends with one.
    """
    folded = fold_text(text)
    known = [(sign, n) for n, character in enumerate(text) for sign in fold_text(character) if sign != " "]
    if "".join(sign for sign, _ in known) != folded.replace(" ", ""):
        # Characters with separate combining accents: interpolate the indices.
        return folded, [round(n * (len(text) - 1) / max(len(folded) - 1, 1)) for n in range(len(folded))]
    owners = iter(known)
    return folded, [0 if sign == " " else next(owners)[1] for sign in folded]


def _places(folded: str, term: str) -> Iterable[tuple[int, int]]:
    """First and last character of each occurrence."""
    at = folded.find(term)
    while at >= 0:
        yield at, at + len(term) - 1
        at = folded.find(term, at + len(term))


def _span(line: TextLine, first: int, last: int) -> Span:
    count = len(line.text)
    ends = line.ends if len(line.ends) == count else tuple((n + 1) / count for n in range(count))
    return (ends[first - 1] if first else 0.0, ends[last])

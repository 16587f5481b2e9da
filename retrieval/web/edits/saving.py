"""A search of the page or of the API as an album: what is kept of it, as the query language says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrieval.errors import QueryError
from retrieval.filters.conditions import fields
from retrieval.search.language import QuerySyntaxError, parse_question
from retrieval.search.saved_search import SavedSearch
from retrieval.web.search.question import question_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.search.query import Term
    from retrieval.web.search.models import SearchBody

_DATES = ("date", "moment")

BEST = 500
"""How many pictures an album of a search with pictures holds: each picture of a gallery has a score for it."""


def saved_search_of(asked: SearchBody) -> SavedSearch:
    """What an album keeps of a search: its words, its pictures of the gallery and its conditions, not its order.

    Raises:
        QueryError: it looks for nothing, or for what cannot be kept: an uploaded picture, likes and dislikes.
    """
    question = question_of(asked, asked, asked.terms)
    if question.uploads:
        raise QueryError(
            "a saved search cannot hold a picture that is not in the gallery", "index the picture, or remove it"
        )
    if question.more or question.less:
        raise QueryError("a saved search cannot hold likes and dislikes", "remove them from the search")
    if question.fields.only is not None:
        raise QueryError("a saved search looks at everything that is known of pictures", "leave only out")
    dates = {name: getattr(question.fields, name) for name, condition in fields() if condition.kind in _DATES}
    has_pictures = bool(question.terms) and not question.is_words_only
    return SavedSearch.of(
        _query(question.terms),
        question.fields.where(),
        dates,
        limit=BEST if has_pictures and question.fields.min_score is None else None,
        min_score=question.fields.min_score,
        relevant=question.fields.relevant,
    )


def _query(terms: Sequence[Term]) -> str:
    """The terms in the query language; quotes only where a text would otherwise be read as something else."""
    said = ""
    for term in terms:
        weight = f"{abs(term.weight):g}:" if abs(term.weight) != 1 else ""
        value = _text(str(term.value)) if term.kind == "text" else f"img:id:{term.value}"
        sign = "- " if term.weight < 0 else "+ " if said else ""
        said += (" " if said else "") + sign + weight + value
    return said


def _text(words: str) -> str:
    try:
        read = parse_question(words)
    except QuerySyntaxError:
        return f'"{words}"'
    is_itself = not read.conditions and [(each.kind, each.value, each.weight) for each in read.terms] == [
        ("text", words, 1.0)
    ]
    return words if is_itself else f'"{words}"'

"""Parse a search request: terms, judged pictures, a filter, an order; and compute its query vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from indexes.base import Vectors
from retrieval.errors import QueryError
from retrieval.search.feedback import judged
from retrieval.search.language import Asked, parse_question
from retrieval.search.query import Term, combine, parse_term

if TYPE_CHECKING:
    from retrieval.search.engine import QueryEngine
    from retrieval.web.search.models import ListFields, QuestionFields, TermBody

_UPLOAD = "u1."
_ONLY_AVOIDS = ("the query only excludes things", "add a word or a picture to look for")


class Uploaded(NamedTuple):
    """A picture that is not in the gallery, as a part of a query.

    Attributes:
        id: opaque.
        weight: how much it counts.
    """

    id: str
    weight: float = 1.0


@dataclass(frozen=True)
class Question:
    """The request for a list.

    Attributes:
        terms: words, and pictures of the gallery.
        uploads: other pictures.
        more, less: liked and disliked pictures of the gallery.
        left_out: pictures that are not listed: the disliked ones, and those that the others should be similar to.
        fields: filter and order as given.
    """

    terms: tuple[Term, ...]
    uploads: tuple[Uploaded, ...]
    more: tuple[int, ...]
    less: tuple[int, ...]
    left_out: tuple[int, ...]
    fields: ListFields

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        if self.is_by_words:
            return []
        return [str(term.value) for term in self.terms if term.kind == "text"]

    @property
    def is_browsing(self) -> bool:
        """True if there is no query."""
        return not (self.terms or self.uploads or self.more)

    @property
    def is_by_words(self) -> bool:
        """True if the content of pictures does not count."""
        return self.fields.only in ("text", "names")

    @property
    def is_words_only(self) -> bool:
        """True for a search by words, which can be judged for relevance."""
        pictures = self.uploads or self.more or self.less or self.is_by_words
        return bool(self.terms) and not pictures and all(term.kind == "text" for term in self.terms)


def question_of(
    asked: QuestionFields, fields: ListFields, terms: Sequence[TermBody] = (), uploaded: str | None = None
) -> Question:
    """The question of a request.

    Args:
        asked, fields: of the request.
        terms: parts of the query with their weights.
        uploaded: the id of the picture that came with the request.

    Raises:
        QueryError: an unreadable query, one with negative terms only, or one that names a file or an address.
    """
    questions = [parse_question(text, allow_urls=True) for text in asked.q if text.strip()]
    found = [term for question in questions for term in question.terms]
    if any(term.kind in ("image", "url") for term in found):
        raise QueryError("queries over HTTP cannot contain files or addresses", "upload the picture, or use img:id:7")
    found += [parse_term("text", text, sign=-1) for text in asked.without if text.strip()]
    pictures = [*asked.like, *([uploaded] if uploaded else [])]
    parts = [*found, *(_picture(value, 1.0) for value in pictures)]
    parts += [_given(term) for term in terms]
    kept = tuple(part for part in parts if isinstance(part, Term))
    uploads = tuple(part for part in parts if isinstance(part, Uploaded))
    more, less = tuple(dict.fromkeys(asked.more)), tuple(dict.fromkeys(asked.less))
    if both := set(more) & set(less):
        raise QueryError(f"picture {min(both)} is both in more and in less", "remove it from one of them")
    if not more and (less or parts) and not any(part.weight > 0 for part in parts):
        raise QueryError(*_ONLY_AVOIDS)
    alone = len(parts) == len(asked.like) and all(part.kind == "id" for part in kept)
    like = [int(str(part.value)) for part in kept] if alone else []
    fields = _narrowed(fields, questions)
    if fields.only in ("text", "names"):
        if uploads or more or less or not any(term.kind == "text" and term.weight > 0 for term in kept):
            raise QueryError(f"{fields.only} can be searched by words only", "give words, or leave only out")
        if fields.min_score is not None or fields.relevant:
            raise QueryError(f"with {fields.only} only nothing is judged", "omit min_score and relevant")
    return Question(kept, uploads, more, less, tuple(dict.fromkeys((*less, *like))), fields)


def _narrowed(fields: ListFields, questions: Sequence[Asked]) -> ListFields:
    """The fields, combined with the conditions in a query."""
    added: dict[str, list[str]] = {}
    for question in questions:
        own = question.where(None)
        for name, values in [] if own is None else own.asked():
            added[name] = [*added.get(name, getattr(fields, name)), *map(str, values)]
    return fields.model_copy(update=added) if added else fields


def direction_of(engine: QueryEngine, question: Question, uploads: Mapping[str, Vectors]) -> Vectors | None:
    """(1, dim) unit vector of a question; None if there is no query. On the engine thread.

    The query vector is moved towards the liked pictures and away from the others by Rocchio's formula.

    Args:
        uploads: id -> (dim,) unit vector.

    Raises:
        QueryError: the vectors cancel out.
        UnknownImage: a picture that is not in the gallery.
        TextNotSupported: words for an image-only encoder.
    """
    if question.is_browsing or question.is_by_words:
        return None
    asked = _asked(engine, question, uploads) if question.terms or question.uploads else None
    return judged(engine, asked, question.more, question.less)


def _asked(engine: QueryEngine, question: Question, uploads: Mapping[str, Vectors]) -> Vectors:
    texts = engine.embedded(question.texts) if question.texts else {}
    rows, weights = [], []
    for term in question.terms:
        value = str(term.value)
        rows.append(texts[value].vector if term.kind == "text" else engine.stored([int(value)])[0])
        weights.append(term.weight)
    for upload in question.uploads:
        rows.append(uploads[upload.id])
        weights.append(upload.weight)
    return combine(np.stack(rows), weights)


def _given(term: TermBody) -> Term | Uploaded:
    if term.kind == "text":
        return Term("text", term.value, term.weight)
    return _picture(term.value, term.weight)


def _picture(value: str, weight: float) -> Term | Uploaded:
    if value.startswith(_UPLOAD):
        return Uploaded(value, weight)
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise QueryError(f"{value[:40]!r} is not the id of a picture", "use the id of a hit")
    return Term("id", int(value), weight)

"""Parse a search request: terms, judged pictures, a filter, an order; and compute its query vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from indexes.base import Vectors
from retrieval.errors import QueryError
from retrieval.search.feedback import Rocchio, rocchio
from retrieval.search.language import parse_query
from retrieval.search.query import Query, Term, combine, parse_term

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
    """Which list is asked for.

    Attributes:
        terms: words, and pictures of the gallery.
        uploads: other pictures.
        more, less: pictures of the gallery that were judged.
        left_out: pictures that are not listed: the less liked ones, and those that others are to be similar to.
        fields: filter and order as they were given.
    """

    terms: tuple[Term, ...]
    uploads: tuple[Uploaded, ...]
    more: tuple[int, ...]
    less: tuple[int, ...]
    left_out: tuple[int, ...]
    fields: ListFields

    @property
    def texts(self) -> list[str]:
        """What has to be embedded."""
        return [str(term.value) for term in self.terms if term.kind == "text"]

    @property
    def is_browsing(self) -> bool:
        """Nothing is looked for."""
        return not (self.terms or self.uploads or self.more)

    @property
    def is_words_only(self) -> bool:
        """A search by words, which can be judged for relevance."""
        pictures = self.uploads or self.more or self.less
        return bool(self.terms) and not pictures and all(term.kind == "text" for term in self.terms)


def question_of(
    asked: QuestionFields, fields: ListFields, terms: Sequence[TermBody] = (), uploaded: str | None = None
) -> Question:
    """What a request asks for.

    Args:
        asked, fields: of the request.
        terms: parts of the query with their weights.
        uploaded: the id of the picture that came with the request.

    Raises:
        QueryError: an unreadable query, one that only says what to avoid, or one that names a file or an address.
    """
    found = [term for text in asked.q if text.strip() for term in parse_query(text, allow_urls=True)]
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
    return Question(kept, uploads, more, less, tuple(dict.fromkeys((*less, *like))), fields)


def direction_of(engine: QueryEngine, question: Question, uploads: Mapping[str, Vectors]) -> Vectors | None:
    """(1, dim) unit vector that a question means; None if nothing is looked for. On the engine thread.

    What was asked is moved towards the liked pictures and away from the others by Rocchio's formula.

    Args:
        uploads: id -> (dim,) unit vector.

    Raises:
        QueryError: it cancels out.
        UnknownImage: a picture that the gallery does not hold.
        TextNotSupported: words for an image-only encoder.
    """
    if question.is_browsing:
        return None
    more, less = _stored(engine, question.more), _stored(engine, question.less)
    if not question.terms and not question.uploads:
        assert more is not None
        return rocchio(more[:1], more, less, Rocchio(query=0.0))
    base = _asked(engine, question, uploads)
    return base if more is None and less is None else rocchio(base, more, less)


def words_of(question: Question) -> Query:
    """The words of a question, for what is judged against them."""
    return Query(question.terms)


def _asked(engine: QueryEngine, question: Question, uploads: Mapping[str, Vectors]) -> Vectors:
    texts = engine.embedded(question.texts) if question.texts else {}
    rows, weights = [], []
    for term in question.terms:
        is_text = term.kind == "text"
        rows.append(texts[str(term.value)].vector if is_text else _one(engine, int(str(term.value))))
        weights.append(term.weight)
    for upload in question.uploads:
        rows.append(uploads[upload.id])
        weights.append(upload.weight)
    return combine(np.stack(rows), weights)


def _stored(engine: QueryEngine, ids: Sequence[int]) -> Vectors | None:
    return np.stack([_one(engine, image_id) for image_id in ids]) if ids else None


def _one(engine: QueryEngine, image_id: int) -> Vectors:
    """(dim,) the embedding of a picture of the gallery."""
    vector: Vectors = engine.direction(Query((Term("id", image_id),)))[0]
    return vector


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

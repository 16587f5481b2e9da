"""Queries: weighted terms, a filter, the number of hits; and how terms are combined into one vector."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from indexes.base import Vectors
from retrieval.errors import QueryError
from retrieval.paths import is_remote, parse_picture

if TYPE_CHECKING:
    from retrieval.filters import Filter

TermKind = Literal["text", "image", "id", "url"]
Only = Literal["visual", "text", "names"]
"""A part of the knowledge about pictures: what they show, what can be read in them, what they are called."""

ONLY: tuple[Only, ...] = get_args(Only)

EMPTY_QUERY = ("the query is empty", 'say what to look for: photoseek search "a red bird"')
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Term:
    """One part of a query.

    Args:
        kind: ``text``; ``image`` for a file; ``id`` for an image of the gallery; ``url`` for one on the network, which
            is fetched (see :mod:`retrieval.pictures.web_picture`).
        value: the words, the path, the id, or the address.
        weight: how much it counts; negative: away from it.
    """

    kind: TermKind
    value: str | Path | int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.weight) or self.weight == 0:
            raise QueryError(f"a weight of {self.weight} has no effect", "use a number above or below zero")
        if self.kind == "text" and not str(self.value).strip():
            raise QueryError(*EMPTY_QUERY)


@dataclass(frozen=True)
class Query:
    """A search.

    Args:
        terms: at least one, at least one of them with a positive weight.
        where: only images that pass this filter are ranked.
        k: the maximum number of hits.
        min_score: leave out hits below this cosine similarity.
        only: one part of the knowledge about pictures: ``visual``, what they show; ``text``, what can be read in them;
            ``names``, what they are called (:mod:`retrieval.search.lexical`). None: all, fused.
    """

    terms: tuple[Term, ...]
    where: Filter | None = None
    k: int = 10
    min_score: float | None = None
    only: Only | None = None

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError(*EMPTY_QUERY)
        if all(term.weight < 0 for term in self.terms):
            raise QueryError("the query only excludes things", "add a word or a picture to look for")
        if self.k < 1:
            raise QueryError(f"cannot return {self.k} hits", "ask for 1 or more")
        if self.only not in (None, *ONLY):
            raise QueryError(f"cannot search by {self.only!r} only", f"use one of {', '.join(ONLY)}")
        if self.is_by_words:
            if self.min_score is not None:
                raise QueryError(f"with {self.only} only there are no scores", "omit the lowest score")
            if not any(term.kind == "text" and term.weight > 0 for term in self.terms):
                raise QueryError(f"{self.only} cannot be searched by pictures", "add words to look for")

    @property
    def is_by_words(self) -> bool:
        """True if the content of pictures does not count: no model is needed."""
        return self.only in ("text", "names")

    @staticmethod
    def text(*texts: str, k: int = 10, where: Filter | None = None) -> Query:
        """A query of words only, all of weight 1."""
        return Query(tuple(Term("text", text) for text in texts), where=where, k=k)


def combine(vectors: Vectors, weights: Sequence[float]) -> Vectors:
    """q = normalize(sum of w_i e_i): (n, dim) unit vectors and n weights -> (1, dim) unit vector.

    The result is again of length 1, so that a score stays a cosine similarity, comparable between queries.

    Raises:
        QueryError: the terms cancel out.
    """
    relative = np.asarray(weights, dtype=np.float64) / np.abs(weights).max()  # large weights would overflow
    total = relative @ vectors.astype(np.float64)
    norm = float(np.linalg.norm(total))
    # Unit vectors in float32 are only known to 1e-7 or so: below that, the direction is rounding noise.
    if norm < 1e-6 * float(np.abs(relative).sum()):
        raise QueryError("the terms of the query cancel each other out", "change a weight, or remove a term")
    return np.ascontiguousarray((total / norm)[None, :], dtype=np.float32)


_WEIGHTED = re.compile(r"(\d+(?:\.\d+)?):(.+)", re.DOTALL)


def parse_term(kind: TermKind, text: str, *, sign: float = 1.0, allow_urls: bool = False) -> Term:
    """One term as people write it after a flag: ``beach``, or ``2:beach`` for one that counts twice.

    To search for words that begin like a weight, give the weight: ``1:9:30 train``.
    """
    match = _WEIGHTED.fullmatch(text)
    weight, value = (float(match[1]), match[2]) if match else (1.0, text)
    if kind == "image":
        return picture_term(value, sign * weight, allow_urls=allow_urls)
    return Term(kind, value, sign * weight)


def picture_term(text: str, weight: float = 1.0, *, allow_urls: bool = False) -> Term:
    """A term for a picture as people write it: a path, ``id:12`` for an image of the gallery, or a URL.

    Raises:
        QueryError: a URL, and ``allow_urls`` is false.
    """
    if is_remote(text):  # with the keys of whoever asks: a file, as those in their folders are
        from retrieval.sources.addresses import spelled

        return Term("image", Path(spelled(text)), weight)
    if _SCHEME.match(text):
        if not allow_urls:
            raise QueryError(
                f"{text:.200} is a network address, and downloads are not allowed",
                "allow them with --allow-url, or download the picture and give the file",
            )
        return Term("url", text, weight)
    picture = parse_picture(text)
    return Term("id" if isinstance(picture, int) else "image", picture, weight)

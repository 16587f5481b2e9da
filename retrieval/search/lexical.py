"""The matches of a question's words in names, tags, captions, places and text: one ranked list for each source.

The lists are fused with the one of the embeddings by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009,
doi:10.1145/1571941.1572114): a picture's score is the sum over the lists of 1 / (60 + rank). Pictures that a source
ranks equally (a folder of 5,000 has one name) share the mean of their ranks, so a source that matches many pictures
contributes little to each.

Some of the words are weaker evidence than all: a picture's sum is multiplied by the square of the share of the
question's words that its sources contain together. Pictures whose sum is then below that of the last rank counted by
cosine (:data:`DEPTH`) are not matches: a third of the words, a name that hundreds of pictures share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.access import Rows
from retrieval.catalog.lexicon import Kind, documents_with, pictures_of
from retrieval.catalog.texts import images_with_text, images_with_word
from retrieval.errors import GalleryError
from retrieval.filters.words import TRIGRAM
from retrieval.lexemes import Word, is_spaceless, match, question_words, written_word

if TYPE_CHECKING:
    from indexes.base import Ids
    from retrieval.search.query import Only, Term

logger = logging.getLogger("photoseek")

RRF_K = 60
"""The constant of reciprocal rank fusion, as its authors chose it."""

DEPTH = 256
"""Ranks that count, by cosine and in each source."""


class Found(NamedTuple):
    """A picture in which a source contains a word.

    Attributes:
        source: a name of :data:`SOURCES`.
        image_id: of a present picture.
        score: quality of the match, above zero; comparable within one source and word.
    """

    source: str
    image_id: int
    score: float


SOURCES: dict[str, Only] = {
    "name": "names", "tag": "names", "caption": "names", "place": "names", "text": "text",
}  # fmt: skip
"""Source -> the part of the knowledge about pictures it belongs to."""

_SOURCE_OF: dict[Kind, str] = {
    "name": "name", "folder": "name", "tag": "tag", "caption": "caption", "place": "place",
}  # fmt: skip


def _in_names(rows: Rows, word: Word) -> Iterator[Found]:
    """Matches in the index of words: names of files and folders, tags, captions, places."""
    scores: dict[Kind, dict[int | str, float]] = {}
    for document in documents_with(rows, match(word)):
        scores.setdefault(document.kind, {})[document.ref] = document.score
    for kind, of in scores.items():
        for ref, image_id in pictures_of(rows, kind, list(of)):
            yield Found(_SOURCE_OF[kind], image_id, of[ref])


def _in_text(rows: Rows, word: Word) -> Iterator[Found]:
    """Matches in the text read in pictures. Words of two letters are skipped: too many other words contain them."""
    written = written_word(word)
    if is_spaceless(word):
        found = images_with_text(rows, written)
    else:
        found = images_with_word(rows, written) if len(written) >= TRIGRAM else []
    for image_id, score in found:
        yield Found("text", image_id, score)


LISTERS: tuple[Callable[[Rows, Word], Iterable[Found]], ...] = (_in_names, _in_text)
"""Functions that list the pictures with a word, each for one or several sources. Before they are called,
``catalog/known_words.py`` is asked whether any picture can have the word."""


@dataclass(frozen=True)
class Matches:
    """The matches of a question's words.

    Attributes:
        words: of the question, in the form in which they are compared; ``shown`` as they are written.
        found: source -> image id -> the words it contains, as bits in the order of ``words``, and the score.
        gains: image id -> the total score of its ranks in the sources.
        complete: the images in which all words are found, possibly in several sources.
    """

    words: tuple[Word, ...]
    found: Mapping[str, Mapping[int, tuple[int, float]]]
    gains: Mapping[int, float] = field(repr=False)
    complete: frozenset[int] = field(repr=False)

    def why(self, image_id: int) -> dict[str, tuple[str, ...]]:
        """Source -> the words that it contains for an image; empty if there are none."""
        told = {}
        for source, images in self.found.items():
            if image_id in images and image_id in self.gains:
                bits = images[image_id][0]
                told[source] = tuple(written_word(word) for n, word in enumerate(self.words) if bits >> n & 1)
        return told

    @cached_property
    def ranked(self) -> Ids:
        """(n,) ids of the matches, best first, ties by id."""
        ids = np.fromiter(self.gains, np.int64, len(self.gains))
        gains = np.fromiter(self.gains.values(), np.float64, len(self.gains))
        return ids[np.lexsort((ids, -gains))]

    def kept(self, ids: Ids) -> NDArray[np.bool_]:
        """(n,) whether all words are found in each of ``ids``."""
        return np.fromiter((image_id in self.complete for image_id in ids.tolist()), np.bool_, len(ids))


NOTHING = Matches((), {}, {}, frozenset())
"""The result if nothing matches."""


def lexical_matches(
    rows: Rows, terms: Sequence[Term], allowed: Ids | None = None, only: Only | None = None
) -> Matches | None:
    """The matches of a query's words.

    Args:
        terms: image terms are ignored. Pictures with all the words of a negative term are left out.
        allowed: (n,) ids that pass the filter; ranks are counted among them. None: every picture.
        only: the sources to search; then every picture they match is kept, whatever its score; None: all sources.

    Returns:
        None if nothing matches; finding that out costs one index look-up for each word.
    """
    texts = [str(term.value) for term in terms if term.kind == "text" and term.weight > 0]
    words = tuple(dict.fromkeys(word for text in texts for word in question_words(text)))
    found = _looked_up(rows, words, only)
    if not found:
        return None
    refused = {
        image_id
        for term in terms
        if term.kind == "text" and term.weight < 0
        for image_id in _having_all(rows, tuple(question_words(str(term.value))))
    }
    if allowed is not None or refused:
        found = {source: _passing(images, allowed, refused) for source, images in found.items()}
        found = {source: images for source, images in found.items() if images}
    return _ranked(words, found, 0.0 if only else 1 / (RRF_K + DEPTH)) if found else None


def matches_or_warning(
    rows: Rows, terms: Sequence[Term], allowed: Ids | None = None, only: Only | None = None
) -> Matches | None:
    """The same; if the index of words is damaged, warns and returns no matches."""
    try:
        return lexical_matches(rows, terms, allowed, only)
    except GalleryError as error:
        logger.warning(
            "names and captions cannot be searched (%s); make their index anew: photoseek index --verify-content",
            error.message,
        )
        return None


def _looked_up(rows: Rows, words: Sequence[Word], only: Only | None) -> dict[str, dict[int, tuple[int, float]]]:
    found: dict[str, dict[int, tuple[int, float]]] = {}
    for n, word in enumerate(words):
        for lister in LISTERS:
            for source, image_id, score in lister(rows, word):
                if only is not None and SOURCES[source] != only:
                    continue
                images = found.setdefault(source, {})
                bits, before = images.get(image_id, (0, 0.0))
                images[image_id] = bits | 1 << n, before + score
    return found


def _having_all(rows: Rows, words: tuple[Word, ...]) -> set[int]:
    every: dict[int, int] = {}
    for images in _looked_up(rows, words, None).values():
        for image_id, (bits, _) in images.items():
            every[image_id] = every.get(image_id, 0) | bits
    return {image_id for image_id, bits in every.items() if bits == (1 << len(words)) - 1}


def _passing(
    images: Mapping[int, tuple[int, float]], allowed: Ids | None, refused: set[int]
) -> dict[int, tuple[int, float]]:
    ids = np.fromiter(images, np.int64, len(images))
    kept = ids if allowed is None else ids[np.isin(ids, allowed)]
    return {image_id: images[image_id] for image_id in kept.tolist() if image_id not in refused}


def _ranked(
    words: tuple[Word, ...], found: Mapping[str, Mapping[int, tuple[int, float]]], lowest: float
) -> Matches | None:
    every: dict[int, int] = {}
    gains: dict[int, float] = {}
    for images in found.values():
        for image_id, (bits, _) in images.items():
            every[image_id] = every.get(image_id, 0) | bits
        for image_id, gain in reciprocal_ranks({image_id: score for image_id, (_, score) in images.items()}).items():
            gains[image_id] = gains.get(image_id, 0.0) + gain
    whole = (1 << len(words)) - 1
    shares = {bits: (bits.bit_count() / len(words)) ** 2 for bits in set(every.values())}
    worth = {image_id: gain * shares[every[image_id]] for image_id, gain in gains.items()}
    worth = {image_id: gain for image_id, gain in worth.items() if gain >= lowest}
    complete = frozenset(image_id for image_id in worth if every[image_id] == whole)
    return Matches(words, found, worth, complete) if worth else None


def reciprocal_ranks(scores: Mapping[int, float]) -> dict[int, float]:
    """Id -> 1 / (60 + rank) by descending score; equal scores share the mean of their ranks."""
    alike: dict[float, list[int]] = {}
    for image_id, score in scores.items():
        alike.setdefault(round(score, 9), []).append(image_id)
    gains: dict[int, float] = {}
    rank = 0
    for score in sorted(alike, reverse=True):
        ids = alike[score]
        gains.update(dict.fromkeys(ids, 1.0 / (RRF_K + rank + (1 + len(ids)) / 2)))
        rank += len(ids)
    return gains

"""Whether any word of a query is in the index of words or in the text in pictures.

Separate from ``lexicon.py``, ``texts.py`` and the ranking of their results, which a search imports only if there is
something to rank: importing these takes thirty times as long as this look-up.
"""

from __future__ import annotations

from collections.abc import Iterable

from retrieval.catalog.access import Rows
from retrieval.errors import GalleryError
from retrieval.lexemes import is_spaceless, match, question_words, written_word

_TRIGRAM = 3  # see ``filters.words``


def is_any_known(rows: Rows, texts: Iterable[str]) -> bool:
    """False if no source can have a word of these texts, so that no other query is needed.

    Args:
        texts: the words searched for.

    Returns:
        True also if an index is damaged: the later search reports it.
    """
    try:
        return _is_any_known(rows, texts)
    except GalleryError:
        return True


def _is_any_known(rows: Rows, texts: Iterable[str]) -> bool:
    words = list(dict.fromkeys(word for text in texts for word in question_words(text)))
    if not words:
        return False
    asked = {"match": " OR ".join(map(match, words))}
    if rows.rows("SELECT 1 FROM lexical_index WHERE lexical_index MATCH :match LIMIT 1", asked):
        return True
    if not rows.rows("SELECT 1 FROM picture_texts LIMIT 1"):
        return False
    long = [written for word in words if len(written := written_word(word)) >= _TRIGRAM]
    if any(is_spaceless(word) and len(written_word(word)) < _TRIGRAM for word in words):
        return True  # too short for that index: searched for in the texts themselves
    asked = {"match": " OR ".join(f'"{word}"' for word in long)}
    return bool(long) and bool(rows.rows("SELECT 1 FROM text_index WHERE text_index MATCH :match LIMIT 1", asked))

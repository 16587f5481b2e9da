"""Queries for the text in pictures: words and phrases, as people write them and as they are compared.

Recognised text has uncertain punctuation, and uncertain spaces in scripts that use none, so neither is compared: both
sides are normalised by :func:`fold_text`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from retrieval.errors import QueryError
from retrieval.folding import fold

TRIGRAM = 3
"""Characters: the index has no shorter parts of a text (https://www.sqlite.org/fts5.html, trigram tokenizer)."""

_MOST_TERMS = 32
_SPACELESS = r"[\u1100-\u11ff\u2e80-\u30ff\u3130-\u318f\u31c0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
"""Han, kana and their signs: between two of these a space or a line break has no meaning."""

_BETWEEN = re.compile(rf"(?<={_SPACELESS}) (?={_SPACELESS})")
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂「」『』", '"'))
_PART = re.compile(r'"([^"]*)"?|([^\s"]+)')


def fold_text(text: str) -> str:
    """Text for comparison: folded, punctuation and line breaks as spaces, single spaces.

    Full-width forms become the usual ones (NFKC), since both look alike in a picture.
    """
    folded = fold(unicodedata.normalize("NFKC", text))
    if not folded.isascii():
        kept = ("".join(c if unicodedata.category(c)[0] in "LNMS" else " " for c in folded)).split()
        return _BETWEEN.sub("", " ".join(kept))
    return " ".join(_ASCII_PUNCTUATION.sub(" ", folded).split())


_ASCII_PUNCTUATION = re.compile(r"[^a-z0-9$+<=>^`|~]")  # symbols (category S) stay, as above


@lru_cache(maxsize=64)
def parse_words(asked: str) -> tuple[str, ...]:
    """The terms of a query, each after :func:`fold_text`: a quoted phrase such as ``"total sum"`` or a word is one.

    A text matches the query if it contains every term, anywhere, also inside words.

    Raises:
        QueryError: it contains no letter, digit or symbol, or too many terms.
    """
    parts = (phrase or word for phrase, word in _PART.findall(asked.translate(_QUOTES)))
    terms = tuple(dict.fromkeys(term for part in parts if (term := fold_text(part))))
    if not terms:
        raise QueryError(f"there is no word in {asked[:60]!r}", "write words that stand in the picture")
    if len(terms) > _MOST_TERMS:
        raise QueryError(f"a text of more than {_MOST_TERMS} words", 'leave some out, or write a phrase in "quotes"')
    return terms


def match_of(terms: tuple[str, ...], *, every: bool = True) -> str | None:
    """The query to the trigram index for the terms that it supports; None if all are too short.

    Args:
        every: all of them, or any.
    """
    known = [f'"{term.replace(chr(34), chr(34) * 2)}"' for term in terms if len(term) >= TRIGRAM]
    return (" AND " if every else " OR ").join(known) or None

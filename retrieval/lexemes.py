"""Words of names, captions and questions, in the form in which they are compared.

A text becomes *lexemes*: words of letters and numbers, folded (:mod:`retrieval.folding`), without accents, and without
an English plural's ``s`` (Harman 1991, "How effective is suffixing?", the S stemmer). ``BakeryReceipt2.jpg`` is also
*bakery* and *receipt*. Text in scripts written without spaces becomes pairs of neighbouring characters, so that
a word is found, as a phrase of its pairs, at any position.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from retrieval.folding import fold

SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana and Han."""

_ASCII = r"()([a-z]+|[0-9]+)"
_HUMP = r"(?<=[a-z])(?=[A-Z])"
_MOST_WORDS = 12  # of a question; further words are ignored

_STOP_WORDS = """
    a an and are as at be been being but by can do does for from had has have he her his how i in into is it its me my
    near no not of off on one or our over she show some that the their them there these they this those to two under
    up us was we were what when where which who whose why will with without you your

    am auf aus bei beim das dem den der des die ein eine einem einen einer fur im ist mit nach und unter vom von zu zum
    zur au aux avec chez dans de del du en est et la le les ou par pour sur un une al con el las los para por se sin su
    una y che da dei della di e gli il nel per sul ao com do dos na nas nos o os uma een het op te van voor met

    bild bilder foto fotos image images img jpeg jpg photo photograph photos pic picture pictures png
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that say nothing about a picture, in English; German, French, Spanish, Italian, Portuguese and Dutch; and words
that describe every picture. Folded, with their plurals."""


def lexemes(text: str) -> list[str]:
    """The lexemes of a text to be searched, in its order; a word with a capital inside is also split into its parts."""
    found: list[str] = []
    parts = re.split(_HUMP, text)
    for each in (text,) if len(parts) == 1 else (text, " ".join(parts)):
        for spaceless, word in _parts(plain(each)):
            found += [*_pairs(spaceless), spaceless[-1]] if spaceless else [_singular(word)]
    return found


def name_lexemes(name: str) -> list[str]:
    """The same for a file's name, without its extension."""
    stem, dot, extension = name.rpartition(".")
    return lexemes(stem if dot and stem and len(extension) <= 5 else name)


Word = tuple[str, ...]
"""A word of a question: consecutive lexemes."""


def question_words(text: str) -> list[Word]:
    """The words of a question that names or captions can contain: each as a phrase of its lexemes, in order.

    Stop words, single letters and single digits are left out; a word counts once. ``rock'n'roll`` and words of scripts
    without spaces have several lexemes, which have to be consecutive.
    """
    words: dict[Word, None] = {}
    for spaceless, word in _parts(plain(text)):
        if spaceless:
            words[tuple(_pairs(spaceless)) or (spaceless,)] = None
        elif len(word) > 1 and word not in STOP_WORDS:
            words[(_singular(word),)] = None
    return list(words)[:_MOST_WORDS]


def phrase(text: str) -> str:
    """An FTS5 query for a text as a phrase, in an index of lexemes; empty if the text has no words."""
    found: list[str] = []
    for spaceless, word in _parts(plain(text)):
        found += (_pairs(spaceless) or [spaceless]) if spaceless else [_singular(word)]
    return match(found)


def match(word: Word | list[str]) -> str:
    """An FTS5 query for a word of :func:`question_words`, in an index of lexemes.

    A single character of a script without spaces matches the beginning of a pair.
    """
    if not word:
        return ""
    is_one = len(word) == 1 and len(word[0]) == 1 and is_spaceless(word)
    return f'"{" ".join(word)}"{"*" if is_one else ""}'


def beginning(text: str) -> str:
    """An FTS5 query for a text whose last word is not typed to its end; empty if the text has no words."""
    found = phrase(text)
    return found if not found or found.endswith("*") else f"{found}*"


def is_spaceless(word: Word | list[str]) -> bool:
    """Whether a word is of a script without spaces: one character, or pairs of them."""
    return bool(_parts(word[0])[0][0])


def written_word(word: Word) -> str:
    """A word as people write it; the overlap of character pairs is removed."""
    return word[0] + "".join(pair[-1] for pair in word[1:])


def plain(text: str) -> str:
    """Folded, full-width forms replaced (NFKC), without accents; composed letters (Hangul) stay composed."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", fold(text))
    return unicodedata.normalize("NFC", "".join(each for each in apart if not unicodedata.combining(each)))


def _parts(text: str) -> list[tuple[str, str]]:
    """(run of a script without spaces, word), one of them empty, for each part of a text from :func:`plain`."""
    if not text.isascii():
        return _any_script().findall(text)
    words = text.split()
    if all(map(str.isalpha, words)):  # true for most questions: no pattern need be compiled for them
        return [("", word) for word in words]
    return re.findall(_ASCII, text)


@cache
def _any_script() -> re.Pattern[str]:
    """Cached: compiling it takes longer than looking up English words."""
    return re.compile(rf"([{SPACELESS}]+)|([^\W\d_{SPACELESS}]+|\d+)")


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]


def _singular(word: str) -> str:
    """Harman's S stemmer: -ies, -es, -s, with their exceptions; the first matching rule decides."""
    if len(word) < 4 or not word.endswith("s") or not word.isascii():
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "sses", "xes")):  # not in Harman's: "box" and "boxes" are one word here
        return word[:-2]
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]

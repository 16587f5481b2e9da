"""Folding of names: names that differ only in case or Unicode composition are equal.

Everything that compares names as people do (file names and folders in patterns, cameras, lenses, tags, sidecars,
sorting by name) compares the results of :func:`fold`. The catalog stores them next to the names, because SQLite folds
ASCII letters only.
"""

from __future__ import annotations

import unicodedata

_DOTTED_I = "i\u0307"


def fold(text: str) -> str:
    """Full case folding in NFC: "STRASSE" and "straße", "Фото" and "фото", "é" as one or two code points are equal.

    Folding twice has no further effect. Bytes that are not text (surrogate escapes) are unchanged.

    Reference: The Unicode Standard, 3.13, D145 (canonical caseless matching), in NFC. One addition: the dot that
    folding leaves after the i of a Turkish capital İ is removed, so that "istanbul" finds "İstanbul".
    """
    if text.isascii():
        return text.lower()
    # Composed again afterwards: a combining iota (U+0345) folds to a letter and must be in its final place before.
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFC", folded.replace(_DOTTED_I, "i").casefold())


def fold_each(text: str) -> str:
    """Like :func:`fold`, but one character per character of the NFC text ("ß" stays), for patterns that count them."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(lower if len(lower := fold(each)) == 1 else each.lower()[:1] for each in composed)

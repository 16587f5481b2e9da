"""Folding of names: names that differ only in case or Unicode composition are equal.

Everything that compares names as people do (file names and folders in patterns, cameras, lenses, tags, sidecars,
orders by name) compares what :func:`fold` makes of them. The catalog stores it beside the names, since SQLite folds the
letters of ASCII only.
"""

from __future__ import annotations

import unicodedata

_DOTTED_I = "i\u0307"


def fold(text: str) -> str:
    """Full case folding in NFC: "STRASSE" and "straße", "Фото" and "фото", "é" in one code point or in two are alike.

    Folding twice changes nothing. Bytes that are no text (surrogate escapes) stay as they are.

    Reference: The Unicode Standard, 3.13, D145 (canonical caseless matching), in NFC. One addition: the dot that
    folding leaves behind the i of a Turkish capital İ is dropped, so that "istanbul" finds "İstanbul".
    """
    if text.isascii():
        return text.lower()
    # Composed again before and after: a combining iota (U+0345) folds to a letter and must be at its place by then.
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFC", folded.replace(_DOTTED_I, "i").casefold())


def fold_each(text: str) -> str:
    """Like :func:`fold`, but one character for each of the NFC text: "ß" stays. For patterns that count characters."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(lower if len(lower := fold(each)) == 1 else each.lower()[:1] for each in composed)

"""Normal form of tags and captions, so that SQL can compare them byte for byte."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from retrieval.errors import QueryError

MAX_TAG_LENGTH = 200
MAX_CAPTION_LENGTH = 5000


def clean_tag(text: str) -> str:
    """A tag as the catalog holds it: lower case, NFC, blanks at its ends gone and those inside it single.

    Lower case and not the original spelling, so that most of what is one tag is one text. What folding makes alike
    beyond that ("straße", "strasse") gets one spelling in each gallery, see ``labelling.spelt``. Cleaning twice changes
    nothing.

    Raises:
        QueryError: nothing is left, more than 200 characters are, or one of them is a control character or no text.
    """
    tag = unicodedata.normalize("NFC", unicodedata.normalize("NFC", " ".join(text.split())).lower())
    if not tag:
        raise QueryError("a tag is empty", "give a word, e.g. beach")
    _check(tag, "tag", MAX_TAG_LENGTH, "")
    return tag


def split_names(texts: Iterable[str]) -> list[str]:
    """Names from texts that hold one each, or several with commas between them: ``beach,sea``.

    A name with a comma in it stands between double quotes, as in CSV: ``"Paris, France",sea``. Paths, patterns, places
    and words of a query are never taken apart: commas are part of them.
    """
    found: list[str] = []
    for text in texts:
        if "," not in text:
            found.append(text)
            continue
        import csv

        found += [name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row if name.strip()]
    return found


def clean_caption(text: str) -> str:
    """A caption as the catalog holds it: NFC, lines ended by a newline, blanks around each line gone.

    Raises:
        QueryError: nothing is left, more than 5,000 characters are, or one of them is a control character or no text.
    """
    caption = unicodedata.normalize("NFC", "\n".join(line.strip() for line in text.splitlines()).strip())
    if not caption:
        raise QueryError("the caption is empty", "give a sentence, or remove the caption with --remove-caption")
    _check(caption, "caption", MAX_CAPTION_LENGTH, "\n")
    return caption


def _check(text: str, kind: str, longest: int, allowed: str) -> None:
    if len(text) > longest:
        raise QueryError(f"a {kind} of {len(text):,} characters is too long", f"use {longest:,} at most")
    # Cc would steer a terminal that lists tags; Cs are bytes that were no text, which SQLite cannot store.
    bad = next((c for c in text if c not in allowed and unicodedata.category(c) in ("Cc", "Cs")), None)
    if bad is not None:
        raise QueryError(f"a {kind} contains the character {bad!a}", "use letters, digits, punctuation and spaces")

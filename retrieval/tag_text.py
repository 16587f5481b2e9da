"""Normal form of tags and captions, so that SQL can compare them byte for byte."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from retrieval.errors import QueryError

MAX_TAG_LENGTH = 200
MAX_CAPTION_LENGTH = 5000


def clean_tag(text: str) -> str:
    """A tag as stored in the catalog: lower case, NFC, without leading, trailing and repeated white space.

    Lower case instead of the original spelling, so that most variants of a tag are one text. Variants beyond
    that ("straße", "strasse") get one spelling per gallery, see ``labelling.spelt``. Cleaning twice has no further
    effect.

    Raises:
        QueryError: the result is empty, has more than 200 characters, or has control or invalid characters.
    """
    tag = unicodedata.normalize("NFC", unicodedata.normalize("NFC", " ".join(text.split())).lower())
    if not tag:
        raise QueryError("a tag is empty", "give a word, e.g. beach")
    _check(tag, "tag", MAX_TAG_LENGTH, "")
    return tag


def split_names(texts: Iterable[str]) -> list[str]:
    """Split texts that contain one name each, or several separated by commas: ``beach,sea``.

    A name that contains a comma is put in double quotes, as in CSV: ``"Paris, France",sea``. Paths, patterns, places
    and words of a query are never split, because commas may be part of them.
    """
    found: list[str] = []
    for text in texts:
        if "," not in text:
            found.append(text)
            continue
        import csv

        found += [name.strip() for row in csv.reader([text], skipinitialspace=True) for name in row if name.strip()]
    return found


def clean_album(text: str) -> str:
    """The name of an album as stored in the catalog: NFC, without leading, trailing and repeated white space.

    Raises:
        QueryError: the result is empty, has more than 200 characters, or has control or invalid characters.
    """
    return _clean_name(text, "an album's", "'Summer 2023'")


def clean_person(text: str) -> str:
    """The name of a person as stored in the catalog, as :func:`clean_album`, or the number of a group of faces.

    Raises:
        QueryError: the result is empty, has more than 200 characters, or has control or invalid characters.
    """
    return _clean_name(text, "a person's", "Anna")


def clean_caption(text: str) -> str:
    """A caption as stored in the catalog: NFC, newlines as line ends, without white space around each line.

    Raises:
        QueryError: the result is empty, has more than 5,000 characters, or has control or invalid characters.
    """
    caption = unicodedata.normalize("NFC", "\n".join(line.strip() for line in text.splitlines()).strip())
    if not caption:
        raise QueryError("the caption is empty", "give a sentence, or remove the caption with --remove-caption")
    _check(caption, "caption", MAX_CAPTION_LENGTH, "\n")
    return caption


def _clean_name(text: str, whose: str, example: str) -> str:
    name = unicodedata.normalize("NFC", " ".join(text.split()))
    if not name:
        raise QueryError(f"{whose} name is empty", f"give one, e.g. {example}")
    _check(name, "name", MAX_TAG_LENGTH, "")
    return name


def _check(text: str, kind: str, longest: int, allowed: str) -> None:
    if len(text) > longest:
        raise QueryError(f"a {kind} of {len(text):,} characters is too long", f"use {longest:,} at most")
    # Cc could control a terminal that lists tags; Cs are bytes that are not text, which SQLite cannot store.
    bad = next((c for c in text if c not in allowed and unicodedata.category(c) in ("Cc", "Cs")), None)
    if bad is not None:
        raise QueryError(f"a {kind} contains the character {bad!a}", "use letters, digits, punctuation and spaces")

"""What a question may go on with, of what this gallery really has: tags, places, persons, cameras, albums, file names.

All values of the facets are kept as one list in their compared form, made once after each commit: looking through
30,000 of them takes a few milliseconds. File names come from the index of words.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from retrieval.catalog.albums import all_albums
from retrieval.catalog.lexicon import names_beginning
from retrieval.filters import Filter
from retrieval.lexemes import plain
from retrieval.search.language import PREFIXES
from retrieval.web.facets.models import FacetCounts, Suggestion, SuggestionKind

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.web.facets.counting import Facets

MOST_KNOWN = 20_000
"""Values of one kind that are looked through, the most frequent ones."""

_MOST_WORDS = 4  # at the end of a question: "new york city hall" can be a name
_SHORTEST_NAME = 2  # letters: one letter begins too many file names to say anything
_ORDER: tuple[SuggestionKind, ...] = ("person", "place", "album", "search", "tag", "camera", "name")
_FIELDS: dict[SuggestionKind, str] = {"search": "album"}
"""Kind -> its condition, where that has another name."""

_BEGUN = re.compile(rf'(?:^|(?<=\s))(-?)({"|".join(PREFIXES)}):"?([^"]*)$', re.IGNORECASE)
_EXTENSION = re.compile(r"(?<=\S)\.\w{0,4}$")
_SPLIT = re.compile(r"[\W_]+")


class _Known(NamedTuple):
    """A value, with the text that is compared: its words in folded form, with a space before each."""

    text: str
    value: str
    around: str | None
    pictures: int | None


@dataclass
class Suggestions:
    """The values of a gallery, ready to be looked through; for any number of threads.

    Args:
        facets: counts the values.
    """

    facets: Facets
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _of: FacetCounts | None = None
    _known: dict[SuggestionKind, list[_Known]] = field(default_factory=dict)

    def find(self, reader: CatalogReader, text: str, most: int) -> list[Suggestion]:
        """What the end of a question may become.

        Args:
            text: the question as far as it is typed; empty: the most frequent values of each kind.
            most: how many, at most.

        Raises:
            GalleryError: the catalog cannot be read.
        """
        known = self._current(reader)
        if begun := _BEGUN.search(text):
            minus, prefix, typed = begun.groups()
            kinds = [kind for kind in _ORDER if _FIELDS.get(kind, kind) == prefix.lower()]
            found = list(_of_kinds(reader, known, kinds, typed, most, len(begun[0])))
            return [_without(one) for one in found] if minus else found
        if not text.strip():
            has = [kind for kind in _ORDER if known.get(kind)]
            each = max(1, most // max(1, len(has)))
            return [one for kind in has for one in _matching(known[kind], kind, "", each, 0)][:most]
        return _at_the_end(reader, known, text, most)

    def _current(self, reader: CatalogReader) -> dict[SuggestionKind, list[_Known]]:
        counts = self.facets.count(reader, Filter(), most=MOST_KNOWN)
        with self._lock:
            if counts is not self._of:  # the same object is answered until something is committed
                self._known, self._of = _known_of(counts, reader), counts
            return self._known


def _known_of(counts: FacetCounts, reader: CatalogReader) -> dict[SuggestionKind, list[_Known]]:
    tags: dict[str, int] = {}
    for each in counts.tags:  # people's come first, and a tag of both is one suggestion
        tags[each.tag] = max(tags.get(each.tag, 0), each.count)
    albums = [(album.name, None if album.recipe is not None else album.pictures) for album in all_albums(reader)]
    return {
        "person": [_entry(each.value, each.count) for each in counts.persons],
        "place": [_entry(each.place, each.count, named=each.name) for each in counts.named_places],
        "album": [_entry(name, count) for name, count in albums if count is not None],
        "search": [_entry(name, None) for name, count in albums if count is None],
        "tag": [_entry(tag, count) for tag, count in tags.items()],
        "camera": [_entry(each.value, each.count) for each in counts.cameras],
    }


def _entry(value: str, count: int | None, *, named: str | None = None) -> _Known:
    around = value.partition(", ")[2] if named is not None and value != named else ""
    return _Known(_compared(value if named is None else named), value, around or None, count)


def _compared(text: str) -> str:
    return "".join(f" {word}" for word in _SPLIT.split(plain(text)) if word)


def _at_the_end(
    reader: CatalogReader, known: dict[SuggestionKind, list[_Known]], text: str, most: int
) -> list[Suggestion]:
    """The longest end of a text that begins something is what is meant; shorter ends only fill up."""
    starts = [found.start() for found in re.finditer(r"\S+", text)][-_MOST_WORDS:]
    found: dict[tuple[str, str], Suggestion] = {}
    for start in starts:
        typed = text[start:]
        is_away = typed.startswith("-")
        for one in _of_kinds(reader, known, _ORDER, typed.lstrip("-+"), most, len(typed)):
            found.setdefault((one.kind, one.value), _without(one) if is_away else one)
        if len(found) >= most:
            break
    return list(found.values())[:most]


def _of_kinds(
    reader: CatalogReader,
    known: dict[SuggestionKind, list[_Known]],
    kinds: Sequence[SuggestionKind],
    typed: str,
    most: int,
    replaces: int,
) -> Iterator[Suggestion]:
    each = most if len(kinds) == 1 else max(2, most // 2)
    for kind in kinds:
        if kind == "name":
            yield from _names(reader, typed, each, replaces)
        else:
            yield from _matching(known[kind], kind, typed, each, replaces)


def _matching(values: Sequence[_Known], kind: SuggestionKind, typed: str, most: int, replaces: int) -> list[Suggestion]:
    words = _compared(typed)
    if typed.strip() and not words:
        return []
    found = [one for one in values if words in one.text]
    found.sort(key=lambda one: (not one.text.startswith(words), -(one.pictures or 0)))
    return [
        Suggestion(
            kind=kind,
            field=_FIELDS.get(kind, kind),
            value=one.value,
            text=one.value if one.around is None else one.value.removesuffix(f", {one.around}"),
            around=one.around,
            count=one.pictures,
            replaces=replaces,
        )
        for one in found[:most]
    ]


def _names(reader: CatalogReader, typed: str, most: int, replaces: int) -> Iterator[Suggestion]:
    typed = _EXTENSION.sub("", typed.strip())  # the index of words has names without theirs
    if len(plain(typed)) < _SHORTEST_NAME:
        return
    for name in names_beginning(reader, typed, most):
        stem, dot, extension = name.rpartition(".")
        value = stem if dot and stem and len(extension) <= 5 else name  # as the index of words reads it
        yield Suggestion(kind="name", field="name", value=value, text=name, around=None, count=None, replaces=replaces)


def _without(one: Suggestion) -> Suggestion:
    return one.model_copy(update={"field": f"no_{one.field}"})

"""WordNet's nouns, read from the database files of its 3.0 release (Miller 1995; Debian package ``wordnet-base``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from retrieval.errors import SettingsError

_TOO_GENERAL = 4
"""Concepts this close to the root of the noun tree ("entity", "object", "whole") are not visible things."""

_KINDS = {
    "animal": "ray seal trout flatfish otter raccoon shrew leopard skunk turtle beaver tiger lobster chicken",
    "mammal": "dolphin whale",
    "monkey": "howler capuchin",
    "furniture": "table",
    "clothing": "top",
    "tableware": "plate",
    "edible fruit": "lime mango papaya peach plum kiwi pomegranate pineapple banana",
    "electronic equipment": "television",
}
"""Words whose most usual sense is not the one shown in pictures: the first sense of leopard is its pelt."""

_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words.split()}


@dataclass(frozen=True)
class Synset:
    """A noun sense: its words, its meaning, its direct hypernyms.

    Attributes:
        wnid: ``n`` and the eight digits of its offset in data.noun, as in ImageNet.
        words: lemmas, most usual first, blanks for underscores.
        gloss: definition and examples, as written.
        parents: wnids of its hypernyms, instance hypernyms included.
    """

    wnid: str
    words: tuple[str, ...]
    gloss: str
    parents: tuple[str, ...]

    @property
    def definition(self) -> str:
        """The gloss without examples."""
        return self.gloss.split('; "')[0].strip(' "')


class WordNet:
    """All noun synsets, by wnid and by word.

    Args:
        folder: contains ``data.noun`` and ``index.noun``.

    Raises:
        SettingsError: they are missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            data = (folder / "data.noun").read_text(encoding="utf-8")
            index = (folder / "index.noun").read_text(encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"cannot read WordNet in {folder}: {error.strerror}", "install wordnet-base and give its folder"
            ) from error
        self.synsets = {s.wnid: s for s in map(_parse, data.splitlines()) if s is not None}
        self._senses = dict(_senses(line) for line in index.splitlines() if not line.startswith(" "))
        self._folder = folder

    def find(self, name: str) -> Synset | None:
        """The sense of a noun that a picture would show; of its last words if the whole is unknown ("red sports
        car": sports car)."""
        words = re.sub(r"[^a-z0-9' -]+", " ", name.lower()).split()
        for start in range(len(words)):
            tail = " ".join(words[start:])
            for form in (tail, tail.removesuffix("s"), tail.removesuffix("es"), re.sub("ies$", "y", tail)):
                if form in self._senses and form != "shoes":  # whose only sense in WordNet is figurative
                    return self._chosen(form)
        return None

    def _chosen(self, lemma: str) -> Synset:
        """The most usual sense, or for the words in ``_KINDS`` the most usual one that is of the given kind."""
        senses = [self.synsets[wnid] for wnid in self._senses[lemma]]
        kind = _KIND_OF.get(lemma)
        return next((s for s in senses if kind is not None and self._is_a(s, kind)), senses[0])

    def _is_a(self, synset: Synset, kind: str) -> bool:
        parents = [self.synsets[wnid] for wnid in synset.parents]
        return kind in synset.words or any(self._is_a(parent, kind) for parent in parents)

    def ancestors(self, wnid: str) -> tuple[str, ...]:
        """Hypernyms of a synset, nearest first, without those too general to be visible."""
        found: dict[str, None] = {}
        layer = list(self.synsets[wnid].parents)
        while layer:
            found.update(dict.fromkeys(layer))
            layer = [parent for w in layer for parent in self.synsets[w].parents]
        return tuple(w for w in found if self._depth(w) > _TOO_GENERAL)

    def count(self, word: str) -> int:
        """How often a noun occurs in WordNet's tagged texts, in all senses together; 0 for a rare one."""
        return self._counts.get(word.lower(), 0)

    def examples(self) -> list[str]:
        """The sentences and phrases that WordNet gives as examples, of all parts of speech, in order."""
        found: dict[str, None] = {}
        for part in ("noun", "verb", "adj", "adv"):
            for line in self._lines(f"data.{part}"):
                found.update((text.strip(" ;"), None) for text in re.findall(r'"([^"]{4,120})"', line))
        return list(found)

    @cached_property
    def irregular_plurals(self) -> dict[str, str]:
        """Irregular plurals, by singular (``mouse``: ``mice``)."""
        pairs = (line.split() for line in self._lines("noun.exc"))
        return {pair[1]: pair[0].replace("_", " ") for pair in pairs if len(pair) == 2}

    @cached_property
    def _counts(self) -> dict[str, int]:
        """``lemma%1:..., sense, count`` of cntlist.rev: nouns only."""
        counts: dict[str, int] = {}
        for line in self._lines("cntlist.rev"):
            key, _, number = line.rsplit(" ", 2)
            lemma, _, kind = key.partition("%")
            if kind.startswith("1"):
                word = lemma.replace("_", " ")
                counts[word] = counts.get(word, 0) + int(number)
        return counts

    def _lines(self, name: str) -> list[str]:
        """The lines of a file that only the text tower's lesson needs; empty if it is missing."""
        try:
            return (self._folder / name).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _depth(self, wnid: str) -> int:
        return self._depths.get(wnid, 0)

    @cached_property
    def _depths(self) -> dict[str, int]:
        """Shortest distance of each synset from a root."""
        children: dict[str, list[str]] = {}
        for synset in self.synsets.values():
            for parent in synset.parents:
                children.setdefault(parent, []).append(synset.wnid)
        depths = {s.wnid: 0 for s in self.synsets.values() if not s.parents}
        layer = list(depths)
        while layer:
            below = {child: depths[wnid] + 1 for wnid in layer for child in children.get(wnid, ())}
            layer = [wnid for wnid in below if wnid not in depths]
            depths |= {wnid: below[wnid] for wnid in layer}
        return depths


def _parse(line: str) -> Synset | None:
    """A line of data.noun: ``offset lexfile n count word id ... pointers | gloss`` (wndb(5))."""
    if line.startswith("  "):
        return None
    fields, _, gloss = line.partition(" | ")
    parts = fields.split()
    count = int(parts[3], 16)
    words = tuple(parts[4 + 2 * i].replace("_", " ") for i in range(count))
    pointers = parts[5 + 2 * count :]
    parents = tuple(f"n{pointers[i + 1]}" for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i"))
    return Synset(f"n{parts[0]}", words, gloss.strip(), parents)


def _senses(line: str) -> tuple[str, tuple[str, ...]]:
    """A line of index.noun: the lemma, and its senses with the most usual first."""
    parts = line.split()
    count = int(parts[2])
    return parts[0].replace("_", " "), tuple(f"n{offset}" for offset in parts[-count:])

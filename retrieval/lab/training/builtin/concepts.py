"""The concepts of a picture: its class, everything that the class is a kind of, and what it certainly is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.lab.training.builtin.wordnet import WordNet

TEMPLATES = ("{}", "a photo of a {}.", "a picture of a {}", "a close-up photo of a {}", "the {}")


@dataclass
class Concept:
    """A column of the loss.

    Attributes:
        key: wnid, or ``word:`` and a name that is not in WordNet.
        names: synonyms, most usual first.
        definition: of WordNet; empty if unknown.
        parents: keys of the concepts that it is a kind of, at any distance.
        is_class: pictures are labelled with it.
    """

    key: str
    names: list[str]
    definition: str = ""
    parents: frozenset[str] = field(default_factory=frozenset)
    is_class: bool = False

    def texts(self) -> list[str]:
        """Ways to write it: each name in each template, and the definition."""
        written = [template.format(name) for name in self.names[:4] for template in TEMPLATES]
        if self.definition:
            written.append(f"{self.names[0]}, {self.definition}")
        return written


class Vocabulary:
    """The concepts of some class names, and all concepts that these are kinds of."""

    def __init__(self, wordnet: WordNet) -> None:
        self._wordnet = wordnet
        self.concepts: list[Concept] = []
        self._column: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.concepts)

    def add_synset(self, wnid: str, extra_names: Iterable[str] = ()) -> int:
        """The column of a class that is a synset."""
        ancestors = self._wordnet.ancestors(wnid)
        for ancestor in ancestors:
            if ancestor not in self._column:
                self._append(ancestor, self._wordnet.ancestors(ancestor))
        column = self._column[wnid] if wnid in self._column else self._append(wnid, ancestors)
        concept = self.concepts[column]
        concept.is_class = True
        concept.names = list(dict.fromkeys([*concept.names, *extra_names]))
        return column

    def add_name(self, name: str) -> int:
        """The column of a class with an English name, mapped to its most usual sense in WordNet if there is one."""
        synset = self._wordnet.find(name)
        if synset is None:
            key = f"word:{name.lower()}"
            if key not in self._column:
                self._column[key] = len(self.concepts)
                self.concepts.append(Concept(key, [name], is_class=True))
            return self._column[key]
        known = [word.lower() for word in synset.words]
        if name.lower() in known or name.lower().removesuffix("s") in known:
            column = self.add_synset(synset.wnid)
            names = self.concepts[column].names
            names.sort(key=lambda word: word.lower() != name.lower())  # the collection's own name comes first
            return column
        # "running shoes" is a kind of what WordNet calls a shoe.
        key = f"word:{name.lower()}"
        if key not in self._column:
            parent = self.add_synset_only(synset.wnid)
            self._column[key] = len(self.concepts)
            parents = frozenset({synset.wnid, *self.concepts[parent].parents})
            self.concepts.append(Concept(key, [name], parents=parents, is_class=True))
        return self._column[key]

    def add_synset_only(self, wnid: str) -> int:
        """The column of a synset that is not a class by itself."""
        was = wnid in self._column and self.concepts[self._column[wnid]].is_class
        column = self.add_synset(wnid)
        self.concepts[column].is_class = was
        return column

    def _append(self, wnid: str, ancestors: Sequence[str]) -> int:
        synset = self._wordnet.synsets[wnid]
        self._column[wnid] = len(self.concepts)
        names = list(synset.words)
        self.concepts.append(Concept(wnid, names, synset.definition, frozenset(ancestors)))
        return self._column[wnid]

    def relations(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The relations between concepts.

        Returns:
            (c, c) bool ``is_a``: the row's pictures are also the column (itself, and what it is a kind of).
            (c, c) bool ``may_be``: the column is a kind of the row, so it may or may not apply; not used as a label.
        """
        count = len(self.concepts)
        is_a = np.eye(count, dtype=bool)
        for row, concept in enumerate(self.concepts):
            for parent in concept.parents:
                if parent in self._column:
                    is_a[row, self._column[parent]] = True
        return is_a, is_a.T & ~np.eye(count, dtype=bool)

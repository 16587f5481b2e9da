"""Made-up search phrases: colours, materials, styles, counts, places, actions, negations, captions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from retrieval.lab.training.builtin import search_words as words

_VOWELS = re.compile(r"(?:[aeio]|u(?!ni|s[aeiou]|ku))", re.IGNORECASE)
_MANY = frozenset(
    ("friends", "people", "men", "women", "children", "players", "tourists", "students", "dancers", "someone")
)
_KINDS = {
    "prompt": 14,
    "colour": 11,
    "quality": 9,
    "material": 5,
    "style": 13,
    "count": 7,
    "place": 10,
    "action": 12,
    "negation": 5,
    "relation": 8,
    "scene": 5,
    "keywords": 4,
    "caption": 8,
}
"""Each kind of phrase and its frequency, in about hundredths."""


class Phrases:
    """A grammar of search phrases.

    Args:
        names: of things, as in WordNet.
        weights: (n,) their frequencies.
        irregular: irregular plurals, by singular.
        seed: of the random choices.
    """

    def __init__(
        self, names: Sequence[str], weights: Sequence[float], irregular: Mapping[str, str], seed: int = 0
    ) -> None:
        self._names, self._irregular = names, irregular
        self._cumulated = np.cumsum(weights) / np.sum(weights)
        self._random = np.random.default_rng(seed)
        self._kinds = list(_KINDS)
        self._shares = np.cumsum(list(_KINDS.values())) / sum(_KINDS.values())

    def __iter__(self) -> Iterator[str]:
        """Endless."""
        while True:
            kind = self._kinds[int(np.searchsorted(self._shares, self._random.random(), "right"))]
            yield getattr(self, f"_{kind}")()

    def coloured(self) -> str:
        """One phrase with a colour word in it."""
        return self._colour()

    def _name(self) -> str:
        at = int(np.searchsorted(self._cumulated, self._random.random(), "right"))
        return self._names[min(at, len(self._names) - 1)]

    def _one(self, choices: Sequence[str]) -> str:
        return choices[int(self._random.integers(len(choices)))]

    def _maybe(self, share: float) -> bool:
        return bool(self._random.random() < share)

    def _filled(self, template: str, name: str | None = None) -> str:
        """Fill a template: ``{n}`` a name, ``{a}`` with its article, ``{p}`` in plural; ``{m}`` another thing."""
        name, other = name or self._name(), self._name()
        return template.format(
            n=name, a=article(name), p=self.plural(name), m=other, ma=article(other), mp=self.plural(other)
        )

    def plural(self, name: str) -> str:
        """The plural of a name's last word."""
        head, _, last = name.rpartition(" ")
        if last in self._irregular:
            many = self._irregular[last]
        elif re.search(r"(?:[sxz]|[cs]h)$", last):
            many = f"{last}es"
        else:
            many = re.sub(r"([^aeiou])y$", r"\1ie", last) + "s"
        return f"{head} {many}".strip()

    def _described(self, adjective: str) -> str:
        name = self._name()
        described = f"{adjective} {name}"
        form = int(self._random.integers(8))
        if form < 2:
            return described
        if form < 4:
            return article(described)
        if form == 4:
            return f"{adjective} {self.plural(name)}"
        if form == 5:
            return self._filled(self._one(words.PROMPTS), described)
        if form == 6:
            return f"{article(described)} {self._one(words.PLACES)}"
        return f"{article(described)} and {article(f'{self._one(words.COLOURS)} {self._name()}')}"

    def _prompt(self) -> str:
        return self._filled(self._one(words.PROMPTS))

    def _colour(self) -> str:
        colour = self._one(words.COLOURS)
        if self._maybe(0.12):
            colour = f"{self._one(words.SHADES)} {colour}"
        if self._maybe(0.1):
            colour = f"{colour} and {self._one(words.COLOURS)}"
        if self._maybe(0.12):
            return self._one((f"the {self._name()} is {colour}", f"{self._name()} in {colour}", f"{colour} things"))
        return self._described(colour)

    def _quality(self) -> str:
        return self._described(self._one(words.QUALITIES))

    def _material(self) -> str:
        if self._maybe(0.35):
            return f"{article(self._name())} made of {self._one(words.MADE_OF)}"
        return self._described(self._one(words.MATERIALS))

    def _style(self) -> str:
        name = self._name()
        if self._maybe(0.25):
            name = f"{self._one((*words.COLOURS, *words.QUALITIES))} {name}"
        return self._filled(self._one(words.STYLES), name)

    def _count(self) -> str:
        counted = self._filled(self._one(words.COUNTS))
        return f"{counted} {self._one(words.PLACES)}" if self._maybe(0.3) else counted

    def _place(self) -> str:
        name = self._name()
        named = self._one((name, article(name), self.plural(name)))
        return f"{named} {self._one(words.PLACES)}"

    def _action(self) -> str:
        subject = self._one(words.SUBJECTS) if self._maybe(0.75) else self._name()
        doing = self._one(words.ACTIONS) if self._maybe(0.65) else f"{self._one(words.VERBS)} {article(self._name())}"
        if self._maybe(0.5):
            subject = article(subject)
        place = f" {self._one(words.PLACES)}" if self._maybe(0.35) else ""
        form = int(self._random.integers(8))
        if form == 0:
            return f"a photo of {subject} {doing}{place}"
        return f"{doing}{place}" if form == 1 else f"{subject} {doing}{place}"

    def _negation(self) -> str:
        return self._filled(self._one(words.NEGATIONS))

    def _relation(self) -> str:
        related = self._filled(self._one(words.RELATIONS))
        return f"{related} {self._one(words.PLACES)}" if self._maybe(0.2) else related

    def _scene(self) -> str:
        scene = self._one(words.SCENES)
        form = int(self._random.integers(6))
        if form == 0:
            return scene
        if form == 1:
            return f"{self._one(words.WEATHER)} {scene}"
        if form == 2:
            return f"{scene} {self._one(words.PLACES)}"
        if form == 3:
            return f"{scene} with {self.plural(self._name())}"
        return self._filled(self._one((*words.PROMPTS, *words.STYLES)), scene)

    def _keywords(self) -> str:
        said = [self._name(), self._one(words.KEYWORDS)]
        if self._maybe(0.6):
            said.append(self._one((*words.KEYWORDS, *words.COLOURS)))
        return " ".join(said[at] for at in self._random.permutation(len(said)))

    def _caption(self) -> str:
        """A sentence such as people use to describe a picture."""
        subject = article(f"{self._one((*words.QUALITIES, *words.COLOURS))} {self._name()}")
        actor = article(self._one(words.SUBJECTS))
        place = self._one(words.PLACES)
        doing = self._one(words.ACTIONS)
        return self._one((
            f"{actor} is {doing} next to {subject} {place}.",
            f"{actor} {doing} while {article(self._one(words.SUBJECTS))} is {self._one(words.ACTIONS)}",
            f"{actor} in {article(f'{self._one(words.COLOURS)} {self._name()}')} is {doing} {place}",
            f"{subject} {place} with {self.plural(self._name())} in the background",
            f"There is {subject} and {article(self._name())} {place}.",
            f"{actor} {self._one(words.VERBS)} {subject} {place}",
            f"{subject} sitting on top of {article(self._name())}",
            f"{self._one(words.SCENES)} with {subject} and {actor}",
        ))  # fmt: skip


def article(name: str) -> str:
    """``a`` or ``an`` before a name; none if the name has its own article or is a group of people."""
    if name.startswith(("a ", "an ", "the ", "my ", "two ", "some ")) or name in _MANY:
        return name
    return f"an {name}" if _VOWELS.match(name) else f"a {name}"

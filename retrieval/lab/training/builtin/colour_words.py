"""The colours that a text requests, as numbers for the colour dimensions of the common space.

"A red car" requests red; "a red panda", "an orange" and "a car" request none: for these, a search must be the same as
without these dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from retrieval.lab.training.hybrid import COLOURS


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MIXED: dict[str, dict[str, float]] = {
    "gray": {"grey": 1.0},
    "silver": {"grey": 1.0},
    "golden": {"yellow": 0.8, "brown": 0.6},
    "gold": {"yellow": 0.8, "brown": 0.6},
    "beige": {"brown": 0.7, "white": 0.7},
    "turquoise": {"blue": 0.8, "green": 0.6},
    "teal": {"blue": 0.7, "green": 0.7},
    "cyan": {"blue": 0.8, "green": 0.6},
    "violet": {"purple": 1.0},
    "magenta": {"pink": 0.8, "purple": 0.6},
    "crimson": {"red": 1.0},
    "scarlet": {"red": 1.0},
    "maroon": {"red": 0.8, "brown": 0.6},
    "navy": {"blue": 1.0},
}
"""Colour words that are not in :data:`COLOURS`; the weights have a length of about one."""

_THINGS = _set("orange violet gold silver turquoise teal navy")
"""Colour words that name a thing at the end of a text: a fruit, a flower, a metal, a bird."""

_JOINING = _set("and is in or bright dark light pale deep")
"""After these words they are colours nevertheless: "round and orange"."""

_PEOPLE = _set(
    "man men woman women person people kid kids child children boy boys girl girls guy guys family baby couple actor "
    "actress singer player students americans"
)
"""Before these words, black, white, brown, red and yellow describe people, not the colours of a picture."""

_NEGATIVE = _set("no not without except nobody but instead")
_PREPOSITIONS = _set("on in at with of and under behind next near beside from is")
_MONOCHROME = re.compile(
    r"\bblack[- ]and[- ]white (?:photo|picture|image|portrait|film|shot)|\b(?:photo|picture|image|portrait)\w* "
    r"(?:\w+ )*in black and white\b|\bmonochrome\b|\bgr[ae]yscale\b"
)
_WORD = re.compile(r"[a-z]+")


class ColourWords:
    """Finds the colours in texts.

    Args:
        compounds: names of things with several words, such as "red panda", in which the colour is not requested.
    """

    def __init__(self, compounds: Iterable[str]) -> None:
        names = (tuple(_WORD.findall(name.lower())) for name in compounds)
        self._compounds = {name for name in names if len(name) > 1 and any(map(_is_colour, name))}
        self._longest = max(map(len, self._compounds), default=0)

    def __call__(self, text: str) -> NDArray[np.float32]:
        """(12,) float32, for each of :data:`COLOURS`: of unit length, or zero if no colour is requested."""
        out = np.zeros(len(COLOURS), np.float32)
        lowered = text.lower()
        words = _WORD.findall(lowered)
        if _NEGATIVE.intersection(words):
            return out
        if _MONOCHROME.search(lowered):
            out[COLOURS.index("colourless")] = 1
            return out
        at = 0
        while at < len(words):
            length = self._compound(words, at)
            if length:
                at += length
                continue
            if _is_colour(words[at]) and not self._is_thing(words, at):
                for colour, weight in _MIXED.get(words[at], {words[at]: 1.0}).items():
                    out[COLOURS.index(colour)] += weight
            at += 1
        length_ = float(np.linalg.norm(out))
        return out / length_ if length_ else out

    def _compound(self, words: list[str], at: int) -> int:
        """The number of words from here that form the name of one thing; 0 if none. The last word may be plural."""
        for count in range(min(self._longest, len(words) - at), 1, -1):
            name = tuple(words[at : at + count])
            forms = {name, *((*name[:-1], name[-1].removesuffix(end)) for end in ("s", "es"))}
            if forms & self._compounds:
                return count
        return 0

    @staticmethod
    def _is_thing(words: list[str], at: int) -> bool:
        word, behind = words[at], words[at + 1 : at + 2]
        if word in _THINGS:
            return (not behind or behind[0] in _PREPOSITIONS) and not (at and words[at - 1] in _JOINING)
        return word in {"black", "white", "brown", "red", "yellow"} and bool(behind) and behind[0] in _PEOPLE


def _is_colour(word: str) -> bool:
    return word in _MIXED or (word in COLOURS and word != "colourless")

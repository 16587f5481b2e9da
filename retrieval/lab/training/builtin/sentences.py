"""The English that the text tower is trained on: words, sentences and phrases about visible things."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from retrieval.lab.training.builtin.concepts import Vocabulary
from retrieval.lab.training.builtin.phrases import Phrases, article
from retrieval.lab.training.builtin.search_words import COLOURS, GIVEN
from retrieval.lab.training.builtin.wordnet import WordNet

_SEEN_ROOTS = ("n00001930",)
"""Physical entity: anything else (a thought, a duty) is not visible in a picture."""

_SHOWN_ABSTRACTIONS = ("n00407535", "n00029378", "n00034213", "n07950920", "n04673965")
"""Activities, events, phenomena, groups of people, and looks: abstract in WordNet, but people search for them."""

_RARE = 0.03
"""Weight of a thing that people are not known to photograph: a Latin species, a historical trade."""

COLOURED = ("a {}", "{}", "{}s", "the {}", "a photo of a {}.", "a picture of a {}", "a close-up photo of a {}")
"""Templates for a colour and a thing, and for a thing without colour."""

_LISTS = (("imagenet_synsets.txt", 4.0), ("imagenet12k_synsets.txt", 1.0))
"""Synsets of which many pictures exist (timm's tables of ImageNet), and the factor of their frequency."""


def weighted_names(wordnet: WordNet, vocabulary: Vocabulary) -> dict[str, float]:
    """Every noun for something visible, and its frequency in the phrases.

    Higher for kinds of ImageNet and the collections, and for words that are frequent in WordNet's tagged texts.
    """
    seen = _seen(wordnet)
    weights = dict.fromkeys(seen, _RARE)
    for wnid, extra in _photographed():
        weights[wnid] = weights.get(wnid, _RARE) + extra
    for concept in vocabulary.concepts:
        if concept.is_class and concept.key in wordnet.synsets:
            weights[concept.key] = weights.get(concept.key, _RARE) + 2.0
    names: dict[str, float] = {}
    for wnid in sorted(weights):
        synset = wordnet.synsets.get(wnid)
        for place, word in enumerate(synset.words if synset else ()):
            if len(word) > 2:
                # A frequent word without pictures ("law", "way") is rarely searched for.
                frequent = (0.7 if weights[wnid] >= 1 else 0.1) * math.sqrt(wordnet.count(word))
                said = min(weights[wnid] + frequent, 10.0) / (1 + place)
                names[word] = max(names.get(word, 0.0), said)
    for name in [*GIVEN, *(name for c in vocabulary.concepts if c.is_class for name in c.names)]:
        names[name] = max(names.get(name, 0.0), 4.0)
    return names


def dictionary(wordnet: WordNet, names: dict[str, float], definitions: int, seed: int) -> list[str]:
    """Every name without article, the usual ones also with it, and a sample of definitions."""
    usual = [article(name) for name in usual_names(names)]
    seen = sorted(_seen(wordnet))
    chosen = np.random.default_rng(seed).permutation(len(seen))[:definitions]
    return [*names, *usual, *(wordnet.synsets[seen[at]].definition for at in chosen.tolist())]


def lesson(wordnet: WordNet, vocabulary: Vocabulary, entries: int, count: int, seed: int = 0) -> list[str]:
    """All texts for training: the vocabulary's own texts, names, ``entries`` definitions and sentences of WordNet,
    and ``count`` search phrases."""
    own = [text for concept in vocabulary.concepts for text in concept.texts()]
    names = weighted_names(wordnet, vocabulary)
    spoken = wordnet.examples()
    chosen = np.random.default_rng(seed).permutation(len(spoken))[:entries]
    sentences = [spoken[at] for at in chosen.tolist()]
    grammar = iter(Phrases(list(names), list(names.values()), wordnet.irregular_plurals, seed))
    phrases = (next(grammar) for _ in range(count))
    judged = set(typed())
    texts = dict.fromkeys([*own, *dictionary(wordnet, names, entries, seed), *sentences, *phrases])
    return [text for text in texts if text not in judged]


def longer_lesson(
    wordnet: WordNet, vocabulary: Vocabulary, entries: int, count: int, seed: int = 7
) -> tuple[list[str], int]:
    """Another :func:`lesson` for a tower that has learned one, before which every usual name stands in each prompt.

    Returns:
        The texts, and how many of them, from the first on, are the vocabulary's own or such names.
    """
    own = [text for concept in vocabulary.concepts for text in concept.texts()]
    usual = usual_names(weighted_names(wordnet, vocabulary))
    named = [*usual, *(prompt.format(name) for name in usual for prompt in COLOURED[-3:])]
    judged = set(typed())
    first = [text for text in dict.fromkeys([*own, *named]) if text not in judged]
    return list(dict.fromkeys([*first, *lesson(wordnet, vocabulary, entries, count, seed)])), len(first)


def usual_names(names: dict[str, float]) -> list[str]:
    """Of weighted names those that people take pictures of."""
    return [name for name, weight in names.items() if weight >= 1]


def coloured_lesson(wordnet: WordNet, vocabulary: Vocabulary, count: int, seed: int = 0) -> list[str]:
    """``count`` texts, half of them with a colour word, for learning which colours are requested."""
    names = weighted_names(wordnet, vocabulary)
    random = np.random.default_rng(seed)
    grammar = Phrases(list(names), list(names.values()), wordnet.irregular_plurals, seed)
    every = iter(grammar)
    usual = usual_names(names)
    texts: dict[str, None] = {}
    while len(texts) < count:
        name = usual[int(random.integers(len(usual)))]
        plain = COLOURED[int(random.integers(len(COLOURED)))]
        colour = COLOURS[int(random.integers(len(COLOURS)))]
        texts[plain.format(f"{colour} {name}")] = None
        texts[grammar.coloured()] = None
        texts[plain.format(name)] = None
        texts[next(every)] = None
    return list(texts)[:count]


def kept_apart(wordnet: WordNet, vocabulary: Vocabulary, learned: Sequence[str], count: int) -> list[str]:
    """``count`` search phrases that are not used in training."""
    known = set(learned)
    names = weighted_names(wordnet, vocabulary)
    grammar = iter(Phrases(list(names), list(names.values()), wordnet.irregular_plurals, seed=1_000_003))
    apart: dict[str, None] = {}
    while len(apart) < count:
        text = next(grammar)
        if text not in known:
            apart[text] = None
    return list(apart)


def typed() -> list[str]:
    """Queries as people type them, written by hand and not used in training: the other half of the evaluation."""
    lines = (files("retrieval.lab.training.builtin") / "typed.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def imagenet_kinds() -> list[str]:
    """The wnids of ImageNet's 1,000 kinds, in the order of every classifier."""
    text = (files("timm.data") / "_info" / _LISTS[0][0]).read_text(encoding="utf-8")
    return re.findall(r"n\d{8}", text)


def _photographed() -> list[tuple[str, float]]:
    """Wnids in timm's tables of ImageNet, with their extra weight."""
    folder = files("timm.data") / "_info"
    found = [
        (wnid, extra)
        for name, extra in _LISTS
        for wnid in re.findall(r"n\d{8}", (folder / name).read_text(encoding="utf-8"))
    ]
    if not found:
        raise ValueError("timm has no tables of ImageNet")
    return found


def _seen(wordnet: WordNet) -> set[str]:
    """The wnids of visible things: the roots above and everything below them."""
    children: dict[str, list[str]] = {}
    for synset in wordnet.synsets.values():
        for parent in synset.parents:
            children.setdefault(parent, []).append(synset.wnid)
    seen: set[str] = set()
    layer = [*_SEEN_ROOTS, *_SHOWN_ABSTRACTIONS]
    while layer:
        seen.update(wnid for wnid in layer if wnid in wordnet.synsets)
        layer = [child for wnid in layer for child in children.get(wnid, []) if child not in seen]
    return seen

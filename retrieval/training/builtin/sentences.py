"""The English that the text tower is taught: words, meanings and phrases about things one could see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from retrieval.training.builtin.concepts import TEMPLATES, Vocabulary
from retrieval.training.builtin.wordnet import WordNet


def _words(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(separator))


_SEEN_ROOTS = ("n00001930",)
"""Physical entity: what is no kind of it (a thought, a duty) is in no picture."""

_SHOWN_ABSTRACTIONS = ("n00407535", "n00029378", "n00034213", "n07950920", "n04673965")
"""Activities, events, phenomena, groups of people, and looks: abstract in WordNet, yet people search for them."""

_ADJECTIVES = _words("""
    red orange yellow green blue purple pink brown black white grey golden silver dark bright colourful small little
    tiny big large huge old young new wooden metal plastic glass stone round square long tall wet dirty clean empty
    full open closed broken beautiful ugly cute funny happy sad angry sleeping running flying sitting standing
    swimming jumping eating playing smiling furry striped spotted fresh cooked sliced frozen wild tropical snowy
    sunny rainy foggy ancient modern famous crowded quiet
""")
_PLACES = _words(
    """
    in the snow|on a beach|in the water|under water|in the sky|at night|at sunset|in the rain|in the garden|on a table|
    in the kitchen|on the street|in the city|in the forest|in the mountains|by the sea|on a lake|in a field|on grass|
    in a room|on a sofa|in a tree|on a branch|on the road|in front of a house|on a white background|on a plate|
    in a bowl|in a basket|in someone's hand|at the zoo|in a museum|at a party|at a market|in a park|on a boat|
    behind a fence|in the desert|on the wall|on the floor|from above|from the side|seen up close
    """,
    "|",
)
_COMPANIONS = _words("""
    person man woman child baby boy girl dog cat horse bird flower tree house car bicycle boat chair table book
    ball hat cup bottle
""")
_MANY = ("two", "three", "several", "many", "a group of", "a pair of", "a lot of")
_KINDS = ("a drawing of a {}", "a painting of a {}", "a toy {}", "a statue of a {}", "a black and white photo of a {}")


def dictionary(wordnet: WordNet) -> list[str]:
    """Every noun for something visible, bare and in a template, and its definition."""
    out: dict[str, None] = {}
    for wnid in sorted(_seen(wordnet)):
        synset = wordnet.synsets[wnid]
        for word in synset.words:
            out[word] = None
        out[synset.definition] = None
        out[f"{synset.words[0]}: {synset.definition}"] = None
        out[f"a photo of a {synset.words[0]}."] = None
    return [text for text in out if text]


def phrases(names: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """Phrases as people type them into a search box, about ``names``, the earlier ones more often."""
    random = np.random.default_rng(seed)

    def one(choices: Sequence[str]) -> str:
        return choices[int(random.integers(len(choices)))]

    for _ in range(count):
        name = names[int(len(names) * random.random() ** 2)]
        form = int(random.integers(10))
        if form == 0:
            yield f"{one(_ADJECTIVES)} {name}"
        elif form == 1:
            yield f"a {one(_ADJECTIVES)} {name} {one(_PLACES)}"
        elif form == 2:
            yield f"a {name} {one(_PLACES)}"
        elif form == 3:
            yield f"{one(_MANY)} {name}s"
        elif form == 4:
            yield f"a {one(_COMPANIONS)} with a {name}"
        elif form == 5:
            yield f"a {one(_ADJECTIVES)} {one(_COMPANIONS)} and a {name} {one(_PLACES)}"
        elif form == 6:
            yield one(_KINDS).format(name)
        elif form == 7:
            yield f"{name} {one(_PLACES)}"
        elif form == 8:
            yield one(TEMPLATES).format(f"{one(_ADJECTIVES)} {name}")
        else:
            yield f"{name} and {names[int(len(names) * random.random() ** 2)]}"


def lesson(wordnet: WordNet, vocabulary: Vocabulary, entries: int, count: int, seed: int = 0) -> list[str]:
    """Everything to be learned: the vocabulary's own texts, ``entries`` of the dictionary, ``count`` phrases."""
    every = dictionary(wordnet)
    chosen = np.random.default_rng(seed).permutation(len(every))[:entries]
    words = [every[at] for at in np.sort(chosen)]
    own = [text for concept in vocabulary.concepts for text in concept.texts()]
    first = [name for concept in vocabulary.concepts for name in concept.names]
    rest = [word for word in words if len(word) < 25 and ":" not in word and "." not in word]
    order = np.random.default_rng(seed).permutation(len(rest))
    names = [*first, *(rest[at] for at in order[: 4 * len(first)])]
    return list(dict.fromkeys([*own, *words, *phrases(names, count, seed)]))


def _seen(wordnet: WordNet) -> set[str]:
    """The wnids of what one could see: the roots above and all that is below them."""
    children: dict[str, list[str]] = {}
    for synset in wordnet.synsets.values():
        for parent in synset.parents:
            children.setdefault(parent, []).append(synset.wnid)
    seen: set[str] = set()
    layer = [*_SEEN_ROOTS, *_SHOWN_ABSTRACTIONS]
    while layer:
        seen.update(layer)
        layer = [child for wnid in layer for child in children.get(wnid, []) if child not in seen]
    return seen

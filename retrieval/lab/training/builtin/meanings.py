"""What a noun means, for the text tower: a sentence encoder that is given a bare name knows little of the thing.

"Euphonium" alone lies near other rare words; with WordNet's definition and synonyms it lies near other brass
instruments, where a picture of one lies too. A tower that has learned names so finds more of what the image tower was
never told of. Distributional vectors were moved towards a lexicon before (Faruqui et al. 2015, "Retrofitting Word
Vectors to Semantic Lexicons"); here the teacher is moved, and the tower learns it by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from retrieval.lab.training.builtin.concepts import TEMPLATES
from retrieval.lab.training.builtin.wordnet import Synset, WordNet

MEANING = 0.4
"""How much of the definition, and of the synonyms, is added to a name, each of unit length. Between 0.3 and 0.8 little
changes for kinds that were hidden from the image tower; beyond, names become what they are kinds of."""

_SAID = ("{}", "a photo of a {}.")
"""Forms in which the synonyms are looked at."""

_SYNONYMS = 4

Encode = Callable[[list[str]], Tensor]


def meanings(wordnet: WordNet, names: Iterable[str]) -> dict[str, Synset]:
    """The sense that a picture would show, of each name that WordNet has as a whole."""
    found = {}
    for name in names:
        synset = wordnet.find(name)
        if synset is not None and name.lower() in (word.lower() for word in synset.words):
            found[name] = synset
    return found


def with_meanings(texts: Sequence[str], targets: Tensor, known: dict[str, Synset], encode: Encode) -> Tensor:
    """Targets of a lesson in which names, bare and in the templates of concepts, also mean what WordNet says of them.

    Args:
        texts: (n) of the lesson.
        targets: (n, d) of unit length.
        known: of :func:`meanings`.
        encode: texts to (m, d) of unit length, in the space of the targets.

    Returns:
        (n, d) of unit length; other texts' rows are as they were.
    """
    out = targets.clone()
    if not known:
        return out
    place = {text: at for at, text in enumerate(texts)}
    meaning = _vectors(list(dict.fromkeys(known.values())), encode)
    forms = [*TEMPLATES, "a {}", "an {}"]
    for name, synset in known.items():
        for at in {place[text] for form in forms if (text := form.format(name)) in place}:
            out[at] = F.normalize(targets[at] + MEANING * meaning[synset.wnid], dim=-1)
    return out


def _vectors(synsets: Sequence[Synset], encode: Encode) -> dict[str, Tensor]:
    """By wnid: (d,), the sum of a definition and of the mean of the synonyms, each of unit length."""
    defined = encode([f"{synset.words[0]}, {synset.definition}" for synset in synsets])
    written = [[form.format(word) for word in synset.words[:_SYNONYMS] for form in _SAID] for synset in synsets]
    said = torch.split(encode([text for texts in written for text in texts]), [len(texts) for texts in written])
    return {
        synset.wnid: one + F.normalize(words.mean(0), dim=-1)
        for synset, one, words in zip(synsets, defined, said, strict=True)
    }

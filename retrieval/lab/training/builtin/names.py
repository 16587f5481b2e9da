"""The texts used for training on pictures, at fixed positions in the common space.

The text part of the common space is spanned by the principal directions of the sentence encoder's embeddings of the
lesson: texts have positions before any picture is used, so both towers can be trained at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from retrieval.lab.training.builtin.concepts import Vocabulary
from retrieval.lab.training.builtin.looks import HUES, LOOK_TEXTS

COLOUR_TEXTS = {colour: f"a {colour} {{}}".replace("a orange", "an orange") for colour in HUES}
"""Colour words as people type them before the name of a thing."""

Encode = Callable[[list[str]], Tensor]


def principal(embeddings: Tensor, dim: int) -> Tensor:
    """(dim, d) float32 rows of unit length: the directions of largest second moment of (n, d) unit embeddings.

    Not centred, so that cosines are preserved as well as ``dim`` directions permit.
    """
    moments = torch.zeros(embeddings.shape[1], embeddings.shape[1], dtype=torch.float64)
    for start in range(0, len(embeddings), 50_000):
        part = embeddings[start : start + 50_000]
        moments += part.double().T @ part.double()
    directions: Tensor = torch.linalg.eigh(moments).eigenvectors.flip(1).T[:dim]
    return directions.float().contiguous()


class Names:
    """The concepts' texts in the common space.

    Attributes:
        written: (c, v, dim) of unit length: v wordings of each concept, of which the first ``counts`` (c,) are real.
        ensemble: (c, dim) of unit length: the mean over all wordings of each concept.
    """

    def __init__(self, vocabulary: Vocabulary, encode: Encode, common: Tensor) -> None:
        texts = [concept.texts() for concept in vocabulary.concepts]
        flat = F.normalize(encode([text for group in texts for text in group]) @ common.T, dim=-1)
        self.counts = torch.tensor([len(group) for group in texts])
        self.written = torch.zeros(len(texts), int(self.counts.max()), len(common))
        start = 0
        for at, group in enumerate(texts):
            self.written[at, : len(group)] = flat[start : start + len(group)]
            start += len(group)
        self.ensemble = F.normalize(self.written.sum(1), dim=-1)

    def __len__(self) -> int:
        return len(self.counts)

    def sample(self, generator: torch.Generator) -> Tensor:
        """(c, dim) of unit length: one wording of each concept, chosen at random."""
        pick = (torch.rand(len(self.counts), generator=generator) * self.counts).long()
        return self.written[torch.arange(len(pick)), pick]


def phrased(vocabulary: Vocabulary, forms: Sequence[str], encode: Encode, common: Tensor) -> Tensor:
    """(c, f, dim) of unit length: each class's first name in each form, such as "a red {}"; zero for others."""
    classes = [at for at, concept in enumerate(vocabulary.concepts) if concept.is_class]
    texts = [form.format(vocabulary.concepts[at].names[0]) for at in classes for form in forms]
    out = torch.zeros(len(vocabulary), len(forms), len(common))
    out[classes] = F.normalize(encode(texts) @ common.T, dim=-1).view(len(classes), len(forms), -1)
    return out


def looks_of(vocabulary: Vocabulary, encode: Encode, common: Tensor) -> Tensor:
    """:func:`phrased` with every look."""
    return phrased(vocabulary, list(LOOK_TEXTS.values()), encode, common)


def colours_of(vocabulary: Vocabulary, encode: Encode, common: Tensor) -> Tensor:
    """:func:`phrased` with every colour word."""
    return phrased(vocabulary, list(COLOUR_TEXTS.values()), encode, common)

"""The collections of the recipe, split, named, and mixed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.training.builtin.concepts import Vocabulary
from retrieval.training.builtin.pictures import Collection, prepared, split, tiny_imagenet
from retrieval.training.builtin.wordnet import WordNet

VALIDATION = 0.05
_WNID = re.compile(r"n\d{8}")


@dataclass
class Data:
    """Everything the stages take.

    Attributes:
        vocabulary: all concepts of all collections.
        train, validation: a collection each, in the same order.
        columns: for each collection, the concept column of every training picture.
        shares: how much of a batch each collection gives.
    """

    vocabulary: Vocabulary
    wordnet: WordNet
    train: list[Collection]
    validation: list[Collection]
    columns: list[NDArray[np.int64]]
    shares: list[float]

    def class_columns(self, collection: Collection) -> tuple[list[str], list[int]]:
        """The class names of a collection, sorted, and the concept column of each."""
        classes = sorted(set(collection.names))
        return classes, [column_of(self.vocabulary, name) for name in classes]


def column_of(vocabulary: Vocabulary, name: str) -> int:
    """The concept column of a class, given as a wnid or in words."""
    return vocabulary.add_synset(name) if _WNID.fullmatch(name) else vocabulary.add_name(name)


def gather(tiny: Path, extra: Path | None, wordnet: Path, cache: Path) -> Data:
    """Tiny ImageNet and every prepared collection under ``extra``.

    A collection's share grows with the square root of its size, so that small ones are seen often enough to count, and
    with the fourth root of the number of its kinds, because what the tower lacks is breadth; Tiny ImageNet has 60 %.
    """
    net = WordNet(wordnet)
    collections = [tiny_imagenet(tiny, cache)]
    if extra is not None:
        folders = sorted(folder for folder in extra.iterdir() if (folder / "captions.jsonl").exists())
        collections += [prepared(folder) for folder in folders if ".tmp" not in folder.name]
    vocabulary = Vocabulary(net)
    # Before the split: a kind with a single picture may be in the validation part only.
    column = {name: column_of(vocabulary, name) for each in collections for name in dict.fromkeys(each.names)}
    parts = [split(collection, VALIDATION) for collection in collections]
    columns = [np.array([column[name] for name in train.names], dtype=np.int64) for train, _ in parts]
    kinds = [len(set(train.names)) for train, _ in parts[1:]]
    weights = np.sqrt([len(train) for train, _ in parts[1:]]) * np.power(kinds, 0.25)
    rest = 0.40 if len(parts) > 1 else 0.0
    shares = [1 - rest, *(rest * weights / weights.sum()).tolist()]
    return Data(vocabulary, net, [t for t, _ in parts], [v for _, v in parts], columns, shares)

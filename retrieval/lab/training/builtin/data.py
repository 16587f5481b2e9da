"""The collections of the recipe: named, split, without pictures used for evaluation, and mixed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray
from torch import Tensor

from retrieval.errors import SettingsError
from retrieval.lab.training.builtin.concepts import Vocabulary
from retrieval.lab.training.builtin.grids import Grids, colours, read_grids
from retrieval.lab.training.builtin.wordnet import WordNet

logger = logging.getLogger("photoseek")

VALIDATION = 0.05
HIDDEN = 25
"""One in this many kinds is completely excluded from training, unless the body itself was trained on it."""

ALIKE = 0.85
"""Cosine of the body's features above which a picture is considered equal to one used for evaluation: other pictures
of the same kind rarely reach it (20 of 4,000 training pictures of Tiny ImageNet do)."""

_WNID = re.compile(r"n\d{8}")


@dataclass
class Part:
    """Rows of a collection.

    Attributes:
        grids: the whole collection.
        rows: (n,) positions in it.
        columns: (n,) concept column of each row.
    """

    grids: Grids
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class Data:
    """The input of the image stage.

    Attributes:
        vocabulary: all concepts of all collections.
        train: for training; validation: one in twenty pictures of the same kinds; hidden: pictures of kinds that
            are not used for training.
        kinds: (1000,) concept columns of the kinds that the body was trained on, in its order.
    """

    vocabulary: Vocabulary
    wordnet: WordNet
    train: list[Part]
    validation: list[Part]
    hidden: list[Part]
    kinds: NDArray[np.int64]


def column_of(vocabulary: Vocabulary, name: str) -> int:
    """The concept column of a class, given as a wnid or by name."""
    return vocabulary.add_synset(name) if _WNID.fullmatch(name) else vocabulary.add_name(name)


def gather(folder: Path, wordnet: Path, judging: Path | None, known: Sequence[str]) -> Data:
    """Every collection under ``folder``, without pictures that resemble one of those under ``judging``.

    Args:
        known: wnids of the body's kinds, in its order.

    Raises:
        SettingsError: there is no collection.
    """
    collections = [read_grids(each.parent) for each in sorted(folder.glob("*/views.jsonl"))]
    if not collections:
        raise SettingsError(f"there is no collection in {folder}", "make one with: features")
    net = WordNet(wordnet)
    vocabulary = Vocabulary(net)
    kinds = np.array([column_of(vocabulary, wnid) for wnid in known])
    column = {name: column_of(vocabulary, name) for each in collections for name in dict.fromkeys(_names(each))}
    hidden = {at for at in set(column.values()) - set(kinds.tolist()) if _is_hidden(vocabulary.concepts[at].key)}
    judged = _judged(judging)
    parts: dict[str, list[Part]] = {"train": [], "validation": [], "hidden": []}
    for each in collections:
        columns = np.array([column[row.name] for row in each.rows])
        sources = np.array([row.source for row in each.rows])
        alike = _alike(each, judged) if judged is not None else np.zeros(len(each), bool)
        dropped = alike[sources]
        held = np.random.default_rng(0).random(len(each))[sources] < VALIDATION
        unseen = np.isin(columns, list(hidden))
        logger.info(
            "%s: %d views, %d resemble judges, %d of hidden kinds", each.name, len(each), dropped.sum(), unseen.sum()
        )
        first = sources == np.arange(len(each))
        chosen = {
            "train": ~dropped & ~held & ~unseen,
            "validation": ~dropped & held & ~unseen & first,
            "hidden": ~dropped & unseen & first,
        }
        for name, rows in chosen.items():
            if rows.any():
                parts[name].append(Part(each, np.flatnonzero(rows), columns[rows]))
    return Data(vocabulary, net, parts["train"], parts["validation"], parts["hidden"], kinds)


def _names(each: Grids) -> Iterator[str]:
    return (row.name for row in each.rows)


def _is_hidden(key: str) -> bool:
    return int.from_bytes(blake3(key.encode()).digest(4)) % HIDDEN == 0


def _judged(folder: Path | None) -> Tensor | None:
    """(n, 1280) unit features of all pictures used for evaluation."""
    files = sorted(folder.glob("*/views.jsonl")) if folder is not None else []
    return torch.cat([_features(read_grids(each.parent)) for each in files]) if files else None


def _features(each: Grids) -> Tensor:
    found = torch.from_numpy(np.array(each.features, np.float32))
    return torch.nn.functional.normalize(found, dim=-1)


def _alike(each: Grids, judged: Tensor) -> NDArray[np.bool_]:
    """(n,) True for unmodified views that resemble a picture used for evaluation."""
    out = np.zeros(len(each), bool)
    first = np.flatnonzero([row.source == at for at, row in enumerate(each.rows)])
    features = torch.nn.functional.normalize(torch.from_numpy(np.array(each.features[first], np.float32)), dim=-1)
    for start in range(0, len(first), 2048):
        part = features[start : start + 2048]
        chunks = (judged[at : at + 8192] for at in range(0, len(judged), 8192))
        best = torch.stack([(part @ chunk.T).amax(1) for chunk in chunks]).amax(0)
        out[first[start : start + 2048]] = (best > ALIKE).numpy()
    return out


@dataclass
class Batch:
    """Outputs of the body: (n, 320, 7, 7), (n, 3, 28, 28) and (n, 1280) float32, with concepts, looks and colours.

    ``original`` are the features of the pictures from which the views were made.
    """

    grid: Tensor
    cells: Tensor
    features: Tensor
    original: Tensor
    columns: Tensor
    looks: list[str]
    colour_words: list[str | None]


class Mixture:
    """Random batches over several collections.

    A collection's share grows with the square root of its size, so that small ones have an effect, and
    with the fourth root of the number of its kinds, because the tower needs breadth.
    """

    def __init__(self, parts: Sequence[Part], seed: int) -> None:
        self._parts = parts
        weights = np.array([len(part) ** 0.5 * len(set(part.columns.tolist())) ** 0.25 for part in parts])
        self.shares = weights / weights.sum()
        self._random = np.random.default_rng(seed)
        self._queues = [self._endless(len(part)) for part in parts]

    def _endless(self, count: int) -> Iterator[int]:
        """Every view occurs once before any is repeated."""
        while True:
            yield from self._random.permutation(count).tolist()

    def draw(self, count: int) -> Batch:
        """``count`` views, half of them mirrored."""
        counts = self._random.multinomial(count, self.shares)
        taken = [
            take(part, np.array([next(queue) for _ in range(wanted)]))
            for part, queue, wanted in zip(self._parts, self._queues, counts.tolist(), strict=True)
            if wanted
        ]
        return _mirrored(_joined(taken), self._random)


def take(part: Part, places: NDArray[np.int64]) -> Batch:
    """The views at some positions of a part."""
    grids, rows = part.grids, part.rows[places]
    sources = np.array([grids.rows[at].source for at in rows.tolist()])
    return Batch(
        grid=torch.from_numpy(grids.grids[rows].astype(np.float32)),
        cells=colours(grids.cells[rows]),
        features=torch.from_numpy(grids.features[rows].astype(np.float32)),
        original=torch.from_numpy(grids.features[sources].astype(np.float32)),
        columns=torch.from_numpy(part.columns[places]),
        looks=[grids.rows[at].look for at in rows.tolist()],
        colour_words=[grids.rows[at].colour for at in rows.tolist()],
    )


def _joined(parts: Sequence[Batch]) -> Batch:
    def cat(name: str) -> Any:
        return torch.cat([getattr(part, name) for part in parts])

    return Batch(
        grid=cat("grid"),
        cells=cat("cells"),
        features=cat("features"),
        original=cat("original"),
        columns=cat("columns"),
        looks=[look for part in parts for look in part.looks],
        colour_words=[word for part in parts for word in part.colour_words],
    )


def _mirrored(batch: Batch, random: np.random.Generator) -> Batch:
    """Mirror half of the views: the body's grid of a mirrored picture is nearly the mirrored grid."""
    turned = torch.from_numpy(random.random(len(batch.columns)) < 0.5)
    for name in ("grid", "cells"):
        values: Tensor = getattr(batch, name)
        values[turned] = values[turned].flip(-1)
    return batch

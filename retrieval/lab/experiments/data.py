"""Pictures for training and testing: drawn here, from class folders, or Tiny ImageNet's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from indexes.base import Ids
from retrieval.encoders.base import Preprocessing
from retrieval.errors import QueryError
from retrieval.lab.evaluation.class_folders import Labelled, read_class_folders
from retrieval.lab.evaluation.probe import split_rows
from retrieval.lab.experiments.drawn import CLASSES, draw_pixels
from retrieval.lab.experiments.setting import Setting
from retrieval.lab.training.pairs import Pairs
from retrieval.lab.training.pixels import load_pictures
from retrieval.lab.training.small import MEAN, STD
from retrieval.lab.training.sources import Source

Name = TypeVar("Name")
DRAWN = "drawn here: twenty classes of a colour and a shape"


@dataclass(frozen=True)
class Data:
    """Pictures in memory, for the experiments.

    Attributes:
        source: a description of where they are from.
        names: of the classes.
        train, test: (n, 3, side, side) uint8.
        train_labels, test_labels: (n,) int64, rows of ``names``.
    """

    source: str
    names: tuple[str, ...]
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor

    @property
    def side(self) -> int:
        """Side in pixels, at least that of the models' input."""
        return int(self.train.shape[-1])

    def few(self, each: int, seed: int) -> Data:
        """At most ``each`` training pictures per class, drawn from ``seed``; the test pictures are the same."""
        rng = np.random.default_rng(seed)
        rows = torch.from_numpy(np.sort(_at_most(self.train_labels.numpy(), each, rng)))
        return replace(self, train=self.train[rows], train_labels=self.train_labels[rows])


def load(
    place: str | Path | None,
    setting: Setting,
    *,
    side: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Data:
    """The pictures of an experiment; the same ones for every seed.

    Args:
        place: a folder with one folder of pictures per class, or Tiny ImageNet's own, of which only ``train`` is
            used; None: pictures are drawn.
        side: side of the stored pictures in pixels; default: the models' input.
        on_progress: called with the number of decoded pictures, and of all.

    Raises:
        QueryError: no such folder, fewer than two classes, or too few pictures.
    """
    side = side or setting.size
    return _drawn(setting, side) if place is None else _from_folders(Path(place), setting, side, on_progress)


def _drawn(setting: Setting, side: int) -> Data:
    names = tuple(_evenly(CLASSES, setting.classes))
    train, train_labels = draw_pixels(names, setting.train, side, seed=0)
    test, test_labels = draw_pixels(names, setting.test, side, seed=1)
    return Data(DRAWN, names, *(torch.from_numpy(each) for each in (train, train_labels, test, test_labels)))


def _from_folders(place: Path, setting: Setting, side: int, on_progress: Callable[[int, int], None]) -> Data:
    found = _labelled(place.expanduser())
    rows, labels, names = _chosen(found, setting)
    pairs = Pairs(
        tuple(Source(found.paths[row]) for row in rows.tolist()),
        tuple((label,) for label in labels.tolist()),
        tuple((name,) for name in names),
    )
    loaded = load_pictures(pairs, Preprocessing(side, mean=MEAN, std=STD), on_progress=on_progress)
    labels = np.array([said[0] for said in loaded.pairs.said], dtype=np.int64)
    _, copies = np.unique(np.array([digest.hex() for digest in loaded.digests]), return_inverse=True)
    split = split_rows(labels, copies.astype(np.int64), share=setting.test / (setting.train + setting.test))
    pixels = torch.from_numpy(loaded.pixels(np.arange(len(loaded), dtype=np.int64)))
    train, test = torch.from_numpy(split.train), torch.from_numpy(split.test)
    known = torch.from_numpy(labels)
    return Data(place.name, names, pixels[train], known[train], pixels[test], known[test])


def _labelled(place: Path) -> Labelled:
    """Class folders; for Tiny ImageNet (``train``, ``val`` and ``words.txt``) those of ``train``, with their names."""
    words = place / "words.txt"
    if not (place / "train").is_dir():
        return read_class_folders(place)
    found = read_class_folders(place / "train", words if words.is_file() else None)
    return replace(found, names=tuple(name.partition(",")[0] for name in found.names))


def _chosen(found: Labelled, setting: Setting) -> tuple[Ids, Ids, tuple[str, ...]]:
    """Rows of the pictures to use, their classes numbered from 0, and the classes' names."""
    classes = _evenly(range(len(found.names)), setting.classes)
    number = np.full(len(found.names), -1, dtype=np.int64)
    number[classes] = np.arange(len(classes))
    labels = number[found.labels]
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(labels >= 0)
    rows = np.sort(rows[_at_most(labels[rows], setting.train + setting.test, rng)])
    sizes = np.bincount(labels[rows], minlength=len(classes))
    if sizes.min() < 2:
        name = found.names[classes[int(sizes.argmin())]]
        raise QueryError(f"the class {name!r} has fewer than two pictures", "give each class several")
    return rows, labels[rows], tuple(found.names[each] for each in classes)


def _at_most(labels: Ids, each: int, rng: np.random.Generator) -> Ids:
    """Rows of at most ``each`` pictures per class."""
    order = rng.permutation(len(labels))
    return np.concatenate([order[labels[order] == label][:each] for label in np.unique(labels)]).astype(np.int64)


def _evenly(names: Sequence[Name], count: int) -> list[Name]:
    if len(names) <= count:
        return list(names)
    return [names[at * len(names) // count] for at in range(count)]

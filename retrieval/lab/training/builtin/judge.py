"""Evaluation of a built-in model on pictures that it was not trained on, with the names of classes as queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from indexes.base import Vectors
from retrieval.encoders.base import Encoder, Pixels
from retrieval.errors import UnreadableImage
from retrieval.lab.evaluation.class_folders import pictures_by_class
from retrieval.lab.training.builtin.wordnet import WordNet
from retrieval.lab.training.sources import Source
from retrieval.labels.zeroshot import class_vectors
from retrieval.pictures.images import read_picture


def zero_shot(images: Tensor, classes: Tensor, labels: Tensor) -> dict[str, float]:
    """Top-1 and top-5 accuracy of (n, dim) images against (c, dim) classes, both of unit length; (n,) labels."""
    best = (images @ classes.T).topk(min(5, len(classes)), dim=1).indices
    right = best == labels[:, None]
    return {"top1": right[:, 0].float().mean().item(), "top5": right.any(1).float().mean().item()}


def precision_at(images: Tensor, queries: Tensor, relevant: Tensor, k: int = 10) -> float:
    """Mean fraction of relevant pictures among the k best (or all, if fewer) of each query: (q, n) ``relevant``."""
    best = (queries @ images.T).topk(min(k, len(images)), dim=1).indices
    return relevant.gather(1, best).float().mean().item()


def class_report(images: Tensor, classes: Tensor, labels: Tensor) -> dict[str, float]:
    """Both directions for one labelled collection: zero-shot accuracy, and text-to-image P@10 with a query per class.

    A label of -1 is a picture of none of the classes: it can be found by mistake, but is not classified.
    """
    relevant = labels[None, :] == torch.arange(len(classes))[:, None]
    shown = labels >= 0
    return {**zero_shot(images[shown], classes, labels[shown]), "p10": precision_at(images, classes, relevant)}


def alike(images: Tensor, labels: Tensor, k: int = 10, queries: int = 2000) -> float:
    """Mean fraction of pictures of the same class among the k nearest to a picture, without the picture itself."""
    shown = torch.nonzero(labels >= 0)[:, 0]
    chosen = shown[torch.randperm(len(shown), generator=torch.Generator().manual_seed(0))[:queries]]
    scores = images[chosen] @ images.T
    scores[torch.arange(len(chosen)), chosen] = -2
    best = scores.topk(min(k, len(images) - 1), dim=1).indices
    return (labels[best] == labels[chosen, None]).float().mean().item()


@dataclass(frozen=True)
class Judging:
    """A folder of class folders for evaluation.

    Attributes:
        files, labels: the pictures and the indices of their classes in ``names``; -1: none of them.
        names: the names of the classes.
    """

    files: tuple[Path, ...]
    labels: Tensor
    names: tuple[str, ...]


def judging(
    folder: Path, called: dict[str, str] | None = None, background: Sequence[str] = (), most: int = 0
) -> Judging:
    """Read a folder of class folders.

    Args:
        called: names of the classes; default: the folder's name with spaces for underscores.
        background: folders of pictures that belong to none of the classes.
        most: maximal number of pictures, drawn with a fixed seed; 0 for all.
    """
    found = sorted(pictures_by_class(folder.resolve()))
    classes = [name for name in dict.fromkeys(name for name, _ in found) if name not in background]
    place = {name: at for at, name in enumerate(classes)}
    if 0 < most < len(found):
        found = [found[at] for at in sorted(np.random.default_rng(0).choice(len(found), most, replace=False).tolist())]
    labels = torch.tensor([place.get(name, -1) for name, _ in found])
    words = tuple((called or {}).get(name, name.replace("_", " ").strip().lower()) for name in classes)
    return Judging(tuple(path for _, path in found), labels, words)


def called(folder: Path, wordnet: Path) -> dict[str, str]:
    """The first WordNet name of each class folder that is named by its wnid."""
    wnids = [each.name for each in folder.iterdir() if each.name[:1] == "n" and each.name[1:].isdigit()]
    net = WordNet(wordnet) if wnids else None
    return {wnid: net.synsets[wnid].words[0] for wnid in wnids} if net else {}


def judge_folder(encoder: Encoder, judge: Judging, images: Tensor, labels: Tensor) -> dict[str, float]:
    """:func:`class_report` and :func:`alike` of :func:`embedded_pictures`; each class is the mean of its prompts."""
    vectors = torch.from_numpy(class_vectors(encoder, list(judge.names), encoder.spec.prompt_templates))
    return {**class_report(images, vectors, labels), "similar": alike(images, labels), "pictures": len(labels)}


def embedded_pictures(encoder: Encoder, judge: Judging) -> tuple[Tensor, Tensor]:
    """Encode the files as users would: (n, dim) embeddings of the readable ones, and their (n,) labels."""

    def some(start: int) -> tuple[Vectors, list[int]]:
        read = list(_pictures(encoder, judge.files[start : start + encoder.batch_size], start))
        if not read:
            return np.empty((0, encoder.spec.dim), np.float32), []
        return encoder.encode_images(np.stack([pixels for _, pixels in read])), [at for at, _ in read]

    with ThreadPoolExecutor(encoder.streams) as pool:
        parts = list(pool.map(some, range(0, len(judge.files), encoder.batch_size)))
    places = [at for _, some_places in parts for at in some_places]
    return torch.from_numpy(np.concatenate([vectors for vectors, _ in parts])), judge.labels[places]


def picture_of(encoder: Encoder, file: Path) -> Pixels | None:
    """(3, size, size) uint8, the input of the encoder; None if the picture cannot be read."""
    try:
        return read_picture(Source(file).read(), encoder.spec.preprocessing).pixels
    except (UnreadableImage, OSError):
        return None


def _pictures(encoder: Encoder, files: Sequence[Path], first: int) -> Iterator[tuple[int, Pixels]]:
    for at, file in enumerate(files, first):
        if (pixels := picture_of(encoder, file)) is not None:
            yield at, pixels

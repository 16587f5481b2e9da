"""How good a built-in model is on pictures that it was not trained on, with the names of classes as queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retrieval.encoders.files.description import read_encoder_folder
from retrieval.encoders.onnx.encoder import OnnxEncoder
from retrieval.errors import UnreadableImage
from retrieval.lab.evaluation.class_folders import pictures_by_class
from retrieval.lab.training.builtin.looks import HUES, recoloured
from retrieval.lab.training.builtin.names import COLOUR_TEXTS
from retrieval.lab.training.sources import Source
from retrieval.labels.zeroshot import class_vectors
from retrieval.pictures.images import read_picture


def zero_shot(images: Tensor, classes: Tensor, labels: Tensor) -> dict[str, float]:
    """Top-1 and top-5 accuracy of (n, dim) images against (c, dim) classes, both of unit length; (n,) labels."""
    best = (images @ classes.T).topk(min(5, len(classes)), dim=1).indices
    right = best == labels[:, None]
    return {"top1": right[:, 0].float().mean().item(), "top5": right.any(1).float().mean().item()}


def precision_at(images: Tensor, queries: Tensor, relevant: Tensor, k: int = 10) -> float:
    """Mean share of relevant pictures among the k best (or all, if fewer) of each query: (q, n) bool ``relevant``."""
    best = (queries @ images.T).topk(min(k, len(images)), dim=1).indices
    return relevant.gather(1, best).float().mean().item()


def class_report(images: Tensor, classes: Tensor, labels: Tensor) -> dict[str, float]:
    """Both ways over one labelled collection: zero-shot accuracy, and text-to-image P@10 with a query per class.

    A label of -1 is a picture of none of the classes: it can be found by mistake, and is not asked for its class.
    """
    relevant = labels[None, :] == torch.arange(len(classes))[:, None]
    shown = labels >= 0
    return {**zero_shot(images[shown], classes, labels[shown]), "p10": precision_at(images, classes, relevant)}


def alike(images: Tensor, labels: Tensor, k: int = 10, queries: int = 2000) -> float:
    """Mean share, among the k nearest to a picture of a class, of pictures of its class; itself is left out."""
    shown = torch.nonzero(labels >= 0)[:, 0]
    chosen = shown[torch.randperm(len(shown), generator=torch.Generator().manual_seed(0))[:queries]]
    scores = images[chosen] @ images.T
    scores[torch.arange(len(chosen)), chosen] = -2
    best = scores.topk(min(k, len(images) - 1), dim=1).indices
    return (labels[best] == labels[chosen, None]).float().mean().item()


@dataclass(frozen=True)
class Judging:
    """A folder of class folders as a judge.

    Attributes:
        files, labels: the pictures and the places of their classes in ``names``; -1: of none of them.
        names: what the classes are called.
    """

    files: tuple[Path, ...]
    labels: Tensor
    names: tuple[str, ...]


def judging(folder: Path, called: dict[str, str] | None = None, background: Sequence[str] = ()) -> Judging:
    """Read a folder of class folders.

    Args:
        called: what a class is called in words; default: its folder's name without underscores.
        background: folders of pictures of nothing that is asked for.
    """
    found = sorted(pictures_by_class(folder.resolve()))
    classes = [name for name in dict.fromkeys(name for name, _ in found) if name not in background]
    place = {name: at for at, name in enumerate(classes)}
    labels = torch.tensor([place.get(name, -1) for name, _ in found])
    words = tuple((called or {}).get(name, name.replace("_", " ").strip().lower()) for name in classes)
    return Judging(tuple(path for _, path in found), labels, words)


def judge_folder(model: Path, judge: Judging) -> dict[str, float]:
    """:func:`class_report` of a written model, and :func:`alike`, run as users run it: the files through its image
    tower, each class as the ensemble of its prompts."""
    encoder = OnnxEncoder(read_encoder_folder(model))
    images, read = _embedded(encoder, judge.files)
    labels = judge.labels[read]
    vectors = torch.from_numpy(class_vectors(encoder, list(judge.names), encoder.spec.prompt_templates))
    return {**class_report(images, vectors, labels), "similar": alike(images, labels), "pictures": len(labels)}


def hues(model: Path, judge: Judging, count: int = 600) -> dict[str, float]:
    """Share of recoloured pictures for which the right one of the colour words is nearest ("a red car"); and chance.

    Each of ``count`` pictures that has a main colour is turned to every hue.
    """
    encoder = OnnxEncoder(read_encoder_folder(model))
    order = torch.randperm(len(judge.files), generator=torch.Generator().manual_seed(0)).tolist()
    pixels: list[np.ndarray] = []
    words: list[str] = []
    for at in order:
        if len(words) >= count:
            break
        picture = _square(encoder, judge.files[at])
        turned = [recoloured(picture, colour) for colour in HUES] if picture and judge.labels[at] >= 0 else [None]
        if None not in turned:
            pixels += [np.asarray(each).transpose(2, 0, 1) for each in turned if each is not None]
            words.append(judge.names[int(judge.labels[at])])
    images = torch.from_numpy(encoder.encode_images(np.stack(pixels))).view(len(words), len(HUES), -1)
    texts = encoder.encode_texts([form.format(word) for word in words for form in COLOUR_TEXTS.values()])
    vectors = torch.from_numpy(texts).view(len(words), len(HUES), -1)
    best = torch.einsum("nhd,ncd->nhc", images, vectors).argmax(-1)
    right = (best == torch.arange(len(HUES))).float().mean().item()
    return {"hues": right, "chance": 1 / len(HUES), "pictures": len(words)}


def _square(encoder: OnnxEncoder, file: Path) -> Image.Image | None:
    try:
        pixels = read_picture(Source(file).read(), encoder.spec.preprocessing).pixels
    except (UnreadableImage, OSError):
        return None
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _embedded(encoder: OnnxEncoder, files: Sequence[Path]) -> tuple[Tensor, list[int]]:
    """Embeddings of the files that can be read, and their places."""
    parts: list[Tensor] = []
    places: list[int] = []
    for start in range(0, len(files), 256):
        pictures = list(_pictures(encoder, files[start : start + 256], start))
        if pictures:
            places += [at for at, _ in pictures]
            parts.append(torch.from_numpy(encoder.encode_images(np.stack([pixels for _, pixels in pictures]))))
    return torch.cat(parts), places


def _pictures(encoder: OnnxEncoder, files: Sequence[Path], first: int) -> Iterator[tuple[int, np.ndarray]]:
    for at, file in enumerate(files, first):
        try:
            yield at, read_picture(Source(file).read(), encoder.spec.preprocessing).pixels
        except (UnreadableImage, OSError):
            continue

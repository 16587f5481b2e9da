"""How good a built-in model is on pictures that it was not trained on, with the names of classes as queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from retrieval.encoders.description import read_encoder_folder
from retrieval.encoders.onnx import OnnxEncoder
from retrieval.labels.zeroshot import class_vectors
from retrieval.training.builtin.pictures import Collection

if TYPE_CHECKING:
    from retrieval.training.builtin.data import Data


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
    """Both ways over one labelled collection: zero-shot accuracy, and text-to-image P@10 with a query per class."""
    relevant = labels[None, :] == torch.arange(len(classes))[:, None]
    return {**zero_shot(images, classes, labels), "p10": precision_at(images, classes, relevant)}


def judge_folder(model: Path, collection: Collection, data: Data) -> dict[str, float]:
    """:func:`class_report` of a written model on one collection, run as users run it: the pictures through its image
    tower, each class as the ensemble of its prompts."""
    encoder = OnnxEncoder(read_encoder_folder(model))
    size = encoder.spec.preprocessing.size
    pixels = np.empty((len(collection), size, size, 3), np.uint8)
    for at, row in enumerate(collection.pixels):
        pixels[at] = np.asarray(Image.fromarray(row).resize((size, size), Image.Resampling.BICUBIC))
    images = torch.from_numpy(encoder.encode_images(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))))
    classes, columns = data.class_columns(collection)
    names = [data.vocabulary.concepts[column].names[0] for column in columns]
    vectors = torch.from_numpy(class_vectors(encoder, names, encoder.spec.prompt_templates))
    return class_report(images, vectors, labels_of(collection, classes))


def labels_of(collection: Collection, classes: list[str]) -> Tensor:
    """(n,) position of each picture's class name in ``classes``."""
    place = {name: at for at, name in enumerate(classes)}
    return torch.tensor([place[name] for name in collection.names])

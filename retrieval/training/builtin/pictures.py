"""Training pictures in memory, and how a batch of them is varied."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retrieval.errors import SettingsError
from retrieval.training.augment import normalised

MEAN = (0.480, 0.457, 0.408)
STD = (0.269, 0.261, 0.276)


@dataclass
class Collection:
    """Pictures of one source.

    Attributes:
        name: of the source.
        pixels: (n, side, side, 3) uint8; memory-mapped where it is large.
        names: (n,) class name of each picture; a wnid where it begins with ``n`` and eight digits.
        captions: (n,) further texts of each picture; may be empty.
    """

    name: str
    pixels: NDArray[np.uint8]
    names: list[str]
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, places: NDArray[np.int64]) -> Collection:
        """The pictures at ``places``."""
        pick = places.tolist()
        return Collection(
            self.name, self.pixels[places], [self.names[i] for i in pick], [self.captions[i] for i in pick]
        )


def tiny_imagenet(folder: Path, cache: Path, part: str = "train") -> Collection:
    """Tiny ImageNet's 100,000 training pictures (or the 10,000 of ``val``), decoded once into ``cache``."""
    if part == "train":
        files = sorted((folder / "train").glob("n*/images/*.JPEG"))
        names = [file.parent.parent.name for file in files]
    else:
        lines = (folder / "val" / "val_annotations.txt").read_text(encoding="utf-8").splitlines()
        listed = [line.split("\t")[:2] for line in lines]
        files = [folder / "val" / "images" / name for name, _ in listed]
        names = [wnid for _, wnid in listed]
    if not files:
        raise SettingsError(f"no Tiny ImageNet in {folder}", "give the folder that holds train/ and val/")
    stored = cache / f"tiny-{part}.npy"
    if not stored.exists():
        pixels = np.empty((len(files), 64, 64, 3), np.uint8)
        for at, file in enumerate(files):
            with Image.open(file) as picture:
                pixels[at] = np.asarray(picture.convert("RGB"))
        np.save(stored, pixels)
    return Collection(f"tiny-{part}", np.load(stored, mmap_mode="r"), names, [[] for _ in names])


def prepared(folder: Path) -> Collection:
    """A folder with ``pictures.npy`` (n, side, side, 3) uint8 and ``captions.jsonl``.

    Each line of the latter is ``{"class": "apple", "captions": ["a red apple", ...]}``.
    """
    pixels = np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False)
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    if len(rows) != len(pixels):
        raise SettingsError(f"{folder}: {len(pixels)} pictures, {len(rows)} captions", "prepare the folder again")
    return Collection(folder.name, pixels, [row["class"] for row in rows], [row["captions"] for row in rows])


def split(collection: Collection, share: float, seed: int = 0) -> tuple[Collection, Collection]:
    """Training and validation pictures, by picture."""
    order = np.random.default_rng(seed).permutation(len(collection))
    cut = int(len(order) * share)
    return collection.take(np.sort(order[cut:])), collection.take(np.sort(order[:cut]))


class Mixture:
    """Random batches over several collections.

    Args:
        collections: what to draw from.
        shares: how much of a batch each gives; they sum to 1.
    """

    def __init__(self, collections: Sequence[Collection], shares: Sequence[float], seed: int) -> None:
        self._collections = collections
        self._shares = np.asarray(shares) / np.sum(shares)
        self._random = np.random.default_rng(seed)
        self._queues = [self._endless(len(c)) for c in collections]

    def _endless(self, count: int) -> Iterator[int]:
        """Every picture once before any comes twice."""
        while True:
            yield from self._random.permutation(count).tolist()

    def draw(self, count: int, size: int) -> tuple[Tensor, list[tuple[int, int]]]:
        """(count, 3, size, size) float32, normalised and varied; and (collection, place) of each picture."""
        counts = self._random.multinomial(count, self._shares)
        groups: dict[int, list[NDArray[np.uint8]]] = {}
        order: dict[int, list[tuple[int, int]]] = {}
        for at, (collection, wanted) in enumerate(zip(self._collections, counts.tolist(), strict=True)):
            if wanted:
                places = np.sort([next(self._queues[at]) for _ in range(wanted)])
                side = collection.pixels.shape[1]
                groups.setdefault(side, []).append(collection.pixels[places])
                order.setdefault(side, []).extend((at, place) for place in places.tolist())
        parts = [
            vary(torch.from_numpy(np.concatenate(group)).permute(0, 3, 1, 2).float() / 255, size, self._random)
            for group in groups.values()
        ]
        which = [place for group in order.values() for place in group]
        return normalised(torch.cat(parts), MEAN, STD), which


def vary(pixels: Tensor, size: int, random: np.random.Generator) -> Tensor:
    """Random crop, mirror, now and then on an empty ground, random light: (n, 3, H, W) to (n, 3, size, size)."""
    n = len(pixels)
    area = random.uniform(0.45, 1.0, n)
    ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3), n))
    width, height = np.minimum(np.sqrt(area * ratio), 1), np.minimum(np.sqrt(area / ratio), 1)
    shrunk = random.random(n) < 0.08  # a thing on white paper, or a picture with borders
    grown = random.uniform(1.0, 1.5, n)
    width, height = np.where(shrunk, grown, width), np.where(shrunk, grown, height)
    room_x, room_y = np.abs(1 - width), np.abs(1 - height)
    x, y = random.uniform(-room_x, room_x), random.uniform(-room_y, room_y)
    mirror = np.where(random.random(n) < 0.5, -1.0, 1.0)
    zero = np.zeros(n)
    affine = np.stack([np.stack([width * mirror, zero, x], 1), np.stack([zero, height, y], 1)], 1)
    grid = F.affine_grid(torch.from_numpy(affine).float(), [n, 3, size, size], align_corners=False)
    ground = torch.from_numpy(random.choice([0.0, 0.5, 1.0, 1.0, 1.0], n)).float().view(n, 1, 1, 1)
    out = F.grid_sample(pixels - ground, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + ground

    def factor(low: float) -> Tensor:
        return torch.from_numpy(random.uniform(low, 2 - low, n)).float().view(n, 1, 1, 1)

    out = out * factor(0.7)
    mean = out.mean((1, 2, 3), keepdim=True)
    out = (out - mean) * factor(0.7) + mean
    grey = out.mean(1, keepdim=True)
    strength = torch.where(torch.from_numpy(random.random(n) < 0.05).view(n, 1, 1, 1), torch.zeros(()), factor(0.6))
    return (grey + (out - grey) * strength).clamp_(0, 1)


def plain(pixels: NDArray[np.uint8], size: int) -> Tensor:
    """Pictures as a query or a gallery would give them: whole, scaled, normalised."""
    batch = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    if batch.shape[-1] != size:
        batch = F.interpolate(batch, (size, size), mode="bicubic", antialias=True).clamp_(0, 1)
    return normalised(batch, MEAN, STD)

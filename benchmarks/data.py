"""Test data in a cache folder: generated once from fixed seeds, then reused."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.measure import tell
from benchmarks.model import NAME, write_random_model
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.indexing.scan import walk

Kind = Literal["thumbnail", "small", "large"]
SIDES: dict[Kind, tuple[int, int]] = {"thumbnail": (160, 120), "small": (500, 375), "large": (4032, 3024)}
_GRAIN: dict[Kind, float] = {"thumbnail": 4.0, "small": 13.0, "large": 5.0}
_QUALITY = 90
_FILES_PER_FOLDER = 1000
_PHOTOS_PER_FOLDER = 500
_PICTURES = 1000  # maximal number of different ones in a tree of photos
_YEARS = 20


class Data:
    """The cache folder. Missing data are generated on request; incomplete data are never used."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    @property
    def models(self) -> Path:
        """The models folder for measured commands (PHOTOSEEK_MODELS)."""
        return self.root / "models"

    def random_model(self) -> Path:
        """A model folder with the cost of ViT-B-32-256."""
        return self.made(f"models/{NAME}", write_random_model)

    def pictures(self, kind: Kind, count: int) -> Path:
        """A folder of generated JPEGs of about 3 KB, 100 KB or 3 MB each."""
        return self.made(f"{kind}-{count}", partial(_write_pictures, kind=kind, count=count))

    def tree(self, count: int) -> Path:
        """A tree of tiny files with names of pictures, 1000 per folder; they are listed, never opened."""
        return self.made(f"tree-{count}", partial(_write_tree, count=count))

    def photos(self, count: int) -> Path:
        """A tree of decodable pictures, by year, 500 per folder: hard links to 1,000 files."""
        pictures = self.pictures("small", min(count, _PICTURES))
        return self.made(f"photos-{count}", partial(_write_photos, pictures=pictures, count=count))

    def sample(self, photos: Path, count: int) -> Path:
        """Links to at most ``count`` pictures sampled evenly from ``photos``; a new folder each time."""
        files = [os.path.join(folder.path, file.name) for folder in walk(photos) for file in folder.files]
        target = self.root / f"sample-{count}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for number in range(min(count, len(files))):
            source = Path(files[number * len(files) // min(count, len(files))])
            (target / f"{number:06d}{source.suffix}").symlink_to(source)
        return target

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder for one measurement, on the disk of the other data because /tmp may be in memory."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root, prefix=".scratch-") as folder:
            yield Path(folder)

    def made(self, name: str, write: Callable[[Path], None]) -> Path:
        """The folder ``name``; ``write`` fills a temporary folder that is renamed when it is complete."""
        target = self.root / name
        if not target.exists():
            tell(f"making {target}")
            staging = target.with_name(f".{target.name}.partial")
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            write(staging)
            staging.rename(target)
        return target


def _write_tree(folder: Path, *, count: int) -> None:
    for number in range(count):
        below = folder / f"{number // _FILES_PER_FOLDER:04d}"
        if number % _FILES_PER_FOLDER == 0:
            below.mkdir()
        (below / f"IMG_{number:06d}.jpg").write_bytes(b"-")


def _write_photos(folder: Path, *, pictures: Path, count: int) -> None:
    files = sorted(pictures.iterdir())
    for number in range(count):
        year = 2005 + number * _YEARS // count
        below = folder / str(year) / f"{number // _PHOTOS_PER_FOLDER:04d}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"IMG_{number:06d}.jpg").hardlink_to(files[number % len(files)])


def _write_pictures(folder: Path, *, kind: Kind, count: int) -> None:
    def write(number: int) -> None:
        picture(number, kind).save(folder / f"{number:06d}.jpg", quality=_QUALITY)

    with ThreadPoolExecutor(available_cpus()) as pool:
        for batch in _in_batches(iter(range(count)), 256):
            list(pool.map(write, batch))


def picture(seed: int, kind: Kind) -> Image.Image:
    """A picture with the statistics that determine the time of a JPEG decoder.

    Noise of several octaves (power falls with frequency, as in photographs), shapes with hard edges, and sensor
    noise. A large one is the same composition scaled up, with sensor noise at full resolution.
    """
    rng = np.random.default_rng((seed, SIDES[kind][0]))
    width, height = SIDES[kind]
    side = SIDES["small"] if kind == "large" else SIDES[kind]
    image = _shapes(_octaves(rng, side), rng).resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.standard_normal((height, width, 1), np.float32) * np.float32(_GRAIN[kind])
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _octaves(rng: np.random.Generator, side: tuple[int, int]) -> Image.Image:
    total = np.zeros((side[1], side[0], 3), np.float32)
    cells, strength = 2, 70.0
    while cells < side[0] // 2:
        noise: NDArray[np.uint8] = rng.integers(0, 256, (cells * 3 // 4 + 1, cells, 3), np.uint8)
        scaled = Image.fromarray(noise).resize(side, Image.Resampling.BICUBIC)
        total += (np.asarray(scaled, np.float32) - 127.5) * np.float32(strength / 127.5)
        cells, strength = cells * 2, strength * 0.62
    return Image.fromarray(np.clip(total + rng.integers(90, 160), 0, 255).astype(np.uint8))


def _shapes(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(12):
        corner = rng.integers(0, image.width, 2)
        extent = rng.integers(8, max(9, image.width // 4), 2)
        box = [int(corner[0]), int(corner[1]), int(corner[0] + extent[0]), int(corner[1] + extent[1])]
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=(*colour, 170))
    return image


def _in_batches(items: Iterator[int], size: int) -> Iterator[list[int]]:
    while batch := list(islice(items, size)):
        yield batch

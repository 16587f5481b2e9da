"""A folder of class folders as a collection of the recipe: small pictures in one array, and what they are called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import SettingsError, UnreadableImage
from retrieval.evaluation.class_folders import pictures_by_class
from retrieval.pictures.images import read_cut_out, read_picture
from retrieval.training.sources import Source

SIDE = 96
"""Half as much again as the tower sees, so that a crop of half the area still has a pixel for each of its own."""

_WHITE, _PALE = 0.55, 0.85
"""Shares of drawings on white, and on white or a pale ground; the rest stand on a dark one."""


@dataclass
class Prepared:
    """What became of a folder: pictures written, and why each of the others was not."""

    pictures: int
    classes: int
    problems: list[tuple[Path, str]]


def prepare(folder: Path, out: Path, *, at_most: int = 1500, drawings: bool = False, seed: int = 0) -> Prepared:
    """Write ``pictures.npy`` and ``captions.jsonl`` as :func:`.pictures.prepared` reads them.

    Args:
        folder: holds a folder for each class, called by its wnid or in words (underscores as blanks).
        out: the collection's own folder, which is made.
        at_most: pictures of a class, chosen at random.
        drawings: the pictures are cut-outs: they are shown whole, on white, pale and dark grounds.
        seed: of what is left to chance.

    Raises:
        SettingsError: there is no such folder, or no class folder has a picture that can be read.
    """
    if not folder.is_dir():
        raise SettingsError(f"there is no folder {folder}", "give a folder with a folder of pictures for each class")
    random = np.random.default_rng(seed)
    pixels: list[NDArray[np.uint8]] = []
    rows: list[dict[str, object]] = []
    problems: list[tuple[Path, str]] = []
    by_class: dict[str, list[Path]] = {}
    for name, path in sorted(pictures_by_class(folder.resolve())):
        by_class.setdefault(name, []).append(path)
    for name, files in by_class.items():
        for at in np.sort(random.permutation(len(files))[:at_most]).tolist():
            try:
                data = Source(files[at]).read()
                pixels.append(_on_ground(data, random) if drawings else _centre(data))
                rows.append({"class": name.replace("_", " ").strip(), "captions": []})
            except (UnreadableImage, OSError) as error:
                problems.append((files[at], str(error)))
    if not pixels:
        raise SettingsError(f"{folder} has no class folder with a picture in it", "give folder/class/picture")
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "pictures.npy", np.stack(pixels))
    (out / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return Prepared(len(rows), len({str(row["class"]) for row in rows}), problems)


def _centre(data: bytes) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3): a photo as every photo reaches the tower."""
    return read_picture(data, Preprocessing(SIDE)).pixels.transpose(1, 2, 0)


def _on_ground(data: bytes, random: np.random.Generator) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3): what is drawn, cut out where it is transparent, on a square ground of one colour."""
    drawing = read_cut_out(data)
    drawing = drawing.crop(drawing.getchannel("A").getbbox())
    side = round(max(drawing.size) * random.uniform(1.0, 1.25))
    luck = random.random()
    low, high = (255, 256) if luck < _WHITE else (150, 256) if luck < _PALE else (0, 160)
    ground = Image.new("RGB", (side, side), tuple(int(value) for value in random.integers(low, high, 3)))
    ground.paste(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2), drawing)
    return np.asarray(ground.resize((SIDE, SIDE), Image.Resampling.LANCZOS))

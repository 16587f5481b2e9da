"""The output of the frozen body for every view, computed once: training the rest of the tower then costs a tenth.

A collection is a folder: ``views.jsonl`` (one line per view: class, look, colour, the line of its original),
``grids.bin`` (n, 320, 7, 7) and ``features.bin`` (n, 1280), both float16, and ``cells.bin`` (n, 3, 28, 28) uint8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from retrieval.encoders.onnx.encoder import shared_core
from retrieval.encoders.torch.graph import write_graph
from retrieval.errors import SettingsError, UnreadableImage
from retrieval.lab.evaluation.class_folders import pictures_by_class
from retrieval.lab.training.builtin.views import Making, View, views_of
from retrieval.lab.training.hybrid import CELL
from retrieval.lab.training.lite import FEATURES, GRID_CHANNELS, MEAN, SIZE, STD, LiteBody

_BATCH = 32
_SIDE = SIZE // 32


@dataclass(frozen=True)
class Row:
    """A view: the class (a wnid, or a name), its look, its colour word, and the row of its original."""

    name: str
    look: str
    colour: str | None
    source: int


@dataclass
class Grids:
    """A collection of the body's outputs for views; the arrays are on disk."""

    name: str
    rows: list[Row]
    grids: NDArray[np.float16]
    features: NDArray[np.float16]
    cells: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.rows)


def read_grids(folder: Path) -> Grids:
    """Read a collection written by :func:`write_grids`.

    Raises:
        SettingsError: its files do not match.
    """
    lines = (folder / "views.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [Row(*json.loads(line)) for line in lines]
    shapes = ((GRID_CHANNELS, _SIDE, _SIDE), (FEATURES,), (3, SIZE // CELL, SIZE // CELL))
    arrays: list[Any] = []
    for name, kind, shape in zip(
        ("grids", "features", "cells"), (np.float16, np.float16, np.uint8), shapes, strict=True
    ):
        array = np.memmap(folder / f"{name}.bin", kind, "r")
        if array.size != len(rows) * int(np.prod(shape)):
            raise SettingsError(f"{folder}: {name}.bin and views.jsonl do not agree", "make the collection again")
        arrays.append(array.reshape(len(rows), *shape))
    return Grids(folder.name, rows, *arrays)


@dataclass
class Written:
    """The result for a folder: numbers of pictures and views written, and why each other picture was left out."""

    pictures: int
    views: int
    classes: int
    problems: list[tuple[Path, str]]


def write_grids(
    folder: Path, out: Path, run: BodyRun, making: Making, *, at_most: int = 1500, seed: int = 0
) -> Written:
    """Make the views of the pictures in class folders and store the body's outputs.

    Args:
        folder: has one folder per class, named by its wnid or in words (with underscores for spaces).
        out: the collection's folder, which is created.
        run: the body.
        at_most: maximal number of pictures per class, chosen at random.

    Raises:
        SettingsError: there is no such folder, or no class folder has a readable picture.
    """
    if not folder.is_dir():
        raise SettingsError(f"there is no folder {folder}", "give a folder with a folder of pictures for each class")
    random = np.random.default_rng(seed)
    by_class: dict[str, list[Path]] = {}
    for name, path in sorted(pictures_by_class(folder.resolve())):
        by_class.setdefault(name, []).append(path)
    chosen = [
        (name.replace("_", " ").strip(), files[at])
        for name, files in by_class.items()
        for at in np.sort(random.permutation(len(files))[:at_most]).tolist()
    ]
    done = Written(0, 0, 0, [])
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / "views.part"
    with (
        unfinished.open("w", encoding="utf-8") as lines,
        (out / "grids.bin").open("wb") as grids,
        (out / "features.bin").open("wb") as features,
        (out / "cells.bin").open("wb") as cells,
    ):
        for pixels, rows in _batches(_made(chosen, making, seed, done)):
            grid, feature, cell = run(pixels)
            lines.writelines(json.dumps(list(vars(row).values())) + "\n" for row in rows)
            for file, array in ((grids, grid), (features, feature), (cells, cell)):
                file.write(array.tobytes())
            done.views += len(rows)
    if not done.views:
        raise SettingsError(f"{folder} has no class folder with a picture in it", "give folder/class/picture")
    done.classes = len({json.loads(line)[0] for line in unfinished.read_text(encoding="utf-8").splitlines()})
    unfinished.replace(out / "views.jsonl")
    return done


def _made(
    chosen: list[tuple[str, Path]], making: Making, seed: int, done: Written
) -> Iterator[tuple[NDArray[np.uint8], Row]]:
    """The views of all pictures in order; each picture's random choices depend only on its position and the seed."""

    def make(at: int) -> list[View] | str:
        try:
            return list(views_of(chosen[at][1], making, np.random.default_rng((seed, at))))
        except (UnreadableImage, OSError) as error:
            return str(error)

    count = 0
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(chosen), 256):
            part = range(start, min(start + 256, len(chosen)))
            for at, made in zip(part, pool.map(make, part), strict=True):
                if isinstance(made, str):
                    done.problems.append((chosen[at][1], made))
                    continue
                done.pictures += 1
                source = count
                for view in made:
                    yield view.pixels, Row(chosen[at][0], view.look, view.colour, source)
                    count += 1


def _batches(
    views: Iterable[tuple[NDArray[np.uint8], Row]],
) -> Iterator[tuple[NDArray[np.uint8], list[Row]]]:
    pixels: list[NDArray[np.uint8]] = []
    rows: list[Row] = []
    for picture, row in views:
        pixels.append(picture)
        rows.append(row)
        if len(rows) == _BATCH:
            yield np.stack(pixels), rows
            pixels, rows = [], []
    if rows:
        yield np.stack(pixels), rows


class BodyRun:
    """The body and its head in the engine used for galleries, several times as fast as on torch.

    Args:
        exact: in float32 even if the engine would choose bfloat16.
    """

    def __init__(self, body: LiteBody, *, exact: bool = False) -> None:
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", **({"INFERENCE_PRECISION_HINT": "f32"} if exact else {})}
        with TemporaryDirectory() as folder:
            file = Path(folder) / "body.onnx"
            write_graph(_Both(body), torch.zeros(2, 3, SIZE, SIZE), file, input_name="pixels", dynamic={0: "n"})
            self._compiled = shared_core().compile_model(file, "CPU", settings)

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.uint8]]:
        """(n, 224, 224, 3) to (n, 320, 7, 7), (n, 1280), and (n, 3, 28, 28) mean colours."""
        n = len(pixels)
        planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        mean, std = (np.array(v, np.float32)[:, None, None] * 255 for v in (MEAN, STD))
        found = self._compiled((planes - mean) / std)
        flat = np.array(found[0], np.float32)
        grid = flat[:, : GRID_CHANNELS * _SIDE**2].reshape(n, GRID_CHANNELS, _SIDE, _SIDE)
        side = SIZE // CELL
        cell = planes.reshape(n, 3, side, CELL, side, CELL).mean((3, 5))
        features = flat[:, GRID_CHANNELS * _SIDE**2 :]
        return grid.astype(np.float16), features.astype(np.float16), np.rint(cell).astype(np.uint8)


class _Both(nn.Module):
    """The body's grid and the mean of its head's features, concatenated, because a graph has one output here."""

    def __init__(self, body: LiteBody) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        grid = self.body(images)
        return torch.cat([grid.flatten(1), self.body.head(grid).mean((2, 3))], dim=1)


def colours(cells: NDArray[np.uint8]) -> Tensor:
    """(n, 3, 28, 28) mean colours as :func:`retrieval.lab.training.hybrid.cells` gives them of normalised pictures."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (torch.from_numpy(np.array(cells)).float() / 255 - mean) / std

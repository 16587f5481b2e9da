"""Pictures drawn by a seeded generator: twenty classes of colour and shape; texture and background are irrelevant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from indexes.base import Ids
from retrieval.encoders.base import Pixels

SHAPES = ("circle", "square", "triangle", "cross", "ring")
COLOURS = {"red": (215, 45, 45), "green": (45, 165, 60), "blue": (50, 80, 210), "yellow": (225, 205, 50)}
TEXTURES = ("plain", "striped", "dotted", "checked")
CLASSES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
SIDE = 40


def draw(name: str, rng: np.random.Generator, side: int = SIDE) -> Image.Image:
    """One picture of a class in :data:`CLASSES`; position, size, angle, shade, texture and background vary."""
    colour, shape = name.split()
    texture = TEXTURES[int(rng.integers(len(TEXTURES)))]
    big = 2 * side
    coarse: NDArray[np.float64] = rng.integers(40, 215) + rng.normal(0, 18, (big // 8, big // 8, 3))
    ground = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((big, big), Image.Resampling.BICUBIC)
    ink = tuple(int(np.clip(v + rng.normal(0, 25), 0, 255)) for v in COLOURS[colour])
    cloth = Image.new("RGB", (big, big), ink)
    shade = float(rng.uniform(0.4, 0.8))
    darker = tuple(int(shade * v) for v in ink)
    _weave(ImageDraw.Draw(cloth), texture, big, int(rng.integers(8, 13)), darker)
    radius = float(rng.uniform(0.27, 0.42)) * big
    x, y = (float(v) for v in rng.uniform(radius, big - radius, 2))
    mask = Image.new("L", (big, big), 0)
    _outline(ImageDraw.Draw(mask), shape, x, y, radius)
    angle = float(rng.uniform(-20, 20))
    ground.paste(cloth.rotate(angle), (0, 0), mask.rotate(angle, center=(x, y)))
    return ground.resize((side, side), Image.Resampling.LANCZOS)


def draw_folders(folder: Path, each: int, seed: int = 0) -> Path:
    """Write ``folder/CLASS/N.png``, ``each`` of every class."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name.replace(" ", "_")).mkdir(parents=True)
        for number in range(each):
            draw(name, rng).save(folder / name.replace(" ", "_") / f"{number}.png")
    return folder


def draw_pixels(names: tuple[str, ...], each: int, side: int, seed: int) -> tuple[Pixels, Ids]:
    """``each`` pictures of every class, (n, 3, side, side) uint8, and their (n,) classes."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(names), dtype=np.int64), each)
    pixels = np.stack([np.asarray(draw(names[label], rng, side)) for label in labels.tolist()])
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), labels


def _weave(pen: ImageDraw.ImageDraw, texture: str, big: int, grain: int, ink: tuple[int, ...]) -> None:
    for at in range(0, big, grain):
        if texture == "striped":
            pen.rectangle([0, at, big, at + grain // 2], fill=ink)
        elif texture == "dotted":
            for x in range(0, big, grain):
                pen.ellipse([x, at, x + grain // 2, at + grain // 2], fill=ink)
        elif texture == "checked":
            for x in range((at // grain % 2) * grain, big, 2 * grain):
                pen.rectangle([x, at, x + grain - 1, at + grain - 1], fill=ink)


def _outline(pen: ImageDraw.ImageDraw, shape: str, x: float, y: float, r: float) -> None:
    box = [x - r, y - r, x + r, y + r]
    if shape in ("circle", "ring"):
        pen.ellipse(box, fill=255)
        if shape == "ring":
            pen.ellipse([x - r / 2, y - r / 2, x + r / 2, y + r / 2], fill=0)
    elif shape == "square":
        pen.rectangle([x - r * 0.85, y - r * 0.85, x + r * 0.85, y + r * 0.85], fill=255)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r * 0.8), (x + r, y + r * 0.8)], fill=255)
    else:
        pen.rectangle([x - r / 3, y - r, x + r / 3, y + r], fill=255)
        pen.rectangle([x - r, y - r / 3, x + r, y + r / 3], fill=255)

"""Small generated pictures: the ColourEncoder embeds their colour."""

from __future__ import annotations

import os
import random
from pathlib import Path

from PIL import Image

RGB = {
    "red": (220, 20, 20),
    "green": (20, 200, 20),
    "blue": (20, 20, 220),
    "yellow": (220, 220, 20),
    "white": (240, 240, 240),
}


def picture(colour: str, *, seed: int = 0, size: tuple[int, int] = (32, 24)) -> Image.Image:
    """A picture of one colour with blocks of noise, so that two seeds give two pictures (and other bytes)."""
    base, noise = RGB[colour], random.Random(f"{colour} {seed}")
    image = Image.new("RGB", size, base)
    for _ in range(24):
        shade = tuple(max(0, min(255, part + noise.randint(-40, 40))) for part in base)
        left, top = noise.randrange(size[0]), noise.randrange(size[1])
        image.paste(shade, (left, top, min(left + 6, size[0]), min(top + 6, size[1])))
    return image


def save_picture(path: Path, colour: str, *, seed: int = 0, size: tuple[int, int] = (32, 24)) -> Path:
    """Write ``picture(...)`` in the format that the name says, making the folder; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture(colour, seed=seed, size=size)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        image.save(path, quality=95)
    else:
        image.save(path)
    return path


def replace_picture(path: Path, colour: str, *, seed: int = 0, size: tuple[int, int] = (32, 24)) -> Path:
    """Write another picture over ``path`` with a later modification time, whatever the clock's resolution."""
    before = path.stat().st_mtime_ns
    save_picture(path, colour, seed=seed, size=size)
    os.utime(path, ns=(before + 2_000_000_000, before + 2_000_000_000))
    return path

"""From a picture file of the recipe to its views, on which the tower is trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from retrieval.encoders.base import Preprocessing
from retrieval.lab.training.builtin.looks import HUES, LOOKS, recoloured
from retrieval.lab.training.lite import SIZE
from retrieval.lab.training.sources import Source
from retrieval.pictures.images import read_cut_out, read_picture

_WHITE, _PALE = 0.55, 0.85
"""Fractions of drawings on white, and on white or a pale background; the rest have a dark one."""

Pixels = NDArray[np.uint8]
Kind = Literal["photo", "drawing", "page"]


@dataclass(frozen=True)
class Making:
    """The views to make of a collection's pictures.

    Args:
        kind: ``photo``; ``drawing``: cut-outs, shown whole, on white, pale and dark backgrounds; ``page``: documents
            and similar, for which no look is taught.
        varied: additional views of each picture, cropped, mirrored and with other lighting.
        looks: views of each picture with an artificial look; fractions are probabilities.
        colours: recoloured views of each picture; fractions are probabilities.
    """

    kind: Kind = "photo"
    varied: int = 0
    looks: float = 0.0
    colours: float = 0.0


@dataclass(frozen=True)
class View:
    """(SIZE, SIZE, 3) uint8 pixels, the look, and the colour word if the picture was recoloured."""

    pixels: Pixels
    look: str
    colour: str | None = None


def views_of(file: Path, making: Making, random: np.random.Generator) -> Iterator[View]:
    """The views of a picture; the first is the unmodified picture.

    Raises:
        UnreadableImage, OSError: it cannot be read.
    """
    data = Source(file).read()
    drawn = making.kind == "drawing"
    whole = _on_ground(data, random) if drawn else _whole(data)
    yield View(_pixels(whole), making.kind)
    for _ in range(making.varied):
        yield View(_pixels(_on_ground(data, random) if drawn else _varied(whole, random)), making.kind)
    for _ in range(_times(making.looks, random)):
        look = list(LOOKS)[int(random.integers(len(LOOKS)))]
        yield View(_pixels(LOOKS[look][1](_varied(whole, random), random)), look)
    for _ in range(_times(making.colours, random)):
        colour = list(HUES)[int(random.integers(len(HUES)))]
        turned = recoloured(_on_ground(data, random) if drawn else whole, colour)
        if turned is not None:
            yield View(_pixels(turned), making.kind, colour)


def _times(wanted: float, random: np.random.Generator) -> int:
    return int(wanted) + int(random.random() < wanted % 1)


def _pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGB"))


def _whole(data: bytes) -> Image.Image:
    """The middle square, the usual input of the tower."""
    return Image.fromarray(np.ascontiguousarray(read_picture(data, Preprocessing(SIZE)).pixels.transpose(1, 2, 0)))


def _varied(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A crop of 40 to 100 % of the area, possibly mirrored, with slightly other lighting."""
    side = round(SIZE * float(np.sqrt(random.uniform(0.4, 1.0))))
    x, y = (int(v) for v in random.integers(0, SIZE - side + 1, 2))
    out = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC, (x, y, x + side, y + side))
    out = ImageOps.mirror(out) if random.random() < 0.5 else out
    out = ImageEnhance.Brightness(out).enhance(random.uniform(0.7, 1.3))
    return ImageEnhance.Contrast(out).enhance(random.uniform(0.7, 1.3))


def _on_ground(data: bytes, random: np.random.Generator) -> Image.Image:
    """A drawing, cut out if it is transparent, whole on a square background of one colour, possibly mirrored."""
    drawing = read_cut_out(data)
    drawing = drawing.crop(drawing.getchannel("A").getbbox())
    side = round(max(drawing.size) * random.uniform(1.0, 1.6))
    luck = random.random()
    low, high = (255, 256) if luck < _WHITE else (150, 256) if luck < _PALE else (0, 160)
    ground = Image.new("RGB", (side, side), tuple(int(value) for value in random.integers(low, high, 3)))
    room_x, room_y = side - drawing.width, side - drawing.height
    place = (int(random.integers(room_x + 1)), int(random.integers(room_y + 1)))
    ground.paste(drawing, place, drawing)
    out = ground.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return ImageOps.mirror(out) if random.random() < 0.5 else out

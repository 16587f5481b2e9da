"""Pictures that differ in small details: documents, screens, sheet music, charts, frames of a burst.

Each drawing takes a seed and a version number. Versions of one seed have the same structure and differ as
little as such pictures do in reality: the number, month and sum of an invoice, one switch on a settings page, one note,
one bar, a closed eye.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Draw = Callable[[int, int], Image.Image]

_WORDS = (
    *("the", "payable", "to", "quote", "days", "account", "please", "agreed", "of", "in", "delivery", "net", "goods"),
    *("terms", "contract", "our", "number", "thirty", "with", "as"),
)
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")
_INK, _PAPER = (20, 20, 24), (250, 250, 250)


def invoice(seed: int, version: int) -> Image.Image:
    """A page of 620 x 877 pixels with text of size 11: versions differ in number, month and sum."""
    return _invoice(seed, version, 1.0)


def large_invoice(seed: int, version: int) -> Image.Image:
    """The same at 150 dots per inch."""
    return _invoice(seed, version, 2.0)


def _invoice(seed: int, version: int, scale: float) -> Image.Image:
    rng = np.random.default_rng([11, seed])
    image = Image.new("RGB", (round(620 * scale), round(877 * scale)), _PAPER)
    pen = _Pen(image, scale)
    pen.text(64, 50, "ACME Ltd - Invoice", 23)
    pen.text(64, 90, f"Invoice no. 2023-{3 + version:04d}   Date 2023-{3 + version % 7:02d}-05", 11)
    for line in range(38):
        pen.text(64, 130 + 15 * line, " ".join(rng.choice(_WORDS, int(rng.integers(8, 13)))), 11)
    pen.text(64, 740, f"Services in {_MONTHS[(seed + version) % 10]} 2023", 11)
    pen.text(400, 740, f"Total {1240.5 + 100 * version:,.2f} EUR", 11)
    return image


def page_of_small_print(seed: int, digit: int) -> Image.Image:
    """A page of 1,240 x 1,754 pixels full of text of size 14; pages of one seed differ in one digit."""
    rng = np.random.default_rng([21, seed])
    image = Image.new("RGB", (1240, 1754), _PAPER)
    pen = _Pen(image, 1.0)
    for line in range(80):
        text = " ".join(rng.choice(_WORDS, 22))
        pen.text(80, 80 + 20 * line, f"{text[:40]} 47{digit}.50 {text[40:100]}" if line == 37 else text[:110], 14)
    return image


def contract(seed: int, version: int) -> Image.Image:
    """A scanned page: grey noise, slightly uneven light; versions differ in one word in the middle of a line."""
    rng = np.random.default_rng([12, seed])
    image = Image.new("RGB", (900, 1200), (244, 243, 238))
    pen = _Pen(image, 1.0)
    lines = [list(rng.choice(_WORDS, 14)) for _ in range(44)]
    lines[20][6] = ("seven", "eleven", "twelve", "nine")[version % 4]
    for at, line in enumerate(lines):
        pen.text(80, 80 + 24 * at, " ".join(line), 15)
    noise = np.random.default_rng([13, seed]).normal(0, 3, (1200, 900, 1))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def settings(seed: int, version: int) -> Image.Image:
    """A page of switches; versions differ in the state of one of them."""
    rng = np.random.default_rng([14, seed])
    image = Image.new("RGB", (1280, 800), (246, 247, 249))
    pen = _Pen(image, 1.0)
    pen.box(0, 0, 1280, 56, (34, 60, 80))
    pen.text(24, 16, "Settings", 20, "white")
    pen.box(0, 56, 260, 800, (232, 235, 240))
    for row in range(12):
        pen.text(24, 84 + 36 * row, f"{rng.choice(_WORDS).title()} {rng.choice(_WORDS)}", 14)
    states = rng.random(14) < 0.5
    if version:
        states[(3 * version + seed) % 14] ^= True
    for row, on in enumerate(states):
        top = 90 + 48 * row
        pen.text(300, top, " ".join(rng.choice(_WORDS, 6)), 14)
        image_colour = (38, 132, 255) if on else (190, 194, 200)
        pen.pen.rounded_rectangle((1120, top, 1156, top + 20), 10, fill=image_colour)
        knob = 1138 if on else 1122
        pen.pen.ellipse((knob, top + 2, knob + 16, top + 18), fill="white")
    return image


def dialogue(seed: int, version: int) -> Image.Image:
    """A dark screen with a list; versions differ in which row is selected, or in a check mark."""
    rng = np.random.default_rng([15, seed])
    image = Image.new("RGB", (1024, 640), (30, 32, 38))
    pen = _Pen(image, 1.0)
    for row in range(22):
        top = 30 + 27 * row
        if row == (seed + version) % 22:
            pen.box(200, top - 4, 820, top + 20, (48, 52, 66))
        pen.pen.rectangle((210, top, 222, top + 12), outline=(150, 154, 160))
        if row % 3 == 0 or row == version + 4:
            pen.pen.line((212, top + 6, 215, top + 10, 221, top + 1), fill=(90, 200, 120), width=2)
        pen.text(240, top - 2, " ".join(rng.choice(_WORDS, 7)), 13, (210, 212, 216))
    return image


def sheet_music(seed: int, version: int) -> Image.Image:
    """Staves with notes; versions differ in the pitch of a single note."""
    rng = np.random.default_rng([16, seed])
    image = Image.new("RGB", (1000, 1300), "white")
    pen = _Pen(image, 1.0).pen
    changed = int(rng.integers(0, 8)), int(rng.integers(0, 24))
    for stave in range(8):
        top = 100 + 145 * stave
        for line in range(5):
            pen.line((60, top + 10 * line, 940, top + 10 * line), fill="black")
        for note in range(24):
            step = int(rng.integers(0, 9))
            if (stave, note) == changed:
                step = (step + version) % 9
            x, y = 100 + 34 * note, top + 40 - 5 * step
            pen.ellipse((x - 6, y - 4, x + 6, y + 4), fill="black")
            pen.line((x + 6, y, x + 6, y - 32), fill="black", width=1)
    return image


def chart(seed: int, version: int) -> Image.Image:
    """Bars with labels; versions differ in one bar by a few pixels and in its number."""
    rng = np.random.default_rng([17, seed])
    image = Image.new("RGB", (960, 600), "white")
    pen = _Pen(image, 1.0)
    values = rng.integers(40, 400, 12)
    values[(seed + 5) % 12] += 7 * version
    pen.text(80, 20, f"Sales by month, region {seed}", 18)
    for at, value in enumerate(values):
        x = 90 + 70 * at
        pen.box(x, 540 - int(value), x + 44, 540, (70, 120, 190))
        pen.text(x + 6, 545, f"M{at + 1}", 12)
        pen.text(x + 6, 520 - int(value), str(value), 12)
    pen.pen.line((80, 540, 930, 540), fill="black")
    return image


def curve(seed: int, version: int) -> Image.Image:
    """A thin curve on a grid; versions differ in one bump."""
    rng = np.random.default_rng([18, seed])
    image = Image.new("RGB", (900, 560), "white")
    pen = _Pen(image, 1.0)
    for at in range(9):
        pen.pen.line((60, 40 + 60 * at, 860, 40 + 60 * at), fill=(225, 225, 225))
        pen.text(20, 34 + 60 * at, str(80 - 10 * at), 11)
    steps = np.cumsum(rng.normal(0, 3, 161))
    steps += 12 * version * np.exp(-((np.arange(161) - 80 - 9 * version) ** 2) / 30)
    points = [(60 + 5 * at, float(280 - 1.5 * (value - steps.mean()))) for at, value in enumerate(steps)]
    pen.pen.line(points, fill=(200, 40, 40), width=2)
    return image


def group_photo(seed: int, version: int) -> Image.Image:
    """Frames from a tripod: the same people and light, different sensor noise, and from version 1 on one pair of
    closed eyes. 1,600 x 1,200 pixels."""
    return tripod(seed, version, 1600, 1200)


def tripod(seed: int, version: int, width: int, height: int, *, noise: float = 2.5) -> Image.Image:
    """A group photo of any size; see :func:`group_photo`. In version 0 all eyes are open."""
    rng = np.random.default_rng([19, seed])
    image = Image.fromarray(np.asarray(_background(rng, 400, 300))).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    unit = width / 40
    for person in range(6):
        x, y = unit * (5 + 6 * person), height * (0.42 + 0.08 * (person % 2))
        skin = tuple(int(c) for c in np.array((205, 160, 130)) * rng.uniform(0.6, 1.1))
        coat = tuple(int(c) for c in rng.integers(20, 200, 3))
        pen.rounded_rectangle((x - 2.6 * unit, y + 1.8 * unit, x + 2.6 * unit, y + 12 * unit), unit, fill=coat)
        pen.ellipse((x - 1.4 * unit, y - 1.9 * unit, x + 1.4 * unit, y + 1.9 * unit), fill=skin)
        hair = tuple(int(c) for c in rng.integers(20, 90, 3))
        pen.chord((x - 1.5 * unit, y - 2.1 * unit, x + 1.5 * unit, y + 0.6 * unit), 180, 360, fill=hair)
        shut = version > 0 and person == (version + seed) % 6
        for side in (-1, 1):
            ex, ey, r = x + side * 0.55 * unit, y + 0.1 * unit, 0.22 * unit
            if shut:
                pen.line((ex - r, ey, ex + r, ey), fill=tuple(c // 2 for c in skin), width=max(round(r / 4), 1))
            else:
                pen.ellipse((ex - r, ey - 0.6 * r, ex + r, ey + 0.6 * r), fill=(235, 232, 228))
                pen.ellipse((ex - 0.5 * r, ey - 0.5 * r, ex + 0.5 * r, ey + 0.5 * r), fill=(50, 35, 25))
        pen.arc((x - 0.6 * unit, y + 0.4 * unit, x + 0.6 * unit, y + 1.2 * unit), 20, 160, fill=(150, 60, 60), width=3)
    grain = np.random.default_rng([20, seed, version]).normal(0, noise, (height, width, 3)).astype(np.float32)
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def _background(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Clouds of 1/f noise, like a meadow out of focus."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(fx, fy), 1 / width)
    plane = np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape)), (height, width))
    plane /= plane.std()
    tint = rng.uniform(0.7, 1.2, 3)
    return Image.fromarray(((110 + 40 * plane)[..., None] * tint).clip(0, 255).astype(np.uint8))


class _Pen:
    """Draws at a given scale."""

    def __init__(self, image: Image.Image, scale: float) -> None:
        self.pen = ImageDraw.Draw(image)
        self._scale = scale

    def text(self, x: float, y: float, text: str, size: float, fill: object = _INK) -> None:
        self.pen.text((x * self._scale, y * self._scale), text, fill=fill, font_size=size * self._scale)

    def box(self, left: float, top: float, right: float, bottom: float, fill: object) -> None:
        self.pen.rectangle([side * self._scale for side in (left, top, right, bottom)], fill=fill)


DOCUMENTS: tuple[Draw, ...] = (
    invoice,
    large_invoice,
    contract,
    settings,
    dialogue,
    sheet_music,
    chart,
    curve,
    group_photo,
)

"""Artificial pictures of documents: letters, receipts, tables, charts, maps, screenshots, music, codes.

Each is drawn from random numbers and WordNet's sentences, so its content is known, and it has no copyright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Random = np.random.Generator
Ink = tuple[int, int, int]
Drawer = Callable[[ImageDraw.ImageDraw, tuple[int, int], Random, Sequence[str]], None]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _ink(random: Random, low: int = 0, high: int = 110) -> Ink:
    red, green, blue = random.integers(low, high, 3).tolist()
    return (red, green, blue)


def _colour(random: Random) -> Ink:
    return _ink(random, 30, 230)


def _words(random: Random, sentences: Sequence[str], count: int) -> str:
    return " ".join(sentences[int(random.integers(len(sentences)))] for _ in range(3))[:count]


def _number(random: Random) -> str:
    return f"{random.uniform(0.5, 900):.2f}"


def document(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """A heading and paragraphs in one or two columns."""
    width, height = size
    text, ink = int(random.integers(9, 15)), _ink(random, 0, 60)
    draw.text((width * 0.1, height * 0.05), _words(random, sentences, 28), ink, _font(int(text * 1.8)))
    columns = int(random.integers(1, 3))
    for column in range(columns):
        left, y = width * (0.1 + 0.82 / columns * column), height * 0.15
        length = int(width * 0.76 / columns / (text * 0.5))
        while y < height * 0.93:
            last = random.random() < 0.15
            draw.text((left, y), _words(random, sentences, length // 2 if last else length), ink, _font(text))
            y += text * (2.6 if last else 1.35)


def receipt(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """Short lines with a price each, and a total."""
    width, height = size
    text, ink = int(random.integers(11, 16)), _ink(random, 0, 60)
    draw.text((width * 0.3, height * 0.04), _words(random, sentences, 12).upper(), ink, _font(text + 6))
    y = height * 0.14
    while y < height * 0.8:
        draw.text((width * 0.08, y), _words(random, sentences, int(random.integers(6, 18))), ink, _font(text))
        draw.text((width * 0.74, y), _number(random), ink, _font(text))
        y += text * 1.5
    draw.line((width * 0.08, y, width * 0.92, y), ink, 2)
    draw.text((width * 0.08, y + 8), "TOTAL", ink, _font(text + 6))
    draw.text((width * 0.7, y + 8), _number(random), ink, _font(text + 6))


def table(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """A grid of numbers with headings."""
    width, height = size
    rows, columns = int(random.integers(8, 24)), int(random.integers(3, 8))
    ink, head = _ink(random), _ink(random, 150, 240)
    high, wide = height / rows, width / columns
    draw.rectangle((0, 0, width, high), head)
    for row in range(rows):
        draw.line((0, row * high, width, row * high), (170, 170, 170))
        for column in range(columns):
            said = _words(random, sentences, 7) if row == 0 or column == 0 else _number(random)
            draw.text((column * wide + 3, row * high + high * 0.2), said, ink, _font(max(8, int(high * 0.5))))
    for column in range(columns):
        draw.line((column * wide, 0, column * wide, height), (170, 170, 170))


def _axes(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> Ink:
    width, height = size
    ink = _ink(random, 0, 90)
    draw.text((width * 0.2, height * 0.02), _words(random, sentences, 24), ink, _font(15))
    for step in range(6):
        y = height * (0.12 + 0.15 * step)
        draw.line((width * 0.1, y, width * 0.95, y), (210, 210, 210))
        draw.text((width * 0.02, y - 6), str(100 - 20 * step), ink, _font(11))
    draw.line((width * 0.1, height * 0.1, width * 0.1, height * 0.87, width * 0.95, height * 0.87), ink, 2)
    return ink


def bar_chart(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """Bars of one or several colours over an axis."""
    width, height = size
    _axes(draw, size, random, sentences)
    count, colours = int(random.integers(4, 14)), [_colour(random) for _ in range(int(random.integers(1, 4)))]
    wide = width * 0.84 / count
    for at in range(count):
        for part, colour in enumerate(colours):
            left = width * 0.11 + wide * (at + 0.8 * part / len(colours))
            top = height * random.uniform(0.15, 0.8)
            draw.rectangle((left, top, left + 0.75 * wide / len(colours), height * 0.87), colour)


def line_chart(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """Curves over an axis."""
    width, height = size
    _axes(draw, size, random, sentences)
    for _ in range(int(random.integers(1, 5))):
        count = int(random.integers(8, 60))
        values = np.cumsum(random.normal(0, 1, count))
        values = (values - values.min()) / (np.ptp(values) + 1e-6)
        x, y = np.linspace(width * 0.1, width * 0.95, count), height * (0.82 - 0.65 * values)
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), _colour(random), int(random.integers(2, 5)))


def pie_chart(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """A disc in slices, with a legend."""
    width, height = size
    side = min(width, height) * 0.7
    ends = np.cumsum(random.dirichlet(np.ones(int(random.integers(3, 8))))) * 360
    start = 0.0
    for at, end in enumerate(ends.tolist()):
        colour = _colour(random)
        draw.pieslice((width * 0.05, height * 0.15, width * 0.05 + side, height * 0.15 + side), start, end, colour)
        draw.rectangle((width * 0.78, height * 0.2 + 22 * at, width * 0.82, height * 0.2 + 22 * at + 12), colour)
        draw.text((width * 0.84, height * 0.2 + 22 * at), _words(random, sentences, 7), (30, 30, 30), _font(11))
        start = end


def town_map(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """Parks, water, streets of three widths, and names."""
    width, height = size
    draw.rectangle((0, 0, width, height), (242, 239, 233))
    for colour in ((200, 230, 190), (170, 211, 223), (200, 230, 190)):
        points = random.uniform((-60, -60), (width + 60, height + 60), (5, 2))
        draw.polygon([tuple(point) for point in points.tolist()], colour)
    turn = random.uniform(0, np.pi)
    for wide, colour, count in ((3, (255, 255, 255), 40), (6, (252, 214, 164), 6), (9, (233, 144, 160), 2)):
        for _ in range(count):
            angle = turn + (np.pi / 2 if random.random() < 0.5 else 0) + random.normal(0, 0.08)
            x, y = random.uniform(0, width), random.uniform(0, height)
            far, near = (np.array((np.cos(angle), np.sin(angle))) * random.uniform(60, 900) for _ in range(2))
            draw.line((x - near[0], y - near[1], x + far[0], y + far[1]), colour, wide)
    for _ in range(int(random.integers(6, 20))):
        place = (random.uniform(0, width * 0.85), random.uniform(0, height))
        draw.text(place, _words(random, sentences, int(random.integers(5, 14))).title(), (80, 80, 80), _font(11))


def screenshot(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """A window: its title bar, a list at the side, text, pictures, buttons."""
    width, height = size
    dark = random.random() < 0.35
    ground, ink = ((32, 33, 36), (225, 225, 225)) if dark else ((250, 250, 250), (40, 40, 40))
    accent = _colour(random)
    draw.rectangle((0, 0, width, height), ground)
    draw.rectangle((0, 0, width, 26), accent if random.random() < 0.5 else (200, 200, 205))
    for at, colour in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
        draw.ellipse((10 + 18 * at, 8, 20 + 18 * at, 18), colour)
    draw.text((width * 0.3, 6), _words(random, sentences, 26), ink, _font(12))
    side = int(width * random.uniform(0.0, 0.28))
    draw.rectangle((0, 26, side, height), (45, 46, 50) if dark else (235, 236, 240))
    for y in range(40, height - 20, 24):
        draw.text((10, y), _words(random, sentences, max(0, side // 8)), ink, _font(12))
    y = 44
    while y < height - 40:
        luck = random.random()
        if luck < 0.6:
            draw.text((side + 16, y), _words(random, sentences, int((width - side) / 7.5)), ink, _font(12))
            y += 20
        elif luck < 0.8:
            draw.rounded_rectangle((side + 16, y, side + 110, y + 26), 6, accent)
            draw.text((side + 28, y + 6), _words(random, sentences, 9), (255, 255, 255), _font(12))
            y += 38
        else:
            draw.rectangle((side + 16, y, width - 20, y + 70), _colour(random))
            y += 82


def sheet_music(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """Staves with notes."""
    width, height = size
    draw.text((width * 0.3, height * 0.03), _words(random, sentences, 20).title(), (0, 0, 0), _font(18))
    gap = int(random.integers(6, 10))
    for top in range(int(height * 0.13), int(height * 0.9), gap * 11):
        for line in range(5):
            draw.line((20, top + line * gap, width - 20, top + line * gap), (0, 0, 0))
        x = 50.0
        while x < width - 30:
            y = top + gap * float(random.integers(-1, 10)) / 2
            fill = (0, 0, 0) if random.random() < 0.8 else None
            draw.ellipse((x, y - gap / 2, x + gap * 1.3, y + gap / 2), fill, (0, 0, 0), 2)
            draw.line((x + gap * 1.3, y, x + gap * 1.3, y - gap * 3.2), (0, 0, 0), 2)
            x += gap * random.uniform(2, 5)
            if random.random() < 0.15:
                draw.line((x, top, x, top + 4 * gap), (0, 0, 0), 2)
                x += gap


def barcode(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """Upright bars with digits below."""
    width, height = size
    x = width * 0.1
    while x < width * 0.9:
        wide = float(random.integers(2, 9))
        draw.rectangle((x, height * 0.15, x + wide, height * 0.78), (0, 0, 0))
        x += wide + float(random.integers(2, 9))
    digits = " ".join(str(digit) for digit in random.integers(0, 10, 13))
    draw.text((width * 0.12, height * 0.8), digits, (0, 0, 0), _font(int(height * 0.08)))


def qr_code(draw: ImageDraw.ImageDraw, size: tuple[int, int], random: Random, sentences: Sequence[str]) -> None:
    """Random modules with the three finder squares; it has no content."""
    cells = int(random.integers(21, 42))
    side = min(size) * 0.86 / cells
    left, top = (size[0] - side * cells) / 2, (size[1] - side * cells) / 2
    dark = random.random((cells, cells)) < 0.5
    for row, column in ((0, 0), (0, cells - 7), (cells - 7, 0)):
        dark[max(row - 1, 0) : row + 8, max(column - 1, 0) : column + 8] = False
        dark[row : row + 7, column : column + 7] = True
        dark[row + 1 : row + 6, column + 1 : column + 6] = False
        dark[row + 2 : row + 5, column + 2 : column + 5] = True
    for row, column in np.argwhere(dark).tolist():
        x, y = left + column * side, top + row * side
        draw.rectangle((x, y, x + side, y + side), (0, 0, 0))


PAGES: dict[str, Drawer] = {
    "document": document,
    "receipt": receipt,
    "table of numbers": table,
    "bar chart": bar_chart,
    "line chart": line_chart,
    "pie chart": pie_chart,
    "map": town_map,
    "screenshot": screenshot,
    "sheet music": sheet_music,
    "barcode": barcode,
    "qr code": qr_code,
}
"""The drawing functions, by the words that people use for the result."""


def write_pages(folder: Path, sentences: Sequence[str], each: int, seed: int = 0) -> int:
    """Draw ``each`` pictures of every kind into class folders; returns how many there are."""
    count = 0
    for kind, (name, drawer) in enumerate(PAGES.items()):
        (folder / name.replace(" ", "_")).mkdir(parents=True, exist_ok=True)
        for at in range(each):
            random = np.random.default_rng((seed, kind, at))
            long = float(random.uniform(1.0, 1.6))
            size = (round(420 * long), 420) if random.random() < 0.5 else (420, round(420 * long))
            paper = tuple(random.integers(228, 256, 3).tolist()) if random.random() < 0.5 else (255, 255, 255)
            picture = Image.new("RGB", size, paper)
            drawer(ImageDraw.Draw(picture), size, random, sentences)
            if random.random() < 0.4:  # as if photographed: slightly rotated, on a table, slightly blurred
                table_colour = tuple(random.integers(40, 200, 3).tolist())
                picture = picture.rotate(
                    random.uniform(-12, 12), Image.Resampling.BICUBIC, True, None, None, table_colour
                )
                picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.2)))
            picture.save(folder / name.replace(" ", "_") / f"{at:04d}.png")
            count += 1
    return count

"""How many pages are told to be documents (``--kind document``), and how many photos are taken for one.

::

    python -m benchmarks.documents PHOTOS [--pages N] [--scans FOLDER]

Pages are drawn: letters, receipts, tables and sheet music as in the built-in model's lessons (``pages.py`` there), and
documents of twelve lines in two fonts at five angles (``benchmarks/words.py``). "Photographed" ones lie askew on a
photo, in uneven and warm light, slightly blurred. They are judged by pixels only; text that was read makes more of them
documents.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.tables import Table
from benchmarks.words import ANGLES, FONTS, made_document, made_words
from retrieval.lab.training.builtin.pages import PAGES
from retrieval.pictures.page_likeness import looks_like_page

KINDS = ("document", "receipt", "table of numbers", "sheet music")
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def drawn_page(kind: str, seed: int) -> Image.Image:
    """A page as a scanner gives it."""
    chance = np.random.default_rng((17, seed))
    words = random.Random(seed)
    sentences = [" ".join(made_words(words)) for _ in range(60)]
    long = float(chance.uniform(1.5, 2.6) if kind == "receipt" else chance.uniform(1.2, 1.6))
    width = round(420 * float(chance.uniform(1, 2)))
    size = (width, round(width * long))
    light = chance.integers(225, 256, 3).tolist() if chance.random() < 0.5 else [255, 255, 255]
    page = Image.new("RGB", size, (light[0], light[1], light[2]))
    PAGES[kind](ImageDraw.Draw(page), size, chance, sentences)
    return page


def photographed(page: Image.Image, table: Image.Image, seed: int) -> Image.Image:
    """The page on a table, askew and unevenly lit."""
    chance = np.random.default_rng((23, seed))
    width, height = round(page.width * chance.uniform(1.05, 1.5)), round(page.height * chance.uniform(1.05, 1.4))
    scene = table.convert("RGB").resize((width, height))
    left, top = (width - page.width) / 2, (height - page.height) / 2
    corners = [(0, 0), (page.width, 0), (page.width, page.height), (0, page.height)]
    rows: list[list[float]] = []
    wanted: list[float] = []
    for u, v in corners:  # the perspective that maps the scene's corners of the page to the page's own
        x = left + u + page.width * chance.uniform(-0.06, 0.06)
        y = top + v + page.height * chance.uniform(-0.06, 0.06)
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    terms = np.linalg.solve(np.array(rows), np.array(wanted)).tolist()
    turn = Image.Transform.PERSPECTIVE
    mask = Image.new("L", page.size, 255).transform(scene.size, turn, terms)
    scene.paste(page.transform(scene.size, turn, terms, Image.Resampling.BICUBIC), (0, 0), mask)
    light = np.linspace(*chance.uniform(0.6, 1, 2), width)[None, :, None]
    light = light * np.linspace(chance.uniform(0.7, 1), 1, height)[:, None, None]
    warm = np.array([1, chance.uniform(0.9, 1), chance.uniform(0.75, 1)])
    seen = np.asarray(scene, np.float32) * light * warm + chance.normal(0, 4, (height, width, 3))
    blur = ImageFilter.GaussianBlur(chance.uniform(0.3, 1.2))
    return Image.fromarray(seen.clip(0, 255).astype(np.uint8)).filter(blur)


def pictures(folder: Path) -> Iterator[Image.Image]:
    """The pictures of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _ENDINGS:
            with Image.open(path) as image:
                image.load()
                yield image


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path, help="a folder of photos without documents")
    parser.add_argument("--pages", type=int, default=20, help="of each kind")
    parser.add_argument("--scans", type=Path, help="a folder of scanned documents")
    options: Any = parser.parse_args(arguments)
    tables = list(pictures(options.photos))
    seconds = time.process_time()
    taken = [looks_like_page(photo) for photo in tables]
    seconds = time.process_time() - seconds
    rows = []

    def told(name: str, found: Sequence[bool]) -> None:
        rows.append([name, f"{sum(found)} of {len(found)}", f"{np.mean(found):.3f}"])

    for kind in KINDS:
        made = [drawn_page(kind, seed) for seed in range(options.pages)]
        told(kind, [looks_like_page(page) for page in made])
        lying = [photographed(page, tables[seed % len(tables)], seed) for seed, page in enumerate(made)]
        told(f"{kind}, photographed", [looks_like_page(page) for page in lying])
    turned = [(font, angle) for font in FONTS[:2] for angle in ANGLES]
    stored = [made_document(font, angle, seed)[0] for seed, (font, angle) in enumerate(turned)]
    told("printed words at five angles", [looks_like_page(Image.open(io.BytesIO(data))) for data in stored])
    if options.scans:
        told("scans", [looks_like_page(page) for page in pictures(options.scans)])
    told("photos", taken)
    print(Table("Pictures told to be documents, by their pixels", ["kind", "documents", "share"], rows).to_markdown())
    print(f"CPU a photo, decoded: {1000 * seconds / max(len(tables), 1):.1f} ms")


if __name__ == "__main__":
    main()

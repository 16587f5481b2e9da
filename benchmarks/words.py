"""How much of the text in generated documents is recognised, in four fonts at several angles, and the cost.

::

    python -m benchmarks.words [--documents N] [--fonts FILE ...] [--photos FOLDER] [--show]

A document has twelve lines: words of the built-in model's vocabulary, numbers, dates, amounts and accents, in sizes of
9 to 16 points on A4 at 150 dots per inch, on paper with some noise, as JPEG. A word is found if its
normalised form, as used in searches, is in the recognised text. With ``--photos`` also the cost for pictures that
mostly have no text.
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
from PIL import Image, ImageDraw, ImageFont

from benchmarks.tables import Table
from retrieval.filters.words import fold_text
from retrieval.labels.vocabulary import read_labels
from retrieval.reading.models import Networks
from retrieval.reading.pages import read_file

FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "LiberationSans-Regular.ttf", "LiberationMono-Regular.ttf")
ANGLES = (0, 90, 180, 7, -15)
_PAGE = (1240, 1000)  # A4 at 150 dots an inch is 1,240 wide
_LINES = 12
_EXTRA = ("café", "Müller", "naïve", "Señor", "façade", "Ångström", "EUR", "No.", "Total:", "due", "(copy)", "A-17")


def made_words(draw: random.Random) -> list[str]:
    """The words of one line."""
    plain = read_labels()

    def word() -> str:
        kind = draw.random()
        if kind < 0.1:
            return f"{draw.randint(1, 999)}.{draw.randint(0, 99):02}"
        if kind < 0.2:
            return f"{draw.randint(1, 28):02}/{draw.randint(1, 12):02}/{draw.randint(1990, 2026)}"
        if kind < 0.3:
            return draw.choice(_EXTRA)
        chosen = draw.choice(plain).split()[0]
        return draw.choice((chosen, chosen.capitalize(), chosen.upper()))

    return [word() for _ in range(draw.randint(3, 6))]


def made_document(font: str, angle: float, seed: int) -> tuple[bytes, list[str]]:
    """A JPEG, and the words on it."""
    draw = random.Random(seed)
    size = draw.randint(19, 33)
    page = Image.new("L", _PAGE, 250)
    pen, face, words = ImageDraw.Draw(page), ImageFont.truetype(font, size), []
    for row in range(_LINES):
        line: list[str] = []
        for word in made_words(draw):
            if pen.textlength(" ".join([*line, word]), font=face) < _PAGE[0] - 120:
                line.append(word)
        pen.text((60, 60 + row * int(size * 1.9)), " ".join(line), fill=draw.randint(0, 60), font=face)
        words += line
    turned = page.rotate(angle, expand=True, fillcolor=250, resample=Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed).normal(0, 6, (turned.height, turned.width))
    noisy = Image.fromarray((np.asarray(turned, np.float32) + noise).clip(0, 255).astype(np.uint8))
    stored = io.BytesIO()
    noisy.save(stored, "JPEG", quality=80)
    return stored.getvalue(), words


def read_words(data: bytes, networks: Networks) -> tuple[str, float]:
    """The normalised text of a picture file, and the CPU seconds for recognising it."""
    started = time.process_time()
    with Image.open(io.BytesIO(data)) as image:
        size = image.size
    lines = read_file(data, *size, networks)
    return fold_text("\n".join(line.text for line, _ in lines)), time.process_time() - started


def recall(words: Sequence[str], text: str) -> float:
    """The fraction of words that occur in the text as words."""
    there = f" {text} "
    return float(np.mean([f" {fold_text(word)} " in there for word in words]))


def photos(folder: Path, most: int) -> Iterator[bytes]:
    """Up to this many files of a folder, evenly sampled."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for path in random.Random(1).sample(files, min(most, len(files))):
        yield path.read_bytes()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=10, help="for each font and angle")
    parser.add_argument("--fonts", nargs="+", default=FONTS)
    parser.add_argument("--angles", nargs="+", type=float, default=ANGLES)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--show", action="store_true", help="also print the words that were not found")
    options: Any = parser.parse_args(arguments)
    networks = Networks()
    read_words(made_document(options.fonts[0], 0, 999)[0], networks)  # loads and compiles
    rows: list[list[str]] = []
    costs: list[float] = []
    for font in options.fonts if options.documents else ():
        row = [Path(font).stem]
        for angle in options.angles:
            found = []
            for seed in range(options.documents):
                data, words = made_document(font, angle, seed)
                text, seconds = read_words(data, networks)
                found.append(recall(words, text))
                costs.append(seconds)
                if options.show and found[-1] < 1:
                    print(font, angle, seed, [w for w in words if f" {fold_text(w)} " not in f" {text} "])
            row.append(f"{np.mean(found):.3f}")
        rows.append(row)
    if rows:
        head = ["font", *(f"{angle:g}°" for angle in options.angles)]
        print(Table("Words read, of those on the page", head, rows).to_markdown())
        print(f"CPU a document: {np.mean(costs):.2f} s ({_LINES} lines, {_PAGE[0]} x {_PAGE[1]} pixels)")
    if options.photos:
        seen = [read_words(data, networks) for data in photos(options.photos, 200)]
        print(f"CPU a photo: {np.mean([s for _, s in seen]):.3f} s; {sum(bool(t) for t, _ in seen)} of {len(seen)} "
              "have text")  # fmt: skip


if __name__ == "__main__":
    main()

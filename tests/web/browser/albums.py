"""A gallery whose pictures say when, where and with what they were taken, some of them there twice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from retrieval.encoders.registry import load_encoder
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from retrieval.labels.labelling import LabelEdit, edit_labels
from tests.conftest import EXAMPLES

MAKE, MODEL, EXIF, GPS = 0x010F, 0x0110, 0x8769, 0x8825
TAKEN = 0x9003
PARIS, SYDNEY = (48.86, 2.35), (-33.87, 151.21)
CAMERAS = ["Alpha 1", *(f"Camera {letter}" for letter in "ABCDEFGHIJKLM")]
"""More than a list shows at once, and enough for it to have a search."""


@dataclass(frozen=True)
class Taken:
    """What a camera writes about a picture."""

    at: str | None = None
    camera: str | None = None
    place: tuple[float, float] | None = None


def save_taken(source: Path, path: Path, taken: Taken) -> Path:
    """A JPEG of the source's pixels that says how it was taken; makes the folder."""
    exif = Image.Exif()
    if taken.camera:
        exif[MODEL] = taken.camera
    if taken.at:
        exif.get_ifd(EXIF)[TAKEN] = taken.at
    if taken.place:
        latitude, longitude = taken.place
        exif.get_ifd(GPS).update(
            {1: "N" if latitude >= 0 else "S", 2: _dms(latitude), 3: "E" if longitude >= 0 else "W", 4: _dms(longitude)}
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        image.convert("RGB").save(path, quality=92, exif=exif)
    return path


def make_album(place: Path) -> Gallery:
    """28 pictures below ``place/photos``, two for each camera: 2015 to 2020 in years' folders, four in Paris, four in
    Sydney, four without a date, two of the first year tagged ``family``."""
    sources = sorted(EXAMPLES.rglob("*.jpg"))[: 2 * len(CAMERAS)]
    paths = []
    for number, source in enumerate(sources):
        year = 2015 + number // 4
        where = PARIS if number < 4 else SYDNEY if number < 8 else None
        at = None if number >= 24 else f"{year}:{1 + number % 12:02d}:05 10:00:00"
        folder = place / "photos" / (str(year) if at else "undated")
        paths.append(save_taken(source, folder / source.name, Taken(at, CAMERAS[number % len(CAMERAS)], where)))
    gallery = Gallery(place / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(place / "photos")
    edit_labels(gallery, paths[:2], LabelEdit(tags=("family",)))
    return gallery


def make_doubles(place: Path) -> Gallery:
    """Below ``place/photos``: two pictures with a copy each, a third one also in half its size."""
    folder = place / "photos"
    folder.mkdir(parents=True)
    first, second, third = sorted(EXAMPLES.rglob("*.jpg"))[:3]
    for source in (first, second):
        shutil.copy(source, folder / source.name)
        shutil.copy(source, folder / f"copy of {source.name}")
    with Image.open(third) as image:
        large = image.convert("RGB").resize((image.width * 2, image.height * 2))
        large.save(folder / third.name, quality=95)
        large.resize(image.size).save(folder / f"small {third.stem}.png")
    gallery = Gallery(place / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(folder)
    return gallery


def _dms(degrees: float) -> tuple[float, float, float]:
    minutes, seconds = divmod(round(abs(degrees) * 3600, 2), 60)
    return float(minutes // 60), float(minutes % 60), seconds

"""A gallery that photoseek built with its fourth built-in model: five pictures, two searches remembered."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zipfile
from pathlib import Path

from tests.conftest import EXAMPLES

PACKED = Path(__file__).with_name("fourth-version.zip")
FINGERPRINT = "b1f618e08cf3322a008ced337e5838246185b25167d36acef6083d7585fee726"
PICTURES = ("animals/cow.jpg", "animals/dog.jpg", "animals/fox.jpg", "birds/flamingo.png", "food/lemon.png")
REMEMBERED = {"a dog": ("dog.jpg", "fox.jpg"), "a yellow lemon": ("lemon.png", "fox.jpg")}
"""What was searched for, and the two best pictures then."""


def unpack(place: Path) -> tuple[Path, Path]:
    """The gallery and the folder of its pictures, whose names and dates are those that it was built with."""
    gallery, photos = place / "gallery", place / "photos"
    with zipfile.ZipFile(PACKED) as packed:
        packed.extractall(gallery)
    photos.mkdir()
    for picture in PICTURES:
        shutil.copy(EXAMPLES / picture, photos)
    catalog = sqlite3.connect(gallery / "catalog.sqlite")
    with catalog:
        catalog.execute("UPDATE folders SET path = ?", [str(photos)])
        for name, mtime_ns in catalog.execute("SELECT name, mtime_ns FROM images").fetchall():
            os.utime(photos / name, ns=(mtime_ns, mtime_ns))
    catalog.close()
    return gallery, photos

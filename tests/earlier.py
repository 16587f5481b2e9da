"""Galleries built by earlier photoseeks, of five pictures each: with other built-in models and two cached searches; and
those of releases."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import EXAMPLES

PICTURES = ("animals/cow.jpg", "animals/dog.jpg", "animals/fox.jpg", "birds/flamingo.png", "food/lemon.png")
REMEMBERED = {"a dog": ("dog.jpg", "fox.jpg"), "a yellow lemon": ("lemon.png", "fox.jpg")}
"""What was searched for, and the two best pictures then; of every version."""


@dataclass(frozen=True)
class Earlier:
    """A version of the built-in model that is gone.

    Args:
        packed: the gallery, beside this file.
        model: its name then.
        alike: the picture most like the dog's.
    """

    packed: str
    model: str
    fingerprint: str
    alike: str

    def unpack(self, place: Path) -> tuple[Path, Path]:
        """The gallery and the folder of its pictures, whose names and dates are those that it was built with."""
        gallery, photos = place / "gallery", place / "photos"
        with zipfile.ZipFile(Path(__file__).with_name(self.packed)) as packed:
            packed.extractall(gallery)
        photos.mkdir()
        for picture in PICTURES:
            shutil.copy(EXAMPLES / picture, photos)
        catalog = sqlite3.connect(gallery / "catalog.sqlite")
        with catalog:
            catalog.execute("UPDATE folders SET path = ?", [str(photos)])
            if self in RELEASED:
                catalog.execute("UPDATE exclusions SET path = ? || substr(path, length('/photos') + 1)", [str(photos)])
            for name, mtime_ns in catalog.execute("SELECT name, mtime_ns FROM images").fetchall():
                os.utime(photos / name, ns=(mtime_ns, mtime_ns))
        catalog.close()
        return gallery, photos


FOURTH = Earlier(
    "fourth-version.zip",
    "builtin-64",
    "b1f618e08cf3322a008ced337e5838246185b25167d36acef6083d7585fee726",
    "cow.jpg",
)
FIFTH = Earlier(
    "fifth-version.zip",
    "builtin-224",
    "5e97da1fae18efaeba3cfe5f0c8db531b7b5747e8e69902bd4b36c0a94950b59",
    "fox.jpg",
)
SIXTH = Earlier(
    "sixth-version.zip",
    "builtin-224",
    "9d322fa9a670e49e49a4bb80e048bb87d5bd1b4ce8c28e286e172dee53b272d9",
    "fox.jpg",
)
RELEASED = (
    Earlier(
        "released-0.1.0.zip",
        "builtin-224",
        "4e6b5759ac372c261190ea641dcd3d7478001cb37ac4c472aef23947eba38789",
        "fox.jpg",
    ),
)
"""One of each release, with tags, captions, stars, an album, and a picture that was forgotten."""

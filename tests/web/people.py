"""A gallery with pictures of drawn people, whose faces are known without a network that finds them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from retrieval.catalog.faces import Box, PictureFaces, SeenFace, write_faces
from retrieval.encoders.registry import load_encoder
from retrieval.faces.grouping import group_faces
from retrieval.gallery import Gallery
from retrieval.indexing.indexer import Indexer
from tests.retrieval.faces.test_grouping import faces_of

PEOPLE = {"a0": (0,), "a1": (0,), "a2": (0,), "b0": (1,), "b1": (1,), "ab": (0, 1), "none": ()}
"""Picture -> the persons in it, from left to right."""

SKINS = ((214, 40, 40), (40, 90, 214))
"""The colours of the two persons' faces."""

SIZE = (600, 400)
BOXES: tuple[Box, Box] = ((0.1, 0.2, 0.2, 0.3), (0.6, 0.3, 0.2, 0.3))
"""Where the first and the second face of a picture are."""


def gallery_of_people(home: Path) -> Gallery:
    """A gallery in ``home/gallery`` of the pictures in ``home/photos``, grouped; nobody has a name yet."""
    (home / "photos").mkdir(parents=True)
    around = faces_of(2, len(PEOPLE))
    for number, (name, persons) in enumerate(PEOPLE.items()):
        drawn(persons, number).save(home / "photos" / f"{name}.png")
    gallery = Gallery(home / "gallery")
    Indexer(gallery, load_encoder("builtin-224")).run(home / "photos")
    with gallery.reader() as reader:
        hashes = {Path(record.path).stem: record.content_hash for record in reader.records(list(range(1, 100)))}
    found = [
        (
            hashes[name],
            PictureFaces(
                "test/1",
                "2024-01-01",
                tuple(
                    SeenFace(BOXES[at], 1.0 - number / 100, around[person * len(PEOPLE) + number])
                    for at, person in enumerate(persons)
                ),
            ),
        )
        for number, (name, persons) in enumerate(PEOPLE.items())
    ]
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        write_faces(transaction, found)
    with gallery.writer() as catalog:
        catalog.set_finds_faces(True)
    group_faces(gallery)
    return gallery


def drawn(persons: tuple[int, ...], number: int) -> Image.Image:
    """A picture with a face of one colour in each box."""
    picture = Image.new("RGB", SIZE, (90 + 20 * number, 170, 120))
    pen = ImageDraw.Draw(picture)
    for person, (x, y, width, height) in zip(persons, BOXES, strict=False):
        left, top = x * SIZE[0], y * SIZE[1]
        right, bottom = left + width * SIZE[0], top + height * SIZE[1]
        pen.rectangle((left, top, right - 1, bottom - 1), fill=SKINS[person])
        for eye in (0.3, 0.7):
            middle = left + eye * (right - left)
            pen.ellipse((middle - 8, top + 35, middle + 8, top + 51), fill="white")
        pen.line((left + 30, bottom - 30, right - 30, bottom - 30), fill="white", width=6)
    return picture

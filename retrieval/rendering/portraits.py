"""Make small pictures of faces, cut out of picture files."""

from __future__ import annotations

import math
import struct

from PIL import Image

from retrieval.catalog.faces import Box
from retrieval.catalog.records import ImageRecord
from retrieval.pictures.images import content_hash
from retrieval.rendering.thumbnails import look_at

SIDE = 192
"""Pixels of a portrait's sides on a page, at most."""

_AROUND = 0.4  # of the face's longer side, on each side of it


def portrait_key(picture_hash: bytes, box: Box) -> bytes:
    """32 bytes by which a portrait is kept: of the picture's content and the face's place in it."""
    return content_hash(picture_hash + struct.pack("<4d", *box))


def portrait(image: ImageRecord, box: Box, side: int) -> Image.Image:
    """A face and what is around it, as a square unless the picture ends there.

    Args:
        box: of the face, as fractions of the upright picture's sides.
        side: of the result, about so many pixels at most; nothing is enlarged.

    Raises:
        FileChanged, OSError, UnreadableImage: as :func:`~retrieval.rendering.thumbnails.look_at`.
    """
    longer = max(image.width, image.height)
    pixels = max(box[2] * image.width, box[3] * image.height, 1.0)
    wanted = math.ceil(longer * side / (pixels * (1 + 2 * _AROUND)))
    picture = look_at(image, min(longer, wanted))
    found = picture.crop(around(box, *picture.size))
    found.thumbnail((side, side))
    return found


def around(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a picture that a portrait shows, with at least one pixel: left, upper, right and lower edge.

    Args:
        box: of the face, as fractions of the sides.
        width, height: of the picture, in pixels.
    """
    half = max(box[2] * width, box[3] * height) * (0.5 + _AROUND)
    x, y = (box[0] + box[2] / 2) * width, (box[1] + box[3] / 2) * height
    left, top = min(max(0, round(x - half)), width - 1), min(max(0, round(y - half)), height - 1)
    return left, top, max(left + 1, min(width, round(x + half))), max(top + 1, min(height, round(y + half)))

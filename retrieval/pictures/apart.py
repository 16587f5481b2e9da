"""What is asked of a decoder process about a picture, and its answers, as plain values: both ends are here.

An answer never holds code or objects: the process that gave it has read an untrusted file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.free_memory import NO_MEMORY
from retrieval.pictures.decoders import Decoded
from retrieval.pictures.decoding import Picture, cut_out_in, exif_in, picture_in, whole_in
from retrieval.pictures.exif import Exif
from retrieval.pictures.memory import SMALL, Budget

_MODES = {"RGB": 3, "RGBA": 4}
_PHASH_BYTES = 64


def plain(preprocessing: Preprocessing) -> dict[str, Any]:
    """The fields of a preprocessing, for a request."""
    return asdict(preprocessing)


class AskedFor(Budget):
    """The memory that the asking process grants.

    Args:
        ask: with the number of bytes; False if they are more than the limit.
    """

    def __init__(self, ask: Callable[[int], bool]) -> None:
        super().__init__(0)
        self._ask = ask

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        if count >= SMALL and not self._ask(count):
            raise UnreadableImage(NO_MEMORY)
        yield


def answered(work: str, data: bytes, asked: dict[str, Any], budget: Budget) -> tuple[dict[str, Any], bytes]:
    """In the decoder process: a file's answer for ``picture``, ``whole``, ``cut out`` or ``exif``.

    Raises:
        UnreadableImage: why there is none.
    """
    if work == "exif":
        return {"exif": _plain_exif(exif_in(data, budget))}, b""
    if work == "picture":
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in asked["preprocessing"].items()
        }
        found = picture_in(data, Preprocessing(**given), asked["max_pixels"], budget)
        about = {
            "size": (found.width, found.height), "format": found.format, "exif": _plain_exif(found.exif),
            "colour": found.colour, "is_page": found.is_page,
        }  # fmt: skip
        return about, found.pixels.tobytes() + found.phash
    if work == "whole":
        image = whole_in(data, asked["side"], asked["max_pixels"], budget)
    else:
        image = cut_out_in(data, asked["max_pixels"], budget)
    return {"form": image.mode, "size": image.size}, image.tobytes()


def picture_of_answer(decoded: Decoded, size: int) -> Picture:
    """In the asking process: the picture, for an encoder whose input has ``size`` pixels a side."""
    about, count = decoded.about, 3 * size * size
    pixels = np.frombuffer(decoded.picture, np.uint8, count).reshape(3, size, size)
    width, height = about["size"]
    phash = decoded.picture[count : count + _PHASH_BYTES]
    exif = _exif(about["exif"])
    return Picture(pixels, width, height, about["format"], exif, phash, about["colour"], about["is_page"])


def image_of_answer(decoded: Decoded) -> Image.Image:
    """In the asking process: an ``RGB`` or ``RGBA`` picture."""
    width, height = decoded.about["size"]
    return Image.frombytes(decoded.form, (width, height), decoded.picture)


def exif_of_answer(decoded: Decoded) -> Exif:
    """In the asking process: the EXIF of the file."""
    return _exif(decoded.about["exif"])


def _plain_exif(exif: Exif) -> dict[str, Any]:
    return asdict(exif) | {"taken_at": None if exif.taken_at is None else exif.taken_at.isoformat()}


def _exif(values: dict[str, Any]) -> Exif:
    known = {field.name: values[field.name] for field in fields(Exif)}
    taken = known["taken_at"]
    return Exif(**known | {"taken_at": None if taken is None else datetime.fromisoformat(taken)})

"""Pictures from RAW files: the embedded JPEG of the camera if it is large enough, else the samples, decoded.

Both have the same properties: upright, in sRGB. The preview is preferred because it looks as displayed by the camera,
and takes a thirtieth of the time.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import NamedTuple

from PIL import Image, JpegImagePlugin
from PIL.ExifTags import Base

from retrieval.errors import UnreadableImage
from retrieval.pictures.decoders import Decoded, shared
from retrieval.pictures.doubtful import doubt_of
from retrieval.pictures.exif import Exif
from retrieval.pictures.raw_detection import is_cut_short
from retrieval.pictures.raw_exif import (
    completed,
    exif_by_decoder,
    exif_of_preview,
    is_adobe_rgb,
    raw_tags,
    read_raw_exif,
)

LARGE_ENOUGH = 1024
"""Pixels of a preview's longer side; Sony's have 1616."""

_LEAST = 256  # the same for a preview that replaces samples that cannot be decoded
_ORIENTATIONS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF's orientation for LibRaw's flip: 1 mirrors, 2 flips upside down, 4 swaps the sides."""

_SIDEWAYS = 5  # from this orientation on the sides are swapped
_SQUARE = 1.05


class RawPicture(NamedTuple):
    """The picture to show for a RAW.

    Args:
        image: opened, not decoded if it is a JPEG; then ``preview`` is the whole JPEG file.
        preview: the JPEG, or None if ``image`` is decoded RGB.
        orientation: the EXIF orientation to apply.
        width, height: of the RAW itself, upright, pixels.
        exif: of the RAW, completed from the embedded preview.
        is_adobe_rgb: whether the preview is in Adobe RGB.
    """

    image: Image.Image
    preview: bytes | None
    orientation: int
    width: int
    height: int
    exif: Exif
    is_adobe_rgb: bool = False


def read_raw(data: bytes, max_pixels: int, *, previews: bool = True) -> RawPicture:
    """The picture of a RAW.

    Args:
        max_pixels: larger ones are refused before they are decoded.
        previews: False: always decode the samples.

    Raises:
        UnreadableImage: it cannot be read, or is truncated; LibRaw crashed or took too long.
        MissingDecoder: LibRaw is not installed.
    """
    found = shared.decode("raw preview", data, "RAW", max_pixels=max_pixels)
    turn = _ORIENTATIONS[found.about["flip"] & 7]
    exif = replace(read_raw_exif(data), orientation=turn)
    seen = _preview(data, found, turn, exif)
    longer = max(seen.image.size) if seen is not None else 0
    if seen is not None and longer >= min(LARGE_ENOUGH, max(found.about["sensor"]) / 2) and previews:
        return seen
    try:
        return _decoded(data, turn, exif, max_pixels)
    except UnreadableImage:
        if seen is None or longer < _LEAST:
            raise
        return seen


def _preview(data: bytes, found: Decoded, turn: int, exif: Exif) -> RawPicture | None:
    width, height = _upright(found.about["sensor"], turn)
    if found.form == "RGB":
        return RawPicture(found.image(), None, turn, width, height, exif)
    if found.form != "JPEG":
        return None
    doubt = doubt_of(found.picture)
    if doubt is not None and not doubt.is_large:  # no camera writes such a preview
        return None
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(found.picture))
        tags = image.getexif()
        own = tags.get(Base.Orientation)
        inside = exif_of_preview(tags)
    except Exception:  # whatever the decoder raises on a damaged header
        return None
    turned = _turn_of_preview(image.size, own if isinstance(own, int) and 0 < own < 9 else turn, turn, width > height)
    adobe = not image.info.get("icc_profile") and (is_adobe_rgb(tags) or is_adobe_rgb(raw_tags(data)))
    return RawPicture(image, found.picture, turned, width, height, completed(exif, inside), adobe)


def _turn_of_preview(size: tuple[int, int], own: int, turn: int, is_wide: bool) -> int:
    """Some cameras store the preview unrotated, others upright, and not all record it: its proportions decide."""
    width, height = size
    if max(size) < _SQUARE * min(size):
        return own
    return next((each for each in (own, turn, 1) if ((width > height) != (each >= _SIDEWAYS)) == is_wide), own)


def _decoded(data: bytes, turn: int, exif: Exif, max_pixels: int) -> RawPicture:
    if is_cut_short(data):
        raise UnreadableImage("truncated RAW file", "copy the file again")
    found = shared.decode("raw decoded", data, "RAW", max_pixels=max_pixels)
    width, height = _upright(found.about["sensor"], turn)
    return RawPicture(found.image(), None, 1, width, height, completed(exif, exif_by_decoder(found.about)))


def _upright(sensor: tuple[int, int], turn: int) -> tuple[int, int]:
    width, height = sensor
    return (height, width) if turn >= _SIDEWAYS else (width, height)

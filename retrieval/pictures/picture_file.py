"""A picture file as a query: decoded and embedded as if it were being indexed."""

from __future__ import annotations

import os
from pathlib import Path

from indexes.base import Vectors
from retrieval.encoders.base import Encoder, Pixels
from retrieval.errors import QueryError, UnreadableImage
from retrieval.pictures.formats import is_video_name
from retrieval.regular_files import open_regular
from retrieval.sources.addresses import spelled
from retrieval.sources.reading import read_anywhere, source_of

MAX_FILE_BYTES = 256 << 20


def encode_file(encoder: Encoder, path: Path) -> Vectors:
    """(dim,) the unit vector of a picture file.

    Raises:
        QueryError, UnreadableImage: see :func:`read_pixels`.
    """
    return _encode(encoder, read_pixels(encoder, path))


def encode_bytes(encoder: Encoder, data: bytes, name: str) -> Vectors:
    """(dim,) the unit vector of a picture in memory.

    Raises:
        UnreadableImage: it is not a picture; the message begins with ``name``.
    """
    return _encode(encoder, _pixels(encoder, data, name))


def read_pixels(encoder: Encoder, path: Path) -> Pixels:
    """(3, size, size) uint8: a picture file as the encoder sees it; for a video, its representative frame.

    Raises:
        QueryError: it cannot be read, or is larger than 256 MiB.
        UnreadableImage: it is not a picture; the message names the file.
    """
    try:
        place = spelled(path)
        if is_video_name(path.name) and source_of(place) is None:
            return _still(encoder, path)
        data = read_anywhere(place, MAX_FILE_BYTES)
    except OSError as error:
        raise QueryError(
            f"cannot read {path}: {error.strerror}", "give a picture file that exists and can be read"
        ) from error
    return _pixels(encoder, data, str(path))


def _still(encoder: Encoder, path: Path) -> Pixels:
    """The representative frame of a video."""
    from retrieval.pictures.video import read_video

    with open_regular(path) as file:
        found = os.fstat(file.fileno())
    try:
        video = read_video(str(path), (found.st_size, found.st_mtime_ns), encoder.spec.preprocessing)
    except UnreadableImage as error:
        raise UnreadableImage(f"{path}: {error.reason}", error.hint) from error
    return video.pixels[video.still]


def _pixels(encoder: Encoder, data: bytes, name: str) -> Pixels:
    from retrieval.pictures.images import read_picture

    try:
        return read_picture(data, encoder.spec.preprocessing).pixels
    except UnreadableImage as error:
        raise UnreadableImage(f"{name}: {error.reason}", error.hint) from error


def _encode(encoder: Encoder, pixels: Pixels) -> Vectors:
    vector: Vectors = encoder.encode_images(pixels[None])[0]
    return vector

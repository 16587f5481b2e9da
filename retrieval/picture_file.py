"""A picture file that somebody names in a command, to its embedding: as if it were being indexed."""

from __future__ import annotations

from pathlib import Path

from indexes.base import Vectors
from retrieval.encoders.base import Encoder
from retrieval.errors import QueryError, UnreadableImage

MAX_FILE_BYTES = 256 << 20


def encode_file(encoder: Encoder, path: Path) -> Vectors:
    """(dim,) the unit vector of a picture file.

    Raises:
        QueryError: it cannot be read, or is larger than 256 MiB.
        UnreadableImage: it is no picture; the message names the file.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise QueryError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB", "give a smaller picture")
        data = path.read_bytes()
    except OSError as error:
        raise QueryError(
            f"cannot read {path}: {error.strerror}", "give a picture file that exists and can be read"
        ) from error
    return encode_bytes(encoder, data, str(path))


def encode_bytes(encoder: Encoder, data: bytes, name: str) -> Vectors:
    """(dim,) the unit vector of a picture in memory.

    Raises:
        UnreadableImage: it is no picture; the message begins with ``name``.
    """
    from retrieval.images import read_picture

    try:
        picture = read_picture(data, encoder.spec.preprocessing)
    except UnreadableImage as error:
        raise UnreadableImage(f"{name}: {error.reason}", error.hint) from error
    vector: Vectors = encoder.encode_images(picture.pixels[None])[0]
    return vector

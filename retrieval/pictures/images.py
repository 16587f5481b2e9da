"""Reading picture files: in this process, or in one that can be ended, if a file may take long or much memory."""

from __future__ import annotations

from typing import Any

from blake3 import blake3
from PIL import Image

from retrieval.encoders.base import Preprocessing
from retrieval.errors import UnreadableImage
from retrieval.pictures import memory
from retrieval.pictures.apart import exif_of_answer, image_of_answer, picture_of_answer, plain
from retrieval.pictures.decoders import Decoded, MissingDecoder, shared
from retrieval.pictures.decoding import MAX_PIXELS, Picture, cut_out_in, exif_in, picture_in, whole_in
from retrieval.pictures.doubtful import doubt_of
from retrieval.pictures.exif import Exif
from retrieval.pictures.formats import IMAGE_EXTENSIONS, no_decoder, sniff
from retrieval.pictures.page_likeness import LOOKED_AT, looks_like_page

__all__ = ["IMAGE_EXTENSIONS", "Picture", "content_hash", "read_cut_out", "read_picture", "read_whole"]


def content_hash(data: bytes) -> bytes:
    """32 bytes of BLAKE3 over the whole file, computed in the calling thread."""
    return blake3(data).digest()


def read_picture(
    data: bytes, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS, seconds: int | None = None
) -> Picture:
    """Decode a picture file (its first frame) to the tower's input; may be called from many threads.

    Equals open_clip's ``image_transform`` of the upright sRGB picture; JPEGs above a megapixel are decoded at
    1/2, 1/4 or 1/8, which keeps the PSNR against it above 50 dB unless they are sharp to the pixel.

    Args:
        data: the whole file.
        preprocessing: of the encoder that will get the pixels.
        max_pixels: pictures with more pixels are refused before they are decoded.
        seconds: CPU time for a file that may take long (see ``doubtful``); default: ``decoders.MOST_SECONDS``.

    Raises:
        UnreadableImage: for anything that makes the file unusable; it takes too long; ``decoders.Abandoned``.
    """
    name = _apart(data)
    if name is None:
        return picture_in(data, preprocessing, max_pixels, memory.shared)
    asked = {"max_pixels": max_pixels, "preprocessing": plain(preprocessing)}
    return picture_of_answer(_decoded("picture", data, name, asked, seconds), preprocessing.size)


def read_whole(data: bytes, side: int, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture file (its first frame) for viewing: upright, sRGB, without any metadata; from any thread.

    Args:
        data: the whole file.
        side: the picture is scaled down to at most this many pixels on its longer side, but never up.
        max_pixels: as in :func:`read_picture`.

    Returns:
        An ``RGB`` picture.

    Raises:
        UnreadableImage: as in :func:`read_picture`.
    """
    name = _apart(data)
    if name is None:
        return whole_in(data, side, max_pixels, memory.shared)
    return image_of_answer(_decoded("whole", data, name, {"max_pixels": max_pixels, "side": side}))


def read_cut_out(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture file (its first frame) with its transparency: upright, ``RGBA``; from any thread.

    Raises:
        UnreadableImage: as in :func:`read_picture`.
    """
    name = _apart(data)
    if name is None:
        return cut_out_in(data, max_pixels, memory.shared)
    return image_of_answer(_decoded("cut out", data, name, {"max_pixels": max_pixels}))


def is_page(data: bytes) -> bool | None:
    """Whether a picture file looks like a page; None if it cannot be decoded. From any thread."""
    try:
        return looks_like_page(read_whole(data, LOOKED_AT))
    except UnreadableImage:
        return None


def read_exif_of(data: bytes) -> Exif:
    """The EXIF of a picture file, without decoding it; empty if it cannot be read. From any thread."""
    try:
        name = _apart(data)
        return exif_in(data, memory.shared) if name is None else exif_of_answer(_decoded("exif", data, name, {}))
    except UnreadableImage:
        return Exif()


def _apart(data: bytes) -> str | None:
    """The format of a file that is decoded in another process; None for all others."""
    return None if doubt_of(data) is None else sniff(data)


def _decoded(work: str, data: bytes, name: str, asked: dict[str, Any], seconds: int | None = None) -> Decoded:
    try:
        return shared.decode(work, data, name, seconds=seconds, **asked)
    except MissingDecoder:
        raise no_decoder(name) from None

"""Make thumbnails of picture files: upright, in sRGB, without metadata."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from PIL import Image

from retrieval.catalog.records import FileChanged, ImageRecord
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import UnreadableImage
from retrieval.pictures.images import content_hash, read_whole
from retrieval.pictures.video import read_frame

_AT_ONCE = 64
_LARGE = 512  # pixels of the longer side: above this, details are visible
_QUALITY, _LARGE_QUALITY = 75, 82


def side_of(image: ImageRecord, side: int) -> int:
    """The length of a thumbnail's longer side: pictures are never enlarged."""
    return min(side, max(image.width, image.height))


def thumbnail_key(image: ImageRecord) -> bytes:
    """32 bytes by which a thumbnail is kept: the content's hash, of a video's frame with its time."""
    if image.time_s is None:
        return image.content_hash
    return content_hash(image.content_hash + round(1000 * image.time_s).to_bytes(8, "big"))


def look_at(image: ImageRecord, side: int) -> Image.Image:
    """An RGB picture of at most ``side`` pixels a side, never enlarged; of a video the frame at its ``time_s``.

    Raises:
        FileChanged: the file is not the one that was indexed, which is decided by its bytes; of a video, which may be
            large, by its size and times.
        OSError: there is none, or it cannot be read.
        UnreadableImage: it cannot be decoded.
    """
    if image.time_s is not None:
        image.open().close()  # unless it is another file by now
        return read_frame(image.path, image.size, image.mtime_ns, image.time_s, side)
    with image.open() as file:
        data = file.read()
    if content_hash(data) != image.content_hash:
        raise FileChanged(f"{image.path} changed since it was indexed")
    return read_whole(data, side)


def thumbnail(image: ImageRecord, side: int) -> Image.Image | None:
    """:func:`look_at`, or None if the file is not as indexed."""
    try:
        return look_at(image, side)
    except (OSError, UnreadableImage):
        return None


def thumbnails(images: Iterable[ImageRecord], side: int) -> Iterator[Image.Image | None]:
    """:func:`thumbnail` of each, on all cores, computing a few dozen ahead."""
    rest = iter(images)
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="photoseek-thumbnail") as pool:
        while block := list(islice(rest, _AT_ONCE)):
            yield from pool.map(lambda image: thumbnail(image, side), block)


def as_webp(picture: Image.Image) -> bytes:
    """A picture as a WebP file, which is half the size of JPEG (3.3 kB instead of 6.3 at 220 pixels)."""
    stored = io.BytesIO()
    quality = _LARGE_QUALITY if max(picture.size) > _LARGE else _QUALITY
    picture.save(stored, "WEBP", quality=quality, method=2)
    return stored.getvalue()


def data_uri(picture: Image.Image | None) -> str | None:
    """A picture as a data URI for a page."""
    if picture is None:
        return None
    return "data:image/webp;base64," + base64.b64encode(as_webp(picture)).decode("ascii")

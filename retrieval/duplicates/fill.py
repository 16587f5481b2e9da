"""Perceptual hashes of pictures that lack some or all of them in the catalog, computed once and then stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from retrieval.catalog.images import set_hashes
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord
from retrieval.encoders.base import Preprocessing
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import GalleryError, UnreadableImage
from retrieval.gallery import Gallery
from retrieval.pictures.images import content_hash, read_picture
from retrieval.pictures.phash import MIN_SIDE
from retrieval.regular_files import MAX_FILE_BYTES
from retrieval.sources.reading import read_anywhere

logger = logging.getLogger("photoseek")

_AT_ONCE = 1000
_SEEN = Preprocessing(size=MIN_SIDE, resize="squash")  # the whole picture at a small size: JPEGs are decoded reduced


def missing_hashes(
    gallery: Gallery, reader: CatalogReader, ids: Sequence[int], on_progress: Callable[[str, int, int], None]
) -> dict[int, bytes]:
    """The perceptual hashes of pictures that lack some or all of them in the catalog, by id; also stored there.

    Files that are missing, unreadable, or not as indexed (their bytes are compared) are left out. If the
    catalog cannot be written to, the hashes are used but not stored.
    """
    found: dict[int, bytes] = {}
    keep = True
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="photoseek-hash") as pool:
        for start in range(0, len(ids), _AT_ONCE):
            on_progress("hashing", start, len(ids))
            images = reader.records(ids[start : start + _AT_ONCE])
            seen = zip(images, pool.map(_hash_of, images), strict=True)
            new = [(image, phash) for image, phash in seen if phash is not None]
            found.update((image.id, phash) for image, phash in new)
            keep = keep and _remember(gallery, new)
    return found


def _hash_of(image: ImageRecord) -> bytes | None:
    try:
        data = read_anywhere(image.path, MAX_FILE_BYTES)
        return read_picture(data, _SEEN).phash if content_hash(data) == image.content_hash else None
    except (OSError, UnreadableImage):
        return None


def _remember(gallery: Gallery, new: Sequence[tuple[ImageRecord, bytes]]) -> bool:
    """Store hashes; logs a warning and returns False if that fails."""
    if not new:
        return True
    try:
        with gallery.writer() as catalog, catalog.transaction() as transaction:
            set_hashes(transaction, new)
    except GalleryError as error:
        logger.warning("%s; the pictures' hashes are not kept for the next time", error.message)
        return False
    return True

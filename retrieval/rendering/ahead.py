"""Make the thumbnails of a whole gallery ahead of time, and the missing average colours."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from PIL import Image

from retrieval.catalog.images import set_colours
from retrieval.catalog.orders import ids_latest_first
from retrieval.catalog.records import ImageRecord
from retrieval.encoders.onnx.encoder import available_cpus
from retrieval.errors import GalleryError, UnreadableImage
from retrieval.gallery import Gallery
from retrieval.pictures.colour import average_colour
from retrieval.rendering.thumbnail_store import MAX_BYTES, ThumbnailStore
from retrieval.rendering.thumbnails import as_webp, look_at, side_of, thumbnail_key

logger = logging.getLogger("photoseek")

SIDE = 240
"""Pixels of the longer side, as in the web page's grid."""

_AT_ONCE = 256


@dataclass
class Ahead:
    """The result.

    Attributes:
        made, known: thumbnails that were created, and that existed before.
        coloured: pictures whose missing average colour was computed.
        failed: files that are missing, changed or unreadable.
        is_full: there was not enough room for all.
    """

    made: int = 0
    known: int = 0
    coloured: int = 0
    failed: int = 0
    is_full: bool = False


class _Seen(NamedTuple):
    """The result for one picture; ``colour`` is None if it was known, or the picture could not be read."""

    outcome: str  # the field of Ahead to increase
    colour: int | None = None
    is_kept: bool = True


def make_ahead(
    gallery: Gallery,
    *,
    max_bytes: int = MAX_BYTES,
    on_progress: Callable[[int, int], None] = lambda _, __: None,
    stop: Callable[[], bool] = lambda: False,
) -> Ahead:
    """Make the thumbnails that a gallery does not have yet, newest pictures first, as long as there is room.

    Args:
        on_progress: called with the number of processed pictures, and of all.
        stop: called every few hundred pictures; True ends the run.

    Raises:
        GalleryNotFound: there is no gallery.
    """
    report, store = Ahead(), ThumbnailStore(gallery.path, max_bytes)
    with gallery.reader() as reader:
        ids = ids_latest_first(reader).tolist()
        with ThreadPoolExecutor(available_cpus(), thread_name_prefix="photoseek-thumbnail") as pool:
            for start in range(0, len(ids), _AT_ONCE):
                if stop() or report.is_full:
                    break
                images = reader.records(ids[start : start + _AT_ONCE])
                seen = list(pool.map(partial(_see, store), images))
                _count(report, seen)
                colours = [(each.colour, image) for image, each in zip(images, seen, strict=True)]
                report.coloured += _remember(gallery, [(c, image) for c, image in colours if c is not None])
                on_progress(start + len(images), len(ids))
    store.close()
    return report


def _see(store: ThumbnailStore, image: ImageRecord) -> _Seen:
    side = side_of(image, SIDE)
    data = store.find(thumbnail_key(image), side)
    try:
        if data is not None:
            return _Seen("known", _missing_colour(image, lambda: Image.open(io.BytesIO(data))))
        picture = look_at(image, side)
    except (OSError, UnreadableImage):
        return _Seen("failed")
    is_kept = store.add(thumbnail_key(image), side, as_webp(picture), in_place_of_others=False)
    return _Seen("made", _missing_colour(image, lambda: picture), is_kept)


def _missing_colour(image: ImageRecord, picture: Callable[[], Image.Image]) -> int | None:
    if image.colour is not None:
        return None
    seen = picture()
    return average_colour(seen, seen)


def _count(report: Ahead, seen: Sequence[_Seen]) -> None:
    for each in seen:
        if each.is_kept:
            setattr(report, each.outcome, getattr(report, each.outcome) + 1)
        else:
            report.is_full = True


def _remember(gallery: Gallery, found: Sequence[tuple[int, ImageRecord]]) -> int:
    """Store average colours; returns how many. An index does not need to replay this change."""
    if not found:
        return 0
    try:
        with gallery.writer(admits_runs=True) as catalog, catalog.transaction() as transaction:
            set_colours(transaction, [(image, colour) for colour, image in found])
    except GalleryError as error:
        logger.warning("%s; the pictures' colours are not kept", error.message)
        return 0
    return len(found)

"""Write tags and captions of the gallery's pictures, each with its source."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.labels import add_said, is_tagged, remove_said, spellings
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import QueryError, UnknownImage
from retrieval.filters import Filter
from retrieval.folding import fold
from retrieval.gallery import Gallery
from retrieval.labels.reading import MERGED, USER, ImageLabels, labels_of
from retrieval.paths import parse_picture
from retrieval.tag_text import clean_caption, clean_tag
from retrieval.undone import OF_THE_ITEM, Refused, item

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

logger = logging.getLogger("photoseek")

_TAKEN_AWAY = (USER, MERGED)
"""Whose tags and captions the user takes away; what XMP says is taken away there."""


@dataclass(frozen=True)
class LabelEdit:
    """What is to be said, or not said any more, by the user; tags and the caption in any spelling.

    Args:
        tags: to add.
        without_tags: to take away.
        caption: takes the place of the user's caption, if there is one.
        without_caption: the user's caption is taken away.

    Raises:
        QueryError: nothing or something contradictory is asked for, or a text cannot be a tag or a caption.
    """

    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    caption: str | None = None
    without_caption: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(dict.fromkeys(map(clean_tag, self.tags))))
        object.__setattr__(self, "without_tags", tuple(dict.fromkeys(map(clean_tag, self.without_tags))))
        if self.caption is not None:
            object.__setattr__(self, "caption", clean_caption(self.caption))
        without = {fold(tag) for tag in self.without_tags}
        if both := [tag for tag in self.tags if fold(tag) in without]:
            raise QueryError(f"the tag {min(both)!r} cannot be added and removed at once", "do one of the two")
        if self.caption is not None and self.without_caption:
            raise QueryError("a caption cannot be set and removed at once", "do one of the two")
        if not (self.tags or self.without_tags or self.caption is not None or self.without_caption):
            raise QueryError("there is nothing to change", "give --tag, --caption, --remove-tag or --remove-caption")


@dataclass
class EditReport:
    """What became of an edit: pictures asked for, and how many tags and captions came and went."""

    pictures: int = 0
    tags_added: int = 0
    tags_removed: int = 0
    captions_added: int = 0
    captions_removed: int = 0


def find_images(
    reader: CatalogReader, targets: Iterable[str | Path | int], refused: Refused | None = None
) -> list[int]:
    """The ids of pictures of the gallery, each once.

    Args:
        targets: paths of pictures, of folders (everything indexed below them), ids, or ``id:12``.
        refused: told of a target that the gallery does not hold, which is then left out; without it, that is raised.

    Raises:
        UnknownImage: the gallery holds no such picture, or nothing in that folder.
    """
    found: dict[int, None] = {}
    for target in targets:
        with item(target, refused):
            found.update(dict.fromkeys(_ids_of(reader, target)))
    return list(found)


@dataclass(frozen=True)
class NotHeld:
    """What was named among other pictures and is not in the gallery, and what is said of it."""

    path: str
    error: str


def labels_in_order(
    reader: CatalogReader, targets: Iterable[str | Path | int], refused: Refused | None = None
) -> Iterator[ImageLabels | NotHeld]:
    """What is said about pictures, each once, in the order in which they were named; see :func:`find_images`."""
    seen: set[int] = set()
    for target in targets:
        try:
            ids = [image_id for image_id in _ids_of(reader, target) if image_id not in seen]
        except OF_THE_ITEM as error:
            if refused is None:
                raise
            refused(str(target), error)
            yield NotHeld(str(target), error.message)
            continue
        seen.update(ids)
        yield from labels_of(reader, ids)


def _ids_of(reader: CatalogReader, target: str | Path | int) -> list[int]:
    picture = parse_picture(target) if isinstance(target, str) else target
    if isinstance(picture, int):
        ids = [record.id for record in reader.records([picture])]
    else:
        record = reader.record_at(picture)
        ids = reader.select(Filter(under=(picture,))).tolist() if record is None else [record.id]
    if not ids:
        raise UnknownImage(
            f"there is no picture {target} in the gallery",
            "index its folder first (photoseek index FOLDER), or use an id from a search with --json",
        )
    return ids


def edit_labels(
    gallery: Gallery, targets: Sequence[str | Path | int], edit: LabelEdit, refused: Refused | None = None
) -> EditReport:
    """Say something about pictures, as the user; what sidecars or a model say is not touched.

    Args:
        targets, refused: see :func:`find_images`.

    Raises:
        UnknownImage: see :func:`find_images`; nothing is changed then.
        GalleryNotFound, GalleryLocked: there is no gallery, or another process writes to it.
    """
    with gallery.reader() as reader:
        ids = find_images(reader, targets, refused)
    report = EditReport(len(ids))
    if not ids:
        return report
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        for tag in edit.tags:
            report.tags_added += add_said(transaction, "tags", [(id_, tag, USER) for id_ in ids])
        for tag in spellings(transaction, edit.without_tags).values():
            removed = remove_said(transaction, "tags", ids, _TAKEN_AWAY, value=tag)
            report.tags_removed += removed
            if not removed:
                _explain_absence(transaction, tag, ids)
        if edit.caption is not None or edit.without_caption:
            report.captions_removed = remove_said(transaction, "captions", ids, _TAKEN_AWAY, but=edit.caption)
        if edit.caption is not None:
            report.captions_added = add_said(transaction, "captions", [(id_, edit.caption, USER) for id_ in ids])
    return report


def _explain_absence(transaction: Transaction, tag: str, ids: Sequence[int]) -> None:
    """Say why a tag could not be taken away."""
    if is_tagged(transaction, ids, tag):
        logger.warning("%r comes from the picture's XMP: take it away there, then photoseek label --import-xmp", tag)
    else:
        logger.warning("no picture had the tag %r from you", tag)

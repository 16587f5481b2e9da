"""Store what people say about the gallery's pictures, each value with its source."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.labels import Kind, add_said, is_tagged, remove_said, spellings
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
"""Sources whose tags, captions, ... the user can remove; values from XMP are removed in the XMP."""

RATINGS = range(-1, 6)
"""Stars, 0 for none and -1 for rejected, as in XMP."""


@dataclass(frozen=True)
class LabelEdit:
    """The changes that the user requests; tags and the caption in any spelling.

    Args:
        tags: to add.
        without_tags: to remove.
        caption: replaces the user's caption, if there is one.
        without_caption: remove the user's caption.
        rating: 0 to 5 stars, or -1 for rejected; takes precedence over XMP.
        without_rating: remove the user's rating, so that XMP's applies again.
        favourite: True: make the pictures favourites; False: make them ordinary again; None: no change.
        hidden: True: leave the pictures out of every list that does not ask for hidden ones; False: show them again.

    Raises:
        QueryError: no change or a contradictory one is requested, or a text cannot be a tag or a caption.
    """

    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    caption: str | None = None
    without_caption: bool = False
    rating: int | None = None
    without_rating: bool = False
    favourite: bool | None = None
    hidden: bool | None = None

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
        if self.rating is not None and self.without_rating:
            raise QueryError("a rating cannot be set and removed at once", "do one of the two")
        if self.rating is not None and self.rating not in RATINGS:
            raise QueryError(f"there is no rating {self.rating}", "use 0 to 5, or -1 for rejected")
        asked = (self.tags, self.without_tags, self.without_caption, self.without_rating)
        if not any(asked) and all(each is None for each in (self.caption, self.rating, self.favourite, self.hidden)):
            raise QueryError("there is nothing to change", "give --tag, --caption, --rating, --favourite, ...")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of labels that it changes."""
        asked: dict[Kind, object] = {
            "tags": self.tags or self.without_tags,
            "captions": self.caption is not None or self.without_caption,
            "ratings": self.rating is not None or self.without_rating,
            "favourites": self.favourite is not None,
            "hidden": self.hidden is not None,
        }
        return tuple(kind for kind, is_asked in asked.items() if is_asked)


def parse_rating(text: str) -> tuple[int | None, bool]:
    """A rating as people type it, and whether it is to be removed: ``4``, ``rejected``, ``remove``.

    Raises:
        QueryError: it is none of these.
    """
    word = fold(text.strip())
    if word == "remove":
        return None, True
    if word in ("rejected", "reject"):
        return -1, False
    if word.lstrip("-").isdecimal() and word.isascii() and len(word) < 3 and int(word) in RATINGS:
        return int(word), False
    raise QueryError(f"{text[:40]!r} is no rating", "use 0 to 5, rejected, or remove")


@dataclass
class EditReport:
    """The result of an edit: the number of pictures named, and how many tags, captions, ... were added or removed."""

    pictures: int = 0
    tags_added: int = 0
    tags_removed: int = 0
    captions_added: int = 0
    captions_removed: int = 0
    ratings_added: int = 0
    ratings_removed: int = 0
    favourites_added: int = 0
    favourites_removed: int = 0
    hidden_added: int = 0
    hidden_removed: int = 0


def find_images(
    reader: CatalogReader, targets: Iterable[str | Path | int], refused: Refused | None = None
) -> list[int]:
    """The ids of pictures of the gallery, each once.

    Args:
        targets: paths of pictures, of folders (everything indexed below them), ids, or ``id:12``.
        refused: called with a target that the gallery does not hold, which is skipped; without it, an error is raised.

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
    """A target that is not in the gallery, and the error message for it."""

    path: str
    error: str


def labels_in_order(
    reader: CatalogReader, targets: Iterable[str | Path | int], refused: Refused | None = None
) -> Iterator[ImageLabels | NotHeld]:
    """The labels of pictures, each once, in the order in which they were named; see :func:`find_images`."""
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
    """Change labels of pictures, as the user; labels from sidecars or a model are not touched.

    Args:
        targets, refused: see :func:`find_images`.

    Raises:
        UnknownImage: see :func:`find_images`; nothing is changed then.
        GalleryNotFound, GalleryLocked: there is no gallery; see ``Gallery.labeller``.
    """
    with gallery.reader() as reader:
        ids = find_images(reader, targets, refused)
    if not ids:
        return EditReport()
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        return apply_edit(transaction, ids, edit)


def apply_edit(transaction: Transaction, ids: Sequence[int], edit: LabelEdit) -> EditReport:
    """Change labels of pictures of the gallery, as the user, in a transaction; see :func:`edit_labels`."""
    report = EditReport(len(ids))
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
    if edit.rating is not None or edit.without_rating:
        report.ratings_removed = remove_said(transaction, "ratings", ids, _TAKEN_AWAY, but=edit.rating)
    if edit.rating is not None:
        report.ratings_added = add_said(transaction, "ratings", [(id_, edit.rating, USER) for id_ in ids])
    if edit.favourite:
        report.favourites_added = add_said(transaction, "favourites", [(id_, 1, USER) for id_ in ids])
    elif edit.favourite is not None:
        report.favourites_removed = remove_said(transaction, "favourites", ids, _TAKEN_AWAY)
    if edit.hidden:
        report.hidden_added = add_said(transaction, "hidden", [(id_, 1, USER) for id_ in ids])
    elif edit.hidden is not None:
        report.hidden_removed = remove_said(transaction, "hidden", ids, _TAKEN_AWAY)
    return report


def _explain_absence(transaction: Transaction, tag: str, ids: Sequence[int]) -> None:
    """Log why a tag could not be removed."""
    if is_tagged(transaction, ids, tag):
        logger.warning("%r comes from the picture's XMP: take it away there, then photoseek label --import-xmp", tag)
    else:
        logger.warning("no picture had the tag %r from you", tag)

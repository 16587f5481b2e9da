"""Several encoders in one gallery: resolving names, the one for text search, dropping one."""

from __future__ import annotations

import difflib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.catalog.encoders import delete_encoder
from retrieval.encoders.names.image_models import parse_image_name
from retrieval.encoders.names.known_models import (
    BUILTIN,
    canonical_name,
    is_builtin,
    is_known_image_only,
    text_not_supported,
)
from retrieval.errors import (
    EncoderMismatch,
    GalleryNotFound,
    IndexUnreachable,
    SettingsError,
    TextNotSupported,
    UnknownEncoder,
)
from retrieval.streams import plural
from retrieval.sync import store_of

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.encoders.base import Encoder
    from retrieval.gallery import Gallery

logger = logging.getLogger("photoseek")

_FINGERPRINT_DIGITS = 6
"""Minimal length of a prefix of a fingerprint."""


@dataclass(frozen=True)
class Dropped:
    """What was removed from a gallery.

    Attributes:
        encoder: its former row.
        embeddings: number of removed embeddings.
        active: the encoder used in searches now; None if none is left.
    """

    encoder: EncoderRow
    embeddings: int
    active: EncoderRow | None


def named_encoder(rows: Sequence[EncoderRow], name: str) -> EncoderRow:
    """The encoder among ``rows`` with this name (in any spelling), or with this prefix of its fingerprint.

    A path or a pooling that identifies only one of them may be omitted: ``dinov2-b14`` also means
    ``dinov2-b14+gap=weights.safetensors``.

    Raises:
        UnknownEncoder: none or several match; the hint contains the nearest names or the fingerprints.
    """
    wanted = canonical_name(name).casefold()
    ways = (
        [row for row in rows if row.name == name],  # FAMILY:NAME of another package
        [row for row in rows if row.name.casefold() == wanted],
        [row for row in rows if len(wanted) >= _FINGERPRINT_DIGITS and row.fingerprint.startswith(wanted)],
        [row for row in rows if _plain(row.name).casefold() == wanted],
        [row for row in rows if is_builtin(wanted) and row.name == BUILTIN],
    )
    found = next((way for way in ways if way), [])
    if len(found) == 1:
        return found[0]
    if found:
        each = ", ".join(f"{row.name} is {row.fingerprint[:12]}" for row in found)
        raise UnknownEncoder(f"this gallery has several encoders called {name!r}", f"give a fingerprint: {each}")
    names = {_plain(row.name).casefold(): _plain(row.name) for row in rows}
    near = [names[n] for n in difflib.get_close_matches(wanted, names, 3, 0.4)]
    known = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(names.values()) or 'none yet'}."
    raise UnknownEncoder(
        f"this gallery has no embeddings by {name!r}", f"{known} To add them: photoseek index --model {name}"
    )


def chosen_encoder(gallery: Gallery, reader: CatalogReader, encoder: Encoder | None, model: str | None) -> EncoderRow:
    """The row of an encoder that is given as an object, or by its name.

    Raises:
        SettingsError: both are given.
        UnknownEncoder: see :func:`named_encoder`.
        GalleryNotFound: nothing is indexed yet.
        EncoderMismatch: this gallery has no embeddings by ``encoder``.
    """
    rows = reader.encoders()
    if model is not None:
        if encoder is not None:
            raise SettingsError("an encoder and a model were both given", "give one of them")
        return named_encoder(rows, model)
    assert encoder is not None
    for row in rows:
        if row.fingerprint == encoder.spec.fingerprint:
            return row
    if not rows:
        raise GalleryNotFound(f"nothing is indexed in {gallery.path}", "run: photoseek index FOLDER")
    raise EncoderMismatch(
        f"this gallery was built with {', '.join(row.name for row in rows)}, not with {encoder.spec.name}",
        f"search with its own model, or run: photoseek index --model {encoder.spec.name}",
    )


def no_words(rows: Sequence[EncoderRow], asked: EncoderRow) -> TextNotSupported:
    """The error for a text query with an image-only encoder; names another one in ``rows`` that may support text."""
    others = [row.name for row in rows if row.id != asked.id and not is_known_image_only(row.name)]
    hint = f"for words, this gallery has {others[0]}: photoseek search --model {others[0]}" if others else ""
    return text_not_supported(asked.name, hint)


def warn_of_unseen(reader: CatalogReader, row: EncoderRow, seen: int) -> None:
    """Warn that an encoder is not up to date: ``photoseek index`` by itself only updates the active one."""
    present = reader.count()
    if seen < present:
        pictures = plural(present, "picture")
        logger.warning("%s has seen %d of %s; the rest: photoseek index --model %s", row.name, seen, pictures, row.name)


def drop_encoder(gallery: Gallery, name: str, *, even_last: bool = False) -> Dropped:
    """Remove an encoder's embeddings, predicted tags, run records and saved index from a gallery, and its row.

    Pictures, their tags and captions, and other encoders' embeddings stay. If it was the active encoder, the
    one that has encoded most pictures becomes active, preferably one with a text tower.

    Args:
        even_last: also if no encoder is left then; the next ``index`` encodes every picture again.

    Raises:
        UnknownEncoder: the gallery has no such encoder.
        SettingsError: it is the last one.
        GalleryNotFound, GalleryLocked: see ``Gallery``.
    """
    with gallery.reader() as reader:
        named_encoder(reader.encoders(), name)  # before the writer's lock creates a gallery that does not exist
    with gallery.writer() as catalog, gallery.reader() as reader:
        rows = reader.encoders()
        row, active = named_encoder(rows, name), reader.active_encoder()
        others = [other for other in rows if other.id != row.id]
        if not others and not even_last:
            raise SettingsError(
                f"{row.name} is the only encoder of {gallery.path}; without it no search is possible",
                "index with another model first, or add --yes",
            )
        if active is None or active.id == row.id:
            active = max(
                others, key=lambda one: (not is_known_image_only(one.name), reader.count(one.id)), default=None
            )
        _drop_index(gallery, reader, row)
        with catalog.transaction() as transaction:
            removed = delete_encoder(transaction, row.id, active)
            # Before the commit: if interrupted between the two, a run builds the index again; in the other order it
            # would never be removed.
            for folder in (gallery.index_path(row.fingerprint), gallery.relevance_path(row.fingerprint)):
                shutil.rmtree(folder, ignore_errors=True)
    return Dropped(row, removed, active)


def _drop_index(gallery: Gallery, reader: CatalogReader, row: EncoderRow) -> None:
    """Remove an encoder's saved index; if it is in a server that cannot be used, it stays there."""
    try:
        store_of(gallery.index_path(row.fingerprint), reader, row).drop()
    except IndexUnreachable as error:
        logger.warning("%s; what it holds of %s stays there", error.message, row.name)


def _plain(name: str) -> str:
    """An image-only model's name without pooling, size and path; others unchanged."""
    form = parse_image_name(name)
    return name if form is None else form.model

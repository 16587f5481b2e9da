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
from retrieval.encoders.names.models import BUILTIN, canonical_name, is_builtin, is_known_image_only, text_not_supported
from retrieval.errors import SettingsError, TextNotSupported, UnknownEncoder
from retrieval.streams import plural

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.gallery import Gallery

logger = logging.getLogger("photoseek")

_FINGERPRINT_DIGITS = 6
"""The least that counts as the beginning of a fingerprint."""


@dataclass(frozen=True)
class Dropped:
    """What left a gallery.

    Attributes:
        encoder: its row as it was.
        embeddings: how many of its embeddings were removed.
        active: the encoder that searches use now; None if none is left.
    """

    encoder: EncoderRow
    embeddings: int
    active: EncoderRow | None


def find_tower(rows: Sequence[EncoderRow], name: str) -> EncoderRow:
    """The encoder among ``rows`` that a name (in any spelling), or the beginning of a fingerprint, means.

    A path or a pooling that only one of them has need not be said: ``dinov2-b14`` is also
    ``dinov2-b14+gap=weights.safetensors``.

    Raises:
        UnknownEncoder: none of them, or several; the hint has the nearest names or the fingerprints.
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


def no_words(rows: Sequence[EncoderRow], asked: EncoderRow) -> TextNotSupported:
    """The error for words given to an image-only encoder; it names another one among ``rows`` that may have words."""
    others = [row.name for row in rows if row.id != asked.id and not is_known_image_only(row.name)]
    hint = f"for words, this gallery has {others[0]}: photoseek search --model {others[0]}" if others else ""
    return text_not_supported(asked.name, hint)


def warn_of_unseen(reader: CatalogReader, row: EncoderRow, seen: int) -> None:
    """Tell that an encoder is behind: ``photoseek index`` alone brings only the active one up to date."""
    present = reader.count()
    if seen < present:
        pictures = plural(present, "picture")
        logger.warning("%s has seen %d of %s; the rest: photoseek index --model %s", row.name, seen, pictures, row.name)


def drop_tower(gallery: Gallery, name: str, *, even_last: bool = False) -> Dropped:
    """Remove an encoder's embeddings, predicted tags, run records and saved index from a gallery, and its row.

    Pictures, what people said of them, and other encoders' embeddings stay. If searches used it, they go on with the
    encoder that has seen most pictures, one with words before one without.

    Args:
        even_last: also if no encoder is left then; the next ``index`` encodes every picture again.

    Raises:
        UnknownEncoder: the gallery has no such encoder.
        SettingsError: it is the last one.
        GalleryNotFound, GalleryLocked: see ``Gallery``.
    """
    with gallery.reader() as reader:
        find_tower(reader.encoders(), name)  # before the writer's lock makes a gallery that is not there
    with gallery.writer() as catalog, gallery.reader() as reader:
        rows = reader.encoders()
        row, active = find_tower(rows, name), reader.active_encoder()
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
        with catalog.transaction() as transaction:
            removed = delete_encoder(transaction, row.id, active)
            # Before the commit: cut off between the two, a run makes the index again; the other way round nobody would
            # ever remove it.
            for folder in (gallery.index_path(row.fingerprint), gallery.relevance_path(row.fingerprint)):
                shutil.rmtree(folder, ignore_errors=True)
    return Dropped(row, removed, active)


def _plain(name: str) -> str:
    """An image-only model's name without pooling, size and path; others unchanged."""
    form = parse_image_name(name)
    return name if form is None else form.model

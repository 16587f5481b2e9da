"""What a run does with a gallery's existing embeddings: drops damaged ones, computes adapted ones, chooses the active
encoder. No picture is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from retrieval.catalog.embeddings import add_embeddings, missing_from
from retrieval.catalog.encoders import encoder_of
from retrieval.catalog.moments import Moment, moments_of, set_moments
from retrieval.catalog.records import pack_vector
from retrieval.catalog.stored import damaged_images
from retrieval.encoders.adapter import AdaptedEncoder
from retrieval.encoders.names.known_models import is_known_image_only
from retrieval.paths import is_below

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.transaction import Transaction
    from retrieval.catalog.writer import Catalog
    from retrieval.encoders.base import Encoder
    from retrieval.indexing.report import IndexReport

_AT_ONCE = 4096


def drop_damaged(catalog: Catalog, reader: CatalogReader, encoder_id: int) -> int:
    """Delete damaged embeddings and records, so that these pictures are read and encoded again; how many they are.
    they are.
    """
    row = next(e for e in reader.encoders() if e.id == encoder_id)
    damaged = damaged_images(reader, row)
    if damaged:
        catalog.drop_embeddings(encoder_id, damaged)
    return len(damaged)


def adapt_stored(
    catalog: Catalog, encoder: Encoder, encoder_id: int, *, stop: Callable[[], bool] = lambda: False
) -> int:
    """Give every image embedded by the base encoder an embedding by its adapter; how many were computed.

    Nothing happens for an encoder that is not an adapter, or whose base has embedded nothing. Retired images get
    theirs too, so that restoring them stays equally cheap.

    Args:
        encoder_id: the adapter's row in the catalog.
        stop: called between transactions of a few thousand images.
    """
    if not isinstance(encoder, AdaptedEncoder):
        return 0
    made, after = 0, 0
    while not stop():
        with catalog.transaction() as transaction:
            base = encoder_of(transaction, encoder.folder.base.fingerprint)
            if base is None:
                return made
            last, ids, vectors = missing_from(transaction, base, encoder_id, after, _AT_ONCE)
            if last is None:
                return made
            if ids:  # the others are damaged, and read again
                add_embeddings(transaction, encoder_id, ids, encoder.adapt(vectors))
                _adapt_moments(transaction, encoder, base, encoder_id, ids)
        made, after = made + len(ids), last
    return made


def _adapt_moments(
    transaction: Transaction, encoder: AdaptedEncoder, base: EncoderRow, encoder_id: int, ids: Sequence[int]
) -> None:
    """Likewise for the frames of those images that are videos."""
    images, times, vectors = moments_of(transaction, ids, base)
    if not times:
        return
    made: dict[int, list[Moment]] = {}
    for image, time, vector in zip(images.tolist(), times, encoder.adapt(vectors), strict=True):
        made.setdefault(image, []).append((time, pack_vector(vector)))
    for image, moments in made.items():
        set_moments(transaction, image, encoder_id, moments)


def choose_active(
    catalog: Catalog,
    reader: CatalogReader,
    encoder: Encoder,
    encoder_id: int,
    unplugged: Iterable[str],
    report: IndexReport,
) -> None:
    """Use this encoder for searches once it has seen every reachable image.

    An image-only encoder never replaces one that may support words: it serves searches that name it.

    Args:
        unplugged: folders of drives that are not mounted now.
        report: records which encoder searches keep using, if it is another one.
    """
    active = reader.active_encoder()
    if active is None or active.id == encoder_id:
        return
    if not encoder.spec.has_text and not is_known_image_only(active.name):
        report.words_by = active.name
        return
    reachable = (
        folder for folder in catalog.unembedded(encoder_id) if not any(is_below(folder, mount) for mount in unplugged)
    )
    if any(True for _ in reachable):
        report.still_searching_with = active.name
    else:
        catalog.activate_encoder(encoder_id)

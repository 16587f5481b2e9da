"""A vector index in sync with the catalog: replay changes since it was saved, rebuild it if damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexes import IndexSpec, Manifest, create_index, recommend_spec
from indexes.base import Vectors
from indexes.factory import MutableIndex
from indexes.store import FolderStore, IndexStore, Owner
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import IndexUnreachable, SnapshotCorrupt, SnapshotStale, SpecError

logger = logging.getLogger("photoseek")

_INSTEAD = "the catalog is used instead, until photoseek index makes it anew"
_MOST_WITHOUT_SERVER = 1 << 30
"""Bytes of vectors that a reader compares in memory while an index's server cannot be used."""


@dataclass
class SyncedIndex:
    """A vector index, the number of the last catalog change that it contains, and how many images are missing in its
    snapshot (if there is one)."""

    index: MutableIndex
    change: int
    unsaved: int = 0


def store_of(folder: Path, reader: CatalogReader, encoder: EncoderRow) -> IndexStore:
    """Where an encoder's index is kept: in ``folder``, or in the server that was asked for with ``index --index``."""
    return _store(reader.index_spec(), folder, reader, encoder)


def _store(asked: str | None, folder: Path, reader: CatalogReader, encoder: EncoderRow) -> IndexStore:
    owner = Owner(encoder.fingerprint, encoder.dim, reader.revision)
    if asked is not None and "://" in asked:
        from retrieval.index_servers import server_store

        store = server_store(asked, owner, reader.identity())
        if store is not None:
            return store
    return FolderStore(folder, owner)


def check_reachable(folder_of: Callable[[str], Path], reader: CatalogReader) -> None:
    """Raise IndexUnreachable if the index that searches use is in a server that cannot be used now.

    Args:
        folder_of: from an encoder's fingerprint to the folder for its index.
    """
    encoder = reader.active_encoder()
    if encoder is None:
        return
    store = store_of(folder_of(encoder.fingerprint), reader, encoder)
    if not isinstance(store, FolderStore):
        with suppress(SnapshotCorrupt):  # it answers; what it holds is looked at elsewhere
            store.describe()


def leave_stores(asked: str | None, folder_of: Callable[[str], Path], reader: CatalogReader) -> None:
    """Drop the indexes from where they were kept when ``asked`` was the specification, if that is elsewhere now.

    Args:
        folder_of: from an encoder's fingerprint to the folder for its index.
    """
    now = reader.index_spec()
    if (asked or "").partition("?")[0] == (now or "").partition("?")[0] or "://" not in f"{asked} {now}":
        return
    for encoder in reader.encoders():
        try:
            _store(asked, folder_of(encoder.fingerprint), reader, encoder).drop()
        except IndexUnreachable as error:
            logger.warning("%s; what it holds of this gallery stays there", error.message)


def open_index(
    folder: Path, reader: CatalogReader, encoder: EncoderRow, *, for_writing: bool = False, verify: bool = False
) -> SyncedIndex:
    """The saved index, updated in memory; with ``for_writing``, an index in a server is updated there.

    A missing or damaged index, or one of another catalog, costs time but never changes results: the index is then
    built from the catalog, as an exact one, because a reader should not spend seconds on training that the next writer
    will do anyway. While its server cannot be used, a reader does the same for a gallery that fits into 1 GiB.

    Args:
        for_writing: read the vectors instead of mapping them, and check every byte against its checksum.
        verify: check every byte, even of a snapshot so large that a reader normally checks only a part.

    Raises:
        IndexUnreachable: the index's server cannot be used; a reader raises it for larger galleries only.
    """
    synced: SyncedIndex | None = None
    store = store_of(folder, reader, encoder)
    try:
        loaded = store.open(for_writing=for_writing, verify=verify)
        if loaded is not None:
            synced = SyncedIndex(*loaded)
    except SnapshotStale as error:
        # It is intact but unusable: a writer builds a new one, a reader logs why it is slow.
        logger.log(logging.INFO if for_writing else logging.WARNING, "%s; %s", error.message, _INSTEAD)
    except SnapshotCorrupt as error:
        logger.warning("%s; %s", error.message, "it is made anew" if for_writing else _INSTEAD)
    except IndexUnreachable as error:
        if for_writing or reader.count(encoder.id) * encoder.dim * 4 > _MOST_WITHOUT_SERVER:
            raise
        logger.warning("%s; until then the catalog is searched, without an index", str(error).replace("\n", "; "))
    if synced is None or synced.change > reader.change():
        # The index is ahead of the catalog, so the catalog was restored from a backup.
        if synced is not None:
            synced.index.close()
        if for_writing and not isinstance(store, FolderStore):
            synced = SyncedIndex(store.create(wanted_spec(reader, encoder, None)[0]), 0)  # built where it is saved
        else:
            synced = SyncedIndex(create_index(IndexSpec.parse("Exact"), encoder.dim), 0)
    catch_up(synced, reader, encoder)
    return synced


def exact_index(reader: CatalogReader, encoder: EncoderRow) -> MutableIndex:
    """An exact index built from the catalog only, for callers that found the saved one to be wrong."""
    return rebuild(IndexSpec.parse("Exact"), reader, encoder).index


def catch_up(synced: SyncedIndex, reader: CatalogReader, encoder: EncoderRow) -> int:
    """Replay the changes after ``synced.change``; returns the number of affected images.

    Replay is remove-then-add, so doing it twice is harmless.
    """
    if synced.change == reader.change():
        return 0
    touched = 0
    # Not "change > 0": an interrupted first replay has left rows behind.
    has_rows = len(synced.index) > 0
    for piece in reader.changes(synced.change, encoder, moments=True):
        touched += len(piece.touched)
        if has_rows:
            synced.index.remove(piece.touched)
        synced.index.add(piece.ids, piece.vectors)
        last = piece.last
    assert last is not None, "the last piece of a replay carries its change number"
    synced.change = last
    synced.unsaved += touched
    return touched


def rebuild(
    spec: IndexSpec, reader: CatalogReader, encoder: EncoderRow, store: IndexStore | None = None
) -> SyncedIndex:
    """A new index of the given kind with all vectors in the catalog; to be saved in ``store``."""
    index = create_index(spec, encoder.dim) if store is None else store.create(spec)
    if spec.needs_training:
        index.train(_training_sample(spec, reader, encoder))
    synced = SyncedIndex(index, 0)
    catch_up(synced, reader, encoder)
    return synced


def _training_sample(spec: IndexSpec, reader: CatalogReader, encoder: EncoderRow) -> Vectors:
    """Embeddings sampled evenly from the whole gallery: the first ones may all be of one holiday."""
    total = _count(reader, encoder)
    wanted = spec.training_size(total)
    chosen = np.zeros(total, dtype=bool)
    chosen[np.random.default_rng(0).permutation(total)[:wanted]] = True  # the same gallery gives the same index
    parts: list[Vectors] = []
    seen = 0
    for piece in reader.changes(0, encoder, moments=True):
        parts.append(piece.vectors[chosen[seen : seen + len(piece.ids)]])
        seen += len(piece.ids)
    return np.concatenate(parts)


def _count(reader: CatalogReader, encoder: EncoderRow) -> int:
    """Vectors that an index holds: of pictures, and of the frames of videos."""
    return reader.count(encoder.id) + len(reader.moment_ids(encoder.id))


def saved_manifest(folder: Path, reader: CatalogReader, encoder: EncoderRow) -> Manifest | None:
    """The manifest of this catalog's index; None if there is none, or none that can be used."""
    try:
        return store_of(folder, reader, encoder).describe()
    except (SnapshotCorrupt, IndexUnreachable):
        return None


def wanted_spec(reader: CatalogReader, encoder: EncoderRow, saved: Manifest | None) -> tuple[IndexSpec, str]:
    """The specification requested by the user, else the one that fits the number of images; and the reason."""
    images = _count(reader, encoder)
    recommended = recommend_spec(images, encoder.dim, current=saved.spec if saved else None)
    asked = reader.index_spec()
    if asked is None:
        return recommended
    try:
        spec = IndexSpec.parse(str(asked))
    except SpecError:  # it was checked before it was stored: the catalog is damaged
        return recommended.spec, "chosen by size: what was asked for with --index cannot be read any more"
    if spec.minimum_training > images:
        return recommended.spec, f"{spec} was asked for, but needs {spec.minimum_training:,} pictures to train"
    return spec, "asked for with --index"

"""Keep a vector index in sync with the catalog: replay changes since it was saved, rebuild it if damaged."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexes import (
    IndexSpec,
    Manifest,
    StoredIndex,
    create_index,
    load_snapshot,
    read_manifest,
    recommend_spec,
    save_snapshot,
)
from indexes.base import Vectors
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import CatalogReader
from retrieval.errors import SnapshotCorrupt, SnapshotStale, SpecError

logger = logging.getLogger("photoseek")

_INSTEAD = "the catalog is used instead, until photoseek index makes it anew"


@dataclass
class SyncedIndex:
    """A vector index, the number of the last catalog change that it contains, and how many images its
    snapshot (if there is one) lacks."""

    index: StoredIndex
    change: int
    unsaved: int = 0


def open_index(
    folder: Path, reader: CatalogReader, encoder: EncoderRow, *, for_writing: bool = False, verify: bool = False
) -> SyncedIndex:
    """The saved index brought up to date in memory; nothing is written.

    A snapshot that is missing, damaged or of another catalog costs time, never results: the index is then built from
    the catalog, as an exact one, because a reader has no business training for seconds what the next writer will train
    anyway.

    Args:
        for_writing: read the vectors instead of mapping them, and check every byte against its checksum.
        verify: check every byte, also of a snapshot so large that a reader checks a part of it at a time.
    """
    synced: SyncedIndex | None = None
    try:
        loaded = load_snapshot(
            folder,
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            mmap=not for_writing,
            verify=for_writing or verify,
            revision_of=reader.revision,
        )
        if loaded is not None:
            synced = SyncedIndex(*loaded)
    except SnapshotStale as error:
        # Nothing is wrong with it, it is just of no use: a writer makes it anew, a reader says why it is slow.
        logger.log(logging.INFO if for_writing else logging.WARNING, "%s; %s", error.message, _INSTEAD)
    except SnapshotCorrupt as error:
        logger.warning("%s; %s", error.message, "it is made anew" if for_writing else _INSTEAD)
    if synced is None or synced.change > reader.change():
        # Ahead of the catalog: the catalog was restored from a backup meanwhile.
        synced = SyncedIndex(create_index(IndexSpec.parse("Exact"), encoder.dim), 0)
    catch_up(synced, reader, encoder)
    return synced


def exact_index(reader: CatalogReader, encoder: EncoderRow) -> StoredIndex:
    """An exact index made from the catalog alone, for who found out that what is saved cannot be believed."""
    return rebuild(IndexSpec.parse("Exact"), reader, encoder).index


def catch_up(synced: SyncedIndex, reader: CatalogReader, encoder: EncoderRow) -> int:
    """Replay the changes behind ``synced.change``; how many images were touched.

    Replay is remove-then-add, so doing it twice is harmless.
    """
    if synced.change == reader.change():
        return 0
    touched = 0
    # Not "change > 0": a first replay that was interrupted has left rows behind.
    has_rows = len(synced.index) > 0
    for piece in reader.changes(synced.change, encoder):
        touched += len(piece.touched)
        if has_rows:
            synced.index.remove(piece.touched)
        synced.index.add(piece.ids, piece.vectors)
        last = piece.last
    assert last is not None, "the last piece of a replay carries its change number"
    synced.change = last
    synced.unsaved += touched
    return touched


def rebuild(spec: IndexSpec, reader: CatalogReader, encoder: EncoderRow) -> SyncedIndex:
    """A new index of the given kind with everything that the catalog holds."""
    index = create_index(spec, encoder.dim)
    if spec.needs_training:
        index.train(_training_sample(spec, reader, encoder))
    synced = SyncedIndex(index, 0)
    catch_up(synced, reader, encoder)
    return synced


def _training_sample(spec: IndexSpec, reader: CatalogReader, encoder: EncoderRow) -> Vectors:
    """Embeddings drawn evenly over the whole gallery: the first ones may all be of one holiday."""
    total = reader.count(encoder.id)
    wanted = spec.training_size(total)
    chosen = np.zeros(total, dtype=bool)
    chosen[np.random.default_rng(0).permutation(total)[:wanted]] = True  # the same gallery gives the same index
    parts: list[Vectors] = []
    seen = 0
    for piece in reader.changes(0, encoder):
        parts.append(piece.vectors[chosen[seen : seen + len(piece.ids)]])
        seen += len(piece.ids)
    return np.concatenate(parts)


def saved_manifest(folder: Path, reader: CatalogReader) -> Manifest | None:
    """What is saved in ``folder`` of this catalog; None if nothing is, or nothing that can be used."""
    try:
        manifest = read_manifest(folder)
    except SnapshotCorrupt:
        return None
    if manifest is not None and reader.revision(manifest.change) != manifest.revision:
        return None
    return manifest


def wanted_spec(reader: CatalogReader, encoder: EncoderRow, saved: Manifest | None) -> tuple[IndexSpec, str]:
    """The specification that the user asked for, else the one that fits the number of images; and the reason."""
    images = reader.count(encoder.id)
    recommended = recommend_spec(images, encoder.dim, current=saved.spec if saved else None)
    asked = reader.index_spec()
    if asked is None:
        return recommended
    try:
        spec = IndexSpec.parse(str(asked))
    except SpecError:  # it was checked before it was stored: the catalog is damaged
        return recommended.spec, "chosen by size: what was asked for with --index-spec cannot be read any more"
    if spec.minimum_training > images:
        return recommended.spec, f"{spec} was asked for, but needs {spec.minimum_training:,} pictures to train"
    return spec, "asked for with --index-spec"


class IndexKeeper:
    """The writer's side: one index that follows the catalog through a run and is saved now and then.

    It is opened when there is something to add, so that a run without changes does not read it.

    Args:
        folder: where the snapshot lies.
        save_every: images touched since the last save after which the next ``follow`` saves again. A reader
            replays at most so many rows (20,000 rows of 512 numbers: 20 MB), or a fifth of the gallery.
    """

    def __init__(self, folder: Path, reader: CatalogReader, encoder: EncoderRow, *, save_every: int = 20_000) -> None:
        self._folder = folder
        self._reader = reader
        self._encoder = encoder
        self._save_every = save_every
        self._opened: SyncedIndex | None = None
        self._verified: Manifest | None = None

    def follow(self) -> None:
        """Take in what was committed since the last call; save if enough has piled up."""
        if self._opened is None and self._saved_is_current():
            return
        synced = self._synced()
        catch_up(synced, self._reader, self._encoder)
        if synced.unsaved >= max(self._save_every, len(synced.index) // 5):
            self._save(synced)

    def finish(self) -> str:
        """Bring the index to the kind that the gallery wants, save it, and say which kind and why."""
        spec, reason = self.wanted()
        if self._opened is None and self._saved_is_current(spec):
            return f"{spec} ({reason})"
        synced = self._synced()
        catch_up(synced, self._reader, self._encoder)
        if spec != synced.index.spec or synced.index.needs_rebuild:
            synced = self._opened = rebuild(spec, self._reader, self._encoder)
        self._save(synced)
        return f"{spec} ({reason})"

    def wanted(self) -> tuple[IndexSpec, str]:
        """See :func:`wanted_spec`."""
        return wanted_spec(self._reader, self._encoder, saved_manifest(self._folder, self._reader))

    def _saved_is_current(self, spec: IndexSpec | None = None) -> bool:
        """True if the saved index holds every change, is of the given kind, and sound to its last byte.

        Reading 1 GB against its checksums takes 0.2 s, once a run: what no run looked at would be damaged for ever.
        """
        saved = saved_manifest(self._folder, self._reader)
        if saved is None or saved.change != self._reader.change() or spec not in (None, saved.spec):
            return False
        if saved == self._verified:
            return True
        row = self._encoder
        try:
            loaded = load_snapshot(self._folder, fingerprint=row.fingerprint, dim=row.dim, verify=True)
        except SnapshotCorrupt:
            return False
        if loaded is None:
            return False
        loaded[0].close()
        self._verified = saved
        return True

    def _synced(self) -> SyncedIndex:
        if self._opened is None:
            self._opened = open_index(self._folder, self._reader, self._encoder, for_writing=True)
        return self._opened

    def _save(self, synced: SyncedIndex) -> None:
        revision = self._reader.revision(synced.change)
        assert revision is not None, "the catalog names each of its changes"
        fingerprint = self._encoder.fingerprint
        save_snapshot(synced.index, self._folder, fingerprint=fingerprint, change=synced.change, revision=revision)
        synced.unsaved = 0

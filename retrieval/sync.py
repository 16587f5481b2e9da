"""Keep a vector index in step with the catalog: replay what changed since it was saved, rebuild what is damaged."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexes import IndexSpec, VectorIndex, create_index, load_snapshot, recommend_spec, save_snapshot
from retrieval.errors import SnapshotCorrupt
from retrieval.reader import CatalogReader, EncoderRow

logger = logging.getLogger("photoseek")

_EXACT = IndexSpec.parse("Exact")


@dataclass
class SyncedIndex:
    """A vector index, and the number of the last catalog change that it contains."""

    index: VectorIndex
    change: int


def open_index(
    folder: Path, reader: CatalogReader, encoder: EncoderRow, *, verify: bool = False
) -> SyncedIndex:
    """The saved index brought up to date in memory; nothing is written.

    A missing or damaged snapshot costs time, never results: the index is then built from the catalog, as an exact
    one, because a reader has no business training for seconds what the next writer will train anyway.

    Args:
        verify: check the whole snapshot against its checksums (writers do; for a query, sizes and structure).
    """
    synced: SyncedIndex | None = None
    try:
        loaded = load_snapshot(folder, fingerprint=encoder.fingerprint, dim=encoder.dim, verify=verify)
        if loaded is not None:
            synced = SyncedIndex(*loaded)
    except SnapshotCorrupt as error:
        logger.warning("%s: using the catalog instead", error.message)
    if synced is None or synced.change > reader.change():
        # Ahead of the catalog: the catalog was restored from a backup, so the index shows what no longer is.
        synced = SyncedIndex(create_index(_EXACT, encoder.dim), 0)
    catch_up(synced, reader, encoder)
    return synced


def catch_up(synced: SyncedIndex, reader: CatalogReader, encoder: EncoderRow) -> int:
    """Replay the changes behind ``synced.change``; how many images were touched.

    Replay is remove-then-add, so doing it twice is harmless.
    """
    if synced.change == reader.change():
        return 0
    touched = 0
    for piece in reader.changes(synced.change, encoder):
        touched += len(piece.touched)
        if synced.change > 0 and len(piece.touched):
            synced.index.remove(piece.touched)
        if len(piece.ids):
            synced.index.add(piece.ids, piece.vectors)
        if piece.last is not None:
            last = piece.last
    synced.change = last
    return touched


def rebuild(spec: IndexSpec, reader: CatalogReader, encoder: EncoderRow) -> SyncedIndex:
    """A new index of the given kind with everything that the catalog holds."""
    index = create_index(spec, encoder.dim)
    if spec.needs_training:
        index.train(_training_sample(spec.training_size(reader.count(encoder.id)), reader, encoder))
    synced = SyncedIndex(index, 0)
    catch_up(synced, reader, encoder)
    return synced


def _training_sample(size: int, reader: CatalogReader, encoder: EncoderRow) -> np.ndarray:
    """``size`` embeddings drawn evenly over the whole gallery: the first ones may all be of one holiday."""
    total = max(1, reader.count(encoder.id))
    share = min(1.0, size / total)
    generator = np.random.default_rng(0)  # the same gallery gives the same index
    parts = [
        piece.vectors[generator.random(len(piece.vectors)) < share] for piece in reader.changes(0, encoder)
    ]
    sample = np.concatenate(parts)
    if len(sample) < min(size, total) and share >= 1.0:
        return np.concatenate([piece.vectors for piece in reader.changes(0, encoder)])
    return np.ascontiguousarray(sample)


class IndexKeeper:
    """The writer's side: one index that follows the catalog through a run and is saved now and then.

    Args:
        folder: where the snapshot lies.
        save_every: images touched since the last save after which the next ``follow`` saves again. A reader
            replays at most so many rows (20,000 rows of 512 numbers: 20 MB, about 50 ms).
    """

    def __init__(
        self, folder: Path, reader: CatalogReader, encoder: EncoderRow, *, save_every: int = 20_000
    ) -> None:
        self._folder = folder
        self._reader = reader
        self._encoder = encoder
        self._save_every = save_every
        self._unsaved = 0
        self._synced = open_index(folder, reader, encoder, verify=True)
        self._saved_change = -1

    def follow(self) -> None:
        """Take in what was committed since the last call; save if enough has piled up."""
        self._unsaved += catch_up(self._synced, self._reader, self._encoder)
        if self._unsaved >= max(self._save_every, len(self._synced.index) // 5):
            self.save()

    def finish(self) -> str:
        """Bring the index to the kind that the gallery wants, save it, and say which kind and why."""
        self._unsaved += catch_up(self._synced, self._reader, self._encoder)
        spec, reason = self.wanted()
        stale = self._synced.index.needs_rebuild
        if str(spec) != str(self._synced.index.spec) or stale:
            self._synced = rebuild(spec, self._reader, self._encoder)
        self.save()
        return f"{spec} ({reason})"

    def wanted(self) -> tuple[IndexSpec, str]:
        """The specification that the user asked for, else the one that fits the number of images."""
        asked = self._reader.index_spec()
        if asked is not None:
            return IndexSpec.parse(asked), "asked for with --index-spec"
        return recommend_spec(
            len(self._synced.index), self._encoder.dim, current=self._synced.index.spec
        )

    def save(self) -> None:
        """Write a snapshot, unless the saved one already holds this change."""
        if self._saved_change != self._synced.change:
            save_snapshot(
                self._synced.index,
                self._folder,
                fingerprint=self._encoder.fingerprint,
                change=self._synced.change,
            )
            self._saved_change = self._synced.change
        self._unsaved = 0

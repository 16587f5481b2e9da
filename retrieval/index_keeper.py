"""The writer's side of a vector index: it follows the catalog during a run, and is saved when that is worth it."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from indexes import IndexSpec, Manifest
from indexes.exact import ExactIndex
from indexes.store import FolderStore, is_intact
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.reader import PATIENCE_S, CatalogReader
from retrieval.errors import GalleryError, IndexUnreachable
from retrieval.sync import SyncedIndex, catch_up, open_index, rebuild, saved_manifest, store_of, wanted_spec

logger = logging.getLogger("photoseek")

LARGE_BYTES = 256 << 20
"""An index whose files are larger is not written again for a few changes: see :meth:`IndexKeeper._may_wait`."""
_WAITING_SHARE = 1000
_WAITING_LEAST = 1000
_CHECKED_WHOLE_BYTES = 2 << 30
"""A larger index is checked in part by each run, as readers do; ``photoseek verify`` checks all of it."""


class IndexKeeper:
    """The writer's side: one index that follows the catalog during a run and is saved at intervals.

    It is opened when there is something to add, so that a run without changes does not read it. If its server cannot be
    used, the run goes on: the catalog has everything, and the next run continues with the index from there.

    Args:
        folder: of the snapshot.
        save_every: the index is saved again after this many images have changed. A reader
            replays at most this many rows (20,000 rows of dimension 512: 20 MB), or a fifth of the gallery.
        large_bytes: an index in files of more bytes waits for a thousandth of it to change, or a thousand vectors.
    """

    def __init__(
        self,
        folder: Path,
        reader: CatalogReader,
        encoder: EncoderRow,
        *,
        save_every: int = 20_000,
        large_bytes: int = LARGE_BYTES,
    ) -> None:
        self._folder = folder
        self._reader = reader
        reader.patience_s = PATIENCE_S
        self._encoder = encoder
        self._save_every = save_every
        self._large_bytes = large_bytes
        self._store = store_of(folder, reader, encoder)
        self._opened: SyncedIndex | None = None
        self._verified: Manifest | None = None
        self._is_unreachable = False

    def follow(self) -> None:
        """Add what was committed since the last call; save if enough has changed."""
        if self._is_unreachable or (self._opened is None and (self._saved_is_current() or self._may_wait())):
            return
        try:
            synced = self._synced()
            catch_up(synced, self._reader, self._encoder)
            if synced.unsaved >= max(self._save_every, len(synced.index) // 5):
                self._save(synced)
                self._lay_down(synced)
        except IndexUnreachable as error:
            self._without_server(error)

    def _lay_down(self, synced: SyncedIndex) -> None:
        """Release an exact index that was just saved: opened again, it is mapped, and takes no memory of this process.

        The others would have to bring their own structure into memory again with the next change.
        """
        if isinstance(synced.index, ExactIndex):
            self.close()

    def _without_server(self, error: IndexUnreachable) -> None:
        """Go on without the index: what it has received may be any part of the last changes, so it is opened anew."""
        logger.warning("%s; the catalog has everything, the index follows in the next run", error.message)
        self._is_unreachable, opened, self._opened = True, self._opened, None
        if opened is not None:
            with suppress(IndexUnreachable):
                opened.index.close()

    def finish(self) -> str:
        """Convert the index to the kind that the gallery needs, save it, and return which kind and why."""
        try:
            return self._finish()
        except IndexUnreachable as error:
            if not self._is_unreachable:
                self._without_server(error)
            return f"not up to date: {error.message}; run photoseek index again when it can be used"

    def _finish(self) -> str:
        spec, reason = self.wanted()
        if self._opened is None and (self._saved_is_current(spec) or self._may_wait(spec)):
            return f"{spec} ({reason})"
        synced = self._synced()
        catch_up(synced, self._reader, self._encoder)
        if spec != synced.index.spec or synced.index.needs_rebuild:
            self.close()  # both would be in memory at the same time
            synced = self._opened = rebuild(spec, self._reader, self._encoder, self._store)
        self._save(synced)
        return f"{spec} ({reason})"

    def wanted(self) -> tuple[IndexSpec, str]:
        """See :func:`wanted_spec`."""
        return wanted_spec(self._reader, self._encoder, saved_manifest(self._folder, self._reader, self._encoder))

    @property
    def is_in_server(self) -> bool:
        """Whether the index is kept in a server, not in the gallery's folder."""
        return not isinstance(self._store, FolderStore)

    def make_anew(self) -> str:
        """Drop what is saved and build it from the catalog; which kind it is, and why.

        Raises:
            IndexUnreachable: its server cannot be used; nothing was changed.
        """
        self.close()
        self._store.drop()
        return self.finish()

    def look_again(self, *, is_shared: bool) -> None:
        """Open an index in a server anew if other runs change it, too: one of them may have built it anew."""
        if is_shared and self.is_in_server:
            self.close()
            self._is_unreachable = False

    def close(self) -> None:
        """Release the index, and the connection to its server."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.index.close()

    def _saved_is_current(self, spec: IndexSpec | None = None) -> bool:
        """True if the saved index contains every change, is of the given kind, and intact.

        Checking 1 GB against its checksums takes 0.2 s, once per run; otherwise damage might never be found.
        """
        saved = saved_manifest(self._folder, self._reader, self._encoder)
        if saved is None or saved.change != self._reader.change() or spec not in (None, saved.spec):
            return False
        return self._is_sound(saved)

    def _may_wait(self, spec: IndexSpec | None = None) -> bool:
        """True if readers catch up with what a large saved index lacks sooner than it could be written again.

        Ten pictures more in a gallery of ten million would otherwise mean reading and writing 11 GB. A reader replays
        the changes from the catalog (1,000 rows of dimension 512: about 5 ms), as it does during a run.
        """
        saved = saved_manifest(self._folder, self._reader, self._encoder)
        if saved is None or self.is_in_server or saved.size_bytes < self._large_bytes or spec not in (None, saved.spec):
            return False
        most = max(_WAITING_LEAST, saved.count // _WAITING_SHARE)
        pending = 0
        for piece in self._reader.changes(saved.change, self._encoder, moments=True):
            pending += len(piece.touched)
            if pending > most:
                return False
        return self._is_sound(saved)

    def _is_sound(self, saved: Manifest) -> bool:
        if saved != self._verified and is_intact(self._store, whole=saved.size_bytes <= _CHECKED_WHOLE_BYTES):
            self._verified = saved
        return saved == self._verified

    def _synced(self) -> SyncedIndex:
        if self._opened is None:
            self._opened = open_index(self._folder, self._reader, self._encoder, for_writing=True)
        return self._opened

    def _save(self, synced: SyncedIndex) -> None:
        revision = self._reader.revision(synced.change)
        if revision is None:  # the catalog names each of its changes: a page of it is lost or exchanged
            raise GalleryError(
                "the catalog is damaged: its last change has no name",
                "run: photoseek verify --repair, or restore a backup",
            )
        self._store.save(synced.index, synced.change, revision)
        synced.unsaved = 0

"""Where an index is kept between processes: a folder of checked files, or a server.

The catalog is the truth; a store only saves the time of building an index from it again. So each may be dropped at any
time, and what it returns is believed only if the catalog knows the change that it was saved at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from indexes.errors import SnapshotCorrupt
from indexes.factory import MutableIndex, StoredIndex, create_index
from indexes.manifest import MANIFEST_NAME, Manifest, is_snapshot_file, read_manifest
from indexes.snapshot import load_snapshot, save_snapshot
from indexes.spec import IndexSpec


@dataclass(frozen=True)
class Owner:
    """Whose index it is.

    Args:
        fingerprint, dim: of the encoder that computed the embeddings.
        revision_of: from a change number to the catalog's name for it, None if the catalog never had it.
    """

    fingerprint: str
    dim: int
    revision_of: Callable[[int], str | None]


class IndexStore(Protocol):
    """One index, saved in some place. Only one process may save or drop at a time; any number may open."""

    def describe(self) -> Manifest | None:
        """What is saved, without opening it; None if nothing is, or nothing that belongs to this catalog.

        Raises:
            SnapshotCorrupt, IndexUnreachable: it cannot be read.
        """
        ...

    def open(self, *, for_writing: bool = False, verify: bool = False) -> tuple[MutableIndex, int] | None:
        """The saved index and its change number; None if nothing is saved.

        Args:
            for_writing: it will be changed and saved again. Otherwise changes to it stay in memory.
            verify: check it completely, however long that takes.

        Raises:
            SnapshotStale: an intact index of another encoder, catalog, kind or format.
            SnapshotCorrupt: damaged or incomplete.
            BackendUnavailable: its library is not installed.
            IndexUnreachable: its server does not answer, or refuses access.
        """
        ...

    def create(self, spec: IndexSpec) -> MutableIndex:
        """A new, empty index that this store can save; raises as ``factory.create_index``."""
        ...

    def save(self, index: MutableIndex, change: int, revision: str) -> None:
        """Replace what is saved by ``index``: after a crash, either is there.

        Raises:
            VectorIndexError, IndexUnreachable: it cannot be written; what was saved before is unchanged.
        """
        ...

    def drop(self) -> None:
        """Remove what is saved."""
        ...


class FolderStore:
    """An index as files, checked and memory-mapped when it is opened (:mod:`indexes.snapshot`).

    Args:
        folder: holds the index of one encoder; may not exist yet.
        owner: see :class:`Owner`.
    """

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.folder = folder
        self._owner = owner

    def describe(self) -> Manifest | None:
        """See :class:`IndexStore`."""
        manifest = read_manifest(self.folder)
        if manifest is not None and self._owner.revision_of(manifest.change) != manifest.revision:
            return None
        return manifest

    def open(self, *, for_writing: bool = False, verify: bool = False) -> tuple[MutableIndex, int] | None:
        """See :class:`IndexStore`. Vectors are mapped, except for writing to a kind that has to copy them."""
        return load_snapshot(
            self.folder,
            fingerprint=self._owner.fingerprint,
            dim=self._owner.dim,
            mmap=not for_writing,
            verify=for_writing or verify,
            revision_of=self._owner.revision_of,
        )

    def create(self, spec: IndexSpec) -> MutableIndex:
        """See :class:`IndexStore`."""
        return create_index(spec, self._owner.dim)

    def save(self, index: MutableIndex, change: int, revision: str) -> None:
        """See :class:`IndexStore`."""
        made = cast(StoredIndex, index)  # by this store
        save_snapshot(made, self.folder, fingerprint=self._owner.fingerprint, change=change, revision=revision)

    def drop(self) -> None:
        """Remove the snapshot's files; others in the folder stay."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name == MANIFEST_NAME or is_snapshot_file(path.name):
                    path.unlink(missing_ok=True)


def is_intact(store: IndexStore, *, whole: bool = True) -> bool:
    """Whether an index is saved and passes every check; with ``whole``, all of a folder's files are read."""
    try:
        opened = store.open(verify=whole)
    except SnapshotCorrupt:
        return False
    if opened is None:
        return False
    opened[0].close()
    return True

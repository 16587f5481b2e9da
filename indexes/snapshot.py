"""Save an index atomically: after a crash the old or the new one exists. Validate it when it is opened.

A snapshot is a folder of data files, whose names contain a generation, and ``manifest.json``, which lists the
current files. Data files are completely on disk before the manifest is replaced, and older ones are removed
afterwards; a reader that has mapped them can still use them.

Checks on opening: the manifest's own checksum; that the catalog has the same name for the index's last change;
each file's length, before anything is mapped; the files' bytes against the checksum of each MiB; that ids are
unique and as many as the vectors; that the index inside has the stated kind and dimension. Checking 128 MiB takes
about 20 ms, so a reader checks everything up to that size each time. Of a larger snapshot it checks the ids, the
first MiB of each file, whose headers determine how much is allocated, and as many other blocks as make 128 MiB,
chosen at random each time, so that damage is found eventually. ``verify=True``, used by writers and long-running
processes, checks everything. IVF and HNSW files are also checked completely each time, because they contain list
lengths and links throughout, which faiss follows unchecked. Checksums detect damage, not manipulation: whoever can
write the files can write the manifest, so open only galleries that you made yourself.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from indexes.errors import SnapshotCorrupt, SnapshotStale, SpecError, VectorIndexError
from indexes.factory import StoredIndex, index_class_for
from indexes.manifest import (
    BLOCK_BYTES,
    MANIFEST_NAME,
    REBUILD,
    Manifest,
    StoredFile,
    is_snapshot_file,
    read_manifest,
)
from indexes.spec import IndexSpec

CHECKED_BYTES = 128 << 20
"""How many bytes of a snapshot a reader checks each time it opens one."""

_ATTEMPTS = 5


def save_snapshot(index: StoredIndex, folder: Path, *, fingerprint: str, change: int, revision: str = "") -> Manifest:
    """Write ``index`` to ``folder`` and return its manifest.

    Only one process may save to a folder at a time; any number may open snapshots in it.

    Args:
        fingerprint: The encoder that computed the embeddings.
        change: The catalog's last change number contained in the index.
        revision: The catalog's name for that change.

    Raises:
        VectorIndexError: the disk is full or cannot be written to; the earlier snapshot is unchanged.
    """
    generation = os.urandom(8).hex()
    written: dict[str, Path] = {}

    def target(part: str) -> Path:
        stem, _, suffix = part.partition(".")
        written[part] = folder / f"{stem}-{generation}.{suffix}"
        return written[part]

    temporary = folder / f"manifest-{generation}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        index.write_parts(target)
        for path in written.values():
            _sync(path)
        files = {part: StoredFile.of(path) for part, path in written.items()}
        manifest = Manifest(index.spec, index.dim, len(index), fingerprint, change, revision, files)
        temporary.write_bytes(manifest.to_json())
        _sync(temporary)
        _sync(folder)  # the names of the data files must be on disk before a manifest that lists them
        temporary.replace(folder / MANIFEST_NAME)
    except (OSError, RuntimeError) as error:  # faiss reports a full disk as RuntimeError
        for path in (*written.values(), temporary):
            _discard(path)
        is_short = isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
        hint = "raise the limit of open files (ulimit -n)" if is_short else "free some space or check the permissions"
        raise VectorIndexError(f"the index cannot be saved in {folder} ({error})", hint) from error
    _sync(folder)
    _remove_leftovers(folder, keep={file.name for file in files.values()})
    return manifest


def load_snapshot(
    folder: Path,
    *,
    fingerprint: str,
    dim: int,
    spec: IndexSpec | None = None,
    mmap: bool = True,
    verify: bool = False,
    revision_of: Callable[[int], str | None] | None = None,
) -> tuple[StoredIndex, int] | None:
    """Open the index saved in ``folder`` and return it with its change number; None if no index is saved.

    Args:
        fingerprint, dim: The encoder that the index must belong to.
        spec: The kind that it must have; None accepts any.
        mmap: Map the vectors instead of reading them. Pass False if vectors will be added: the first change
            to a mapped index copies it, unless it ``stays_mapped``; such a kind is mapped in any case.
        verify: Check all files completely against their checksums, however long that takes.
        revision_of: From a change number to the catalog's name for it, or None if the catalog never had it. A
            different name means that the index belongs to another catalog, or that this one was restored from a backup.

    Raises:
        SnapshotStale: an intact index of another encoder, catalog, kind or format.
        SnapshotCorrupt: damaged, incomplete, or different from its manifest.
        BackendUnavailable: its library is not installed.
    """
    for _ in range(_ATTEMPTS):
        manifest = read_manifest(folder)
        if manifest is None:
            return None
        _check_wanted(manifest, fingerprint, dim, spec)
        if revision_of is not None and revision_of(manifest.change) != manifest.revision:
            raise SnapshotStale(f"the saved index in {folder} belongs to another catalog", REBUILD)
        try:
            return _open(manifest, folder, mmap=mmap, verify=verify), manifest.change
        except FileNotFoundError as error:
            # A save may have replaced this generation in the meantime; then there is a newer manifest.
            missing = error
            if read_manifest(folder) == manifest:
                break
    name = Path(str(missing.filename)).name
    raise SnapshotCorrupt(f"the saved index in {folder} lacks its file {name}", REBUILD) from missing


def _check_wanted(manifest: Manifest, fingerprint: str, dim: int, spec: IndexSpec | None) -> None:
    if manifest.fingerprint != fingerprint or manifest.dim != dim:
        raise SnapshotStale("the saved index belongs to another encoder", REBUILD)
    if spec is not None and manifest.spec != spec:
        raise SnapshotStale(f"the saved index is of kind '{manifest.spec}', not '{spec}'", REBUILD)


def _open(manifest: Manifest, folder: Path, *, mmap: bool, verify: bool) -> StoredIndex:
    backend = index_class_for(manifest.spec)
    try:
        manifest.spec.check_dim(manifest.dim)
        if set(manifest.files) != set(backend.part_names(manifest.spec)):
            raise ValueError("other files are listed than this kind of index has")
        for file in manifest.files.values():
            _check_size(file, folder)
        in_full = verify or backend.structure_in_bulk(manifest.spec) or manifest.size_bytes <= CHECKED_BYTES
        for part, file in manifest.files.items():
            whole = in_full or part == "ids.npy"
            file.check(folder, range(file.block_count) if whole else _drawn(file, manifest))
        parts = {part: folder / file.name for part, file in manifest.files.items()}
        index = backend.read_parts(manifest.spec, manifest.dim, parts, mmap=mmap or backend.stays_mapped())
        if len(index) != manifest.count:
            raise ValueError(f"it holds {len(index)} vectors, not {manifest.count}")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, SpecError) as error:
        raise SnapshotCorrupt(f"the saved index in {folder} is damaged: {error}", REBUILD) from error
    return index


def _check_size(file: StoredFile, folder: Path) -> None:
    found = (folder / file.name).stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
        raise ValueError(f"{file.name} is {found.st_size} bytes long, not {file.size}")


def _drawn(file: StoredFile, manifest: Manifest) -> list[int]:
    """The first block of a file and its share of the blocks to check, evenly spread, with a new offset at each call."""
    share = max(1, CHECKED_BYTES * file.size // manifest.size_bytes // BLOCK_BYTES)
    step = max(1, file.block_count // share)
    return [0, *range(1 + int.from_bytes(os.urandom(4)) % step, file.block_count, step)]


def _sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows persists names by itself and cannot open a folder
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(folder: Path, keep: set[str]) -> None:
    """Remove older generations and files left by interrupted saves."""
    for path in folder.iterdir():
        if is_snapshot_file(path.name) and path.name not in keep:
            _discard(path)


def _discard(path: Path) -> None:
    # Windows refuses while a reader has mapped the file; the next save tries again.
    with suppress(OSError):
        path.unlink()

"""Save an index atomically: after a crash the old or the new one exists. Validate it when it is opened.

A snapshot is a folder of data files, each with a name of its own generation, and ``manifest.json``, which
names the current ones. Data files are complete on disk before the manifest is replaced, and older ones are
removed after it; a reader that mapped them keeps them until it is done.

What is checked on opening: the manifest's own checksum; that the catalog knows the change that the index is of by
the same name; each file's length, before anything is mapped; the files' bytes against the checksum of each MiB; that
ids are unique and as many as the vectors; that the index inside is of the kind and width stated. Reading 128 MiB
against their checksums takes some 20 ms, so up to that size a reader does it every time. Of a larger snapshot it reads
the ids, the first MiB of each file, where headers say how much to allocate, and as many other blocks as make 128 MiB,
drawn anew each time, so that damage is found by and by. ``verify=True``, which a writer and a process that stays ask
for, reads all of it. So is read, every time, what carries structure throughout, list lengths and links of IVF and
HNSW, which faiss follows without a check of its own. Checksums find damage, not malice: who can write the files can
write the manifest, so open only galleries of your own making.
"""

from __future__ import annotations

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
"""What a reader checks of a snapshot each time it opens one."""

_ATTEMPTS = 5


def save_snapshot(index: StoredIndex, folder: Path, *, fingerprint: str, change: int, revision: str = "") -> Manifest:
    """Write ``index`` to ``folder`` and return what was recorded about it.

    Only one process may save to a folder at a time; any number may open what is there.

    Args:
        fingerprint: The encoder whose embeddings the index holds.
        change: The catalog's last change number contained in the index.
        revision: The catalog's own name of that change.

    Raises:
        VectorIndexError: the disk is full or cannot be written; the earlier snapshot stays as it was.
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
        _sync(folder)  # the data files' names must be on disk before a manifest that mentions them
        temporary.replace(folder / MANIFEST_NAME)
    except (OSError, RuntimeError) as error:  # faiss reports a full disk as RuntimeError
        for path in (*written.values(), temporary):
            _discard(path)
        raise VectorIndexError(
            f"the index cannot be saved in {folder} ({error})", "free some space or check the permissions"
        ) from error
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
    """Open the index saved in ``folder`` and return it with its change number; None where none was saved.

    Args:
        fingerprint, dim: The encoder that the index must belong to.
        spec: The kind it must be; None takes any.
        mmap: Map the vectors instead of reading them. Who goes on to add should say False: the first change
            to a mapped index copies it.
        verify: Read every file against its checksums, however long that takes.
        revision_of: What the catalog calls a change, None for one that it never had. An index of a change by another
            name is of another catalog, or of one that was restored from a backup since.

    Raises:
        SnapshotStale: a sound index of another encoder, catalog, kind or format.
        SnapshotCorrupt: damaged, incomplete, or not what its manifest says.
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
            # A save may have replaced this generation meanwhile; then there is a newer manifest to follow.
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
        index = backend.read_parts(manifest.spec, manifest.dim, parts, mmap=mmap)
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
    """The first block of a file and, evenly spread, its share of what is checked; other ones at each call."""
    share = max(1, CHECKED_BYTES * file.size // manifest.size_bytes // BLOCK_BYTES)
    step = max(1, file.block_count // share)
    return [0, *range(1 + int.from_bytes(os.urandom(4)) % step, file.block_count, step)]


def _sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows keeps names by itself and cannot open a folder
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(folder: Path, keep: set[str]) -> None:
    """Remove older generations and what killed saves left behind."""
    for path in folder.iterdir():
        if is_snapshot_file(path.name) and path.name not in keep:
            _discard(path)


def _discard(path: Path) -> None:
    # Windows refuses while a reader has the file mapped; the next save tries again.
    with suppress(OSError):
        path.unlink()

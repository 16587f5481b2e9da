"""Save an index so that a crash at any moment leaves the old one or the new one, and open it without trust.

A snapshot is a folder of data files, each with a name of its own generation, and ``manifest.json``, which
names the current ones. Data files are complete on disk before the manifest is replaced, and older ones are
removed after it; a reader that mapped them keeps them until it is done.

What is checked on opening: the manifest's own checksum; each file's length, before anything is mapped; the
checksum of its first MiB, where headers say how much to allocate; that ids are unique and as many as the
vectors; that the index inside is of the kind and width stated. IVF and HNSW files carry structure (list
lengths, links) throughout, which faiss follows without a check of its own, so these are read in full against
their checksum each time. In the others the bulk is nothing but numbers: damage there changes scores, not
memory safety, and reading 1 GB to find it costs more than the query. So readers leave that to
``verify=True``, which a writer asks for. Checksums find damage, not malice: who can write the files can write
the manifest, so open only galleries of your own making.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from indexes.errors import SnapshotCorrupt, SnapshotStale, SpecError, VectorIndexError
from indexes.factory import StoredIndex, index_class_for
from indexes.manifest import (
    MANIFEST_NAME,
    REBUILD,
    Manifest,
    StoredFile,
    full_digest,
    head_digest,
    is_snapshot_file,
    read_manifest,
)
from indexes.spec import IndexSpec

_ATTEMPTS = 5


def save_snapshot(index: StoredIndex, folder: Path, *, fingerprint: str, change: int) -> Manifest:
    """Write ``index`` to ``folder`` and return what was recorded about it.

    Only one process may save to a folder at a time; any number may open what is there.

    Args:
        fingerprint: The encoder whose embeddings the index holds.
        change: The catalog's last change number contained in the index.

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
        manifest = Manifest(index.spec, index.dim, len(index), fingerprint, change, files)
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
) -> tuple[StoredIndex, int] | None:
    """Open the index saved in ``folder`` and return it with its change number; None where none was saved.

    Args:
        fingerprint, dim: The encoder that the index must belong to.
        spec: The kind it must be; None takes any.
        mmap: Map the vectors instead of reading them. Who goes on to add should say False: the first change
            to a mapped index copies it.
        verify: Also read every file against its checksum, as a writer does on opening.

    Raises:
        SnapshotStale: a sound index of another encoder, kind or format.
        SnapshotCorrupt: damaged, incomplete, or not what its manifest says.
        BackendUnavailable: its library is not installed.
    """
    for _ in range(_ATTEMPTS):
        manifest = read_manifest(folder)
        if manifest is None:
            return None
        _check_wanted(manifest, fingerprint, dim, spec)
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
        in_full = verify or backend.structure_in_bulk(manifest.spec)
        parts = {part: _checked(file, folder, in_full=in_full) for part, file in manifest.files.items()}
        index = backend.read_parts(manifest.spec, manifest.dim, parts, mmap=mmap)
        if len(index) != manifest.count:
            raise ValueError(f"it holds {len(index)} vectors, not {manifest.count}")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, SpecError) as error:
        raise SnapshotCorrupt(f"the saved index in {folder} is damaged: {error}", REBUILD) from error
    return index


def _checked(file: StoredFile, folder: Path, *, in_full: bool) -> Path:
    path = folder / file.name
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
        raise ValueError(f"{file.name} is {found.st_size} bytes long, not {file.size}")
    if head_digest(path) != file.head or (in_full and full_digest(path) != file.digest):
        raise ValueError(f"{file.name} does not match its checksum")
    return path


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

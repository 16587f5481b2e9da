"""Backups of a gallery: data that cannot be computed again, and the embeddings, which take long to compute.

A backup folder holds blocks of 1 MiB, named by their hash, and a list of blocks for each backup. A second backup
stores only new blocks: SQLite changes the pages that it writes to and leaves the others in place. Indexes
and thumbnails are left out, since they can be rebuilt from the catalog and the pictures.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from blake3 import blake3

from retrieval.catalog.whole_file import copy_catalog, exchange, faults_of, file_moment
from retrieval.errors import GalleryError, GalleryNotFound, SettingsError
from retrieval.gallery import Gallery
from retrieval.regular_files import read_regular, replacing, sync_folder

BLOCK_BYTES = 1 << 20
_BLOCKS = "blocks"
_LIST = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(-\d+)?")
_TRASHED = re.compile(r"trash/(?!\.{1,2}/)[^/\\\0]+/manifest\.jsonl")
_HASH = re.compile(r"[0-9a-f]{64}")
_FORMAT = 1
_UNFINISHED, _RESTORING = ".unfinished-", ".restoring-"
_CATALOG = "catalog.sqlite"
_MOST_LIST_BYTES = 1 << 30


@dataclass(frozen=True)
class BackupFile:
    """A file of the gallery: its relative path with slashes, its size and BLAKE3 hash, and the hashes of its blocks."""

    name: str
    bytes: int
    hash: str
    blocks: list[str]


@dataclass(frozen=True)
class Backup:
    """One backup.

    Attributes:
        name: when it was made, UTC.
        gallery: folder of the gallery.
        files: its contents.
        new_bytes: size of the blocks that no earlier backup had.
    """

    name: str
    gallery: str
    files: list[BackupFile]
    new_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Total size of its files."""
        return sum(file.bytes for file in self.files)


def back_up(gallery: Gallery, folder: Path) -> Backup:
    """Store the present state of the gallery. Other processes may search and write it meanwhile.

    Args:
        folder: for the backups; created if missing. Several galleries may share one.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryError: the catalog is damaged; earlier backups are unchanged. Or it is in a server.
        SettingsError: the folder lies within the gallery.
    """
    if not gallery.exists():
        raise GalleryNotFound(f"there is no gallery at {gallery.path}", "name another one with --gallery")
    _check_is_file(gallery, "pg_dump")
    folder = folder.expanduser()
    if folder.resolve().is_relative_to(gallery.path.resolve()):
        raise SettingsError(f"{folder} lies in the gallery itself", "choose a folder on another disk")
    (folder / _BLOCKS).mkdir(parents=True, exist_ok=True)
    stored: list[BackupFile] = []
    new = 0
    with _tidied(folder), TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as made:
        copy = Path(made, _CATALOG)
        copy_catalog(gallery.catalog_path, copy)
        if faults := faults_of(copy):
            raise GalleryError(
                f"the catalog of {gallery.path} is damaged: {faults[0]}",
                "no backup was made; run: photoseek verify --repair, or restore an earlier backup",
            )
        for name, path in [(_CATALOG, copy), *_small_files(gallery)]:
            file, added = _store(folder / _BLOCKS, name, path)
            stored.append(file)
            new += added
    name = _free_name(folder)
    backup = Backup(name, os.fspath(gallery.path.resolve()), stored, new)
    body = {"format": _FORMAT, "gallery": backup.gallery, "files": [asdict(file) for file in stored]}
    _write(folder / f"{name}.json", json.dumps(body).encode())
    return backup


def _check_is_file(gallery: Gallery, program: str) -> None:
    """Raise GalleryError if the catalog is in a server, which has its own programs for that."""
    if (address := gallery.server()) is not None:
        raise GalleryError(
            f"the catalog of {gallery.path} is in PostgreSQL, whose backups are its own",
            f"use {program} with the schema {address.schema} of {address.server}",
        )


def backups_in(folder: Path) -> list[Backup]:
    """The backups in a folder, the newest first.

    Those with a later name than the present moment come last: the clock was wrong when they were made, or is now.

    Raises:
        GalleryError: there are none.
    """
    folder = folder.expanduser()
    names = newest_first([path.stem for path in folder.glob("*.json") if _LIST.fullmatch(path.stem)])
    if not names:
        raise GalleryError(f"there is no backup in {folder}", "make one: photoseek backup FOLDER")
    return [_read(folder, name) for name in names]


def newest_first(names: Sequence[str], moment: str | None = None) -> list[str]:
    """Names that begin with the moment at which they were made, the newest first; those of the future come last.

    Args:
        moment: the present one, as such names have it.
    """
    now = moment or file_moment()

    def age(name: str) -> tuple[bool, str, int]:
        made, _, number = name.partition("Z-")
        return made[: len(now) - 1] <= now[:-1], made.rstrip("Z"), int(number) if number.isdecimal() else 1

    return sorted(names, key=age, reverse=True)


def restore(gallery: Gallery, folder: Path, backup: Backup, *, replace: bool = False) -> list[Path]:
    """Restore a gallery from a backup. The existing files are kept beside it under other names.

    Every block is checked against its hash before anything is moved.

    Returns:
        The files that were moved aside.

    Raises:
        GalleryError: the backup is damaged, and nothing was changed; or the gallery exists and ``replace`` is not set.
        GalleryLocked: a process is writing the gallery.
    """
    if gallery.exists() and not replace:
        raise GalleryError(
            f"there is a gallery at {gallery.path}", "to restore in its place, add --yes; what is there is kept"
        )
    _check_is_file(gallery, "pg_restore")
    with gallery.locked():
        _remove_leftovers(gallery.path, _RESTORING)
        with TemporaryDirectory(prefix=_RESTORING, dir=gallery.path) as made:
            aside = _put_back(gallery, folder.expanduser(), backup, Path(made))
    return aside


def _put_back(gallery: Gallery, folder: Path, backup: Backup, made: Path) -> list[Path]:
    ready = []
    for number, file in enumerate(backup.files):
        path = made / str(number)
        _rebuild(folder / _BLOCKS, file, path)
        ready.append((path, gallery.path / file.name))
    (catalog, _), *small = ready
    if faults := faults_of(catalog):
        raise GalleryError(f"the backup {backup.name} is damaged: {faults[0]}", "restore another one (--at)")
    for path, target in small:
        if not target.exists():  # present settings and manifests are newer than the backup's
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            sync_folder(target.parent)
    return exchange(gallery.catalog_path, catalog, "before-restore")


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Remove what killed runs left in a folder of backups, unless another run is at work there."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "backups.lock", timeout=0)
    try:
        lock.acquire()
        _remove_leftovers(folder, _UNFINISHED)
    except (Timeout, OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Of runs that were killed: copies of whole catalogs."""
    for left in folder.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)


def _small_files(gallery: Gallery) -> Iterator[tuple[str, Path]]:
    yield from _plain_files(gallery.path, "config.toml")
    yield from trash_manifests(gallery.path)


def trash_manifests(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name in the gallery, path) of the lists of trashed files and their origins."""
    yield from _plain_files(folder, "trash/*/manifest.jsonl")


def is_trash_manifest(name: str) -> bool:
    """Whether an untrusted name is that of such a list."""
    return bool(_TRASHED.fullmatch(name))


def _plain_files(folder: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.glob(pattern)):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path


def _store(blocks: Path, name: str, path: Path) -> tuple[BackupFile, int]:
    """Store the new blocks of a file; their total size."""
    whole, hashes, size, new = blake3(), [], 0, 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            whole.update(block)
            digest = blake3(block).hexdigest()
            hashes.append(digest)
            size += len(block)
            target = _block_path(blocks, digest)
            if not (target.is_file() and target.stat().st_size == len(block)):
                target.parent.mkdir(exist_ok=True)
                _write(target, block)
                new += len(block)
    return BackupFile(name, size, whole.hexdigest(), hashes), new


def _rebuild(blocks: Path, file: BackupFile, target: Path) -> None:
    whole = blake3()
    with target.open("wb") as out:
        for digest in file.blocks:
            try:
                block = read_regular(_block_path(blocks, digest), BLOCK_BYTES)
            except OSError:
                block = b""
            if blake3(block).hexdigest() != digest:
                raise GalleryError(
                    f"a block of this backup is damaged or missing: {_block_path(blocks, digest)}",
                    "nothing was changed; restore another one (--at), or copy the block from a copy of the backups",
                )
            whole.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if whole.hexdigest() != file.hash:
        raise GalleryError(f"the backup's list of {file.name} is damaged", "nothing was changed; restore another one")


def _read(folder: Path, name: str) -> Backup:
    path = folder / f"{name}.json"
    damaged = GalleryError(f"{path} is no list of a backup, or damaged", "restore another one (--at)")
    try:
        body: Any = json.loads(read_regular(path, _MOST_LIST_BYTES))
        if body["format"] != _FORMAT:
            raise GalleryError(f"{path} was written by a newer photoseek", "upgrade photoseek")
        files = [BackupFile(**file) for file in body["files"]]
        if not all(_is_sound(file) for file in files) or [file.name for file in files][:1] != [_CATALOG]:
            raise damaged
        return Backup(name, str(body["gallery"]), files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged from error


def _is_sound(file: BackupFile) -> bool:
    """Check an untrusted list: it may name only files that a backup holds, and blocks by their hash."""
    known = file.name in (_CATALOG, "config.toml") or is_trash_manifest(file.name)
    is_listed = isinstance(file.bytes, int) and isinstance(file.blocks, list)
    return known and is_listed and all(_HASH.fullmatch(digest) for digest in (*file.blocks, file.hash))


def _block_path(blocks: Path, digest: str) -> Path:
    return blocks / digest[:2] / digest


def _free_name(folder: Path) -> str:
    moment = file_moment()
    names = [moment, *(f"{moment}-{number}" for number in range(2, 1000))]
    return next(name for name in names if not (folder / f"{name}.json").exists())


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically, even if the power fails."""
    with replacing(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)

"""Put back what was moved to the trash, even after an interrupted run, without overwriting anything."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from retrieval.catalog.batch import Batch
from retrieval.catalog.images import retired_at
from retrieval.catalog.writer import Catalog
from retrieval.duplicates.files import NotSafe, Outcome, Tell, file_hash, move
from retrieval.duplicates.manifest import MANIFEST, Entry, read_manifest, trash_folders
from retrieval.gallery import Gallery
from retrieval.labels.merging import merge_anew, said_about
from retrieval.regular_files import sync_folder


def undo_trash(
    gallery: Gallery, tell: Tell = lambda _: None, *, only: Collection[Path] | None = None
) -> list[Outcome]:  # fmt: skip
    """Move everything in the trash back to its original place, the last run first.

    Args:
        only: only what is in these folders of the trash.

    A file is left in the trash, with the reason in its outcome, if something else is at its place now or its folder
    is gone. A folder of the trash whose files are all back is removed. Tags and captions that had been added to the
    keepers are removed from them again. Repeating it is harmless, even if the first time was interrupted.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryLocked: another process is writing to the gallery.
        GalleryError: a manifest is damaged, or the catalog cannot be written to; in the latter case the files are back.
    """
    outcomes: list[Outcome] = []
    with gallery.reader() as reader:
        encoder_id = gallery.active_encoder(reader).id
    with gallery.writer() as catalog:
        folders = [(folder, list(read_manifest(folder))) for folder in trash_folders(gallery.path)]
        wanted = [each for each in folders if only is None or each[0] in only]
        for folder, entries in wanted:
            back: list[Entry] = []
            results: list[Outcome] = []
            try:
                for entry in reversed(entries):
                    results += _put_back(folder, entry, back)
            finally:
                _restore(catalog, back, encoder_id)
            for outcome in results:
                outcomes.append(outcome)
                tell(outcome)
        _take_labels_apart(catalog, folders)
        for folder, entries in wanted:
            if not any(_in_trash(folder, entry) for entry in entries):
                _remove(folder)
    return outcomes


def _in_trash(folder: Path, entry: Entry) -> bool:
    return any(os.path.lexists(folder / name) for name in (entry.name, *entry.sidecars.values()))


def _put_back(folder: Path, entry: Entry, back: list[Entry]) -> list[Outcome]:
    """Move one file and its sidecars back; no outcome for files that never left or are back already."""
    outcomes = []
    place = os.path.dirname(entry.path)
    digest = bytes.fromhex(entry.content_hash)
    for trashed_name, path in [(entry.name, entry.path), *((t, os.path.join(place, n)) for n, t in _sidecars(entry))]:
        trashed = os.path.join(folder, trashed_name)
        try:
            if not os.path.lexists(trashed):
                if path == entry.path and not os.path.lexists(path):
                    raise NotSafe(f"it is neither there nor in the trash as {trashed}")
                moved = False
            else:
                _move_back(trashed, path, digest if path == entry.path else file_hash(trashed))
                moved = True
        except NotSafe as reason:
            outcomes.append(Outcome("undo", path, False, str(reason)))
        except OSError as error:
            outcomes.append(Outcome("undo", path, False, f"{error.strerror or error}; it is in the trash: {trashed}"))
        else:
            if path == entry.path:
                back.append(entry)  # also if it was back already: the run that moved it may have been interrupted
            if moved:
                outcomes.append(Outcome("undo", path, True, "back"))
    return outcomes


def _sidecars(entry: Entry) -> list[tuple[str, str]]:
    return list(entry.sidecars.items())


def _move_back(trashed: str, path: str, digest: bytes) -> None:
    if os.path.lexists(path):
        _settle_both(path, trashed, digest)
    elif not os.path.isdir(os.path.dirname(path)):  # noqa: PTH112
        # Creating it might write to the empty mount point of a drive that is not mounted.
        raise NotSafe(f"its folder is gone; make it, or mount its drive, and undo again; until then: {trashed}")
    else:
        move(trashed, path, digest)


def _settle_both(path: str, trashed: str, digest: bytes) -> None:
    """A move was interrupted between its two steps: if the original is complete, delete the copy; else keep both."""
    is_whole = not Path(path).is_symlink() and file_hash(path) == digest
    if not is_whole:
        raise NotSafe(f"another file lies there now; it stays in the trash: {trashed}")
    Path(trashed).unlink()


def _take_labels_apart(catalog: Catalog, folders: Sequence[tuple[Path, Sequence[Entry]]]) -> None:
    """In each keeper, leave only the merged labels of copies that are still in the trash."""
    staying: dict[int, list[int]] = {}
    for folder, entries in folders:
        for entry in entries:
            if entry.keeper_id:
                away = staying.setdefault(entry.keeper_id, [])
                if os.path.lexists(folder / entry.name):
                    away.append(entry.image_id)
    with catalog.transaction() as transaction:
        for keeper_id, images in staying.items():
            merge_anew(transaction, keeper_id, [said_about(transaction, image_id) for image_id in images])


def _restore(catalog: Catalog, back: list[Entry], encoder_id: int) -> None:
    """Mark pictures as present again if the catalog still has them at the same path with the same bytes."""
    with catalog.transaction() as transaction:
        known = [
            entry.image_id
            for entry in back
            if retired_at(transaction, entry.image_id, bytes.fromhex(entry.content_hash)) == entry.path
        ]
    if known:
        catalog.commit(Batch(restored=known), encoder_id)


def _remove(folder: Path) -> None:
    """Remove a folder of the trash if only its manifest and leftovers of interrupted copies remain."""
    for part in folder.glob(".photoseek-*.part"):
        part.unlink()
    if {path.name for path in folder.iterdir()} != {MANIFEST}:
        return  # the user has put something in
    (folder / MANIFEST).unlink()
    folder.rmdir()
    with suppress(OSError):
        sync_folder(str(folder.parent))

"""Put back what was moved to the trash, whatever interrupted the run that moved it, and never over anything."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from retrieval.catalog.batch import Batch
from retrieval.catalog.writer import Catalog
from retrieval.duplicates.files import NotSafe, Outcome, Tell, file_hash, move, sync_folder
from retrieval.duplicates.manifest import MANIFEST, Entry, read_manifest, trash_folders
from retrieval.gallery import Gallery
from retrieval.paths import decode_path


def undo_trash(gallery: Gallery, tell: Tell = lambda _: None) -> list[Outcome]:
    """Move everything in the trash back to where it lay, the last run first.

    A file is left in the trash, with the reason in its outcome, if something else lies at its place now or its folder
    is gone. A folder of the trash whose files are all back is removed. Doing it twice is harmless.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryLocked: another process is writing to the gallery.
        GalleryError: a manifest is damaged.
    """
    outcomes: list[Outcome] = []
    with gallery.reader() as reader:
        encoder_id = gallery.active_encoder(reader).id
    with gallery.writer() as catalog:
        for folder in trash_folders(gallery.path):
            back: list[Entry] = []
            try:
                entries = list(read_manifest(folder))
                results = [_put_back(folder, entry, back) for entry in reversed(entries)]
            finally:
                _restore(catalog, back, encoder_id)
            for outcome in filter(None, results):
                outcomes.append(outcome)
                tell(outcome)
            if all(outcome is None or outcome.done for outcome in results):
                _remove(folder)
    return outcomes


def _put_back(folder: Path, entry: Entry, back: list[Entry]) -> Outcome | None:
    """Move one file back; None if it never left or is back already."""
    trashed = os.path.join(folder, entry.name)
    try:
        if not os.path.lexists(trashed):
            if os.path.lexists(entry.path):
                return None
            raise NotSafe(f"it is neither there nor in the trash as {trashed}")
        if os.path.lexists(entry.path):
            _settle_both(entry, trashed)
        elif not os.path.isdir(os.path.dirname(entry.path)):  # noqa: PTH112
            # Making it might fill the empty mount point of a drive that is away.
            raise NotSafe(f"its folder is gone; make it, or mount its drive, and undo again; until then: {trashed}")
        else:
            move(trashed, entry.path, bytes.fromhex(entry.content_hash))
    except NotSafe as reason:
        return Outcome("undo", entry.path, False, str(reason))
    except OSError as error:
        return Outcome("undo", entry.path, False, f"{error.strerror or error}; it is in the trash: {trashed}")
    back.append(entry)
    return Outcome("undo", entry.path, True, "back")


def _settle_both(entry: Entry, trashed: str) -> None:
    """A move was cut off between its two steps: the original is whole, so the other one may go. Else keep both."""
    is_whole = not Path(entry.path).is_symlink() and file_hash(entry.path) == bytes.fromhex(entry.content_hash)
    if not is_whole:
        raise NotSafe(f"another file lies there now; it stays in the trash: {trashed}")
    Path(trashed).unlink()


def _restore(catalog: Catalog, back: list[Entry], encoder_id: int) -> None:
    """Make the pictures present again that the catalog still knows at the same place with the same bytes."""
    known = []
    with catalog.transaction() as connection:
        for entry in back:
            sql = """SELECT f.path, i.name FROM images AS i JOIN folders AS f ON f.id = i.folder_id
                     WHERE i.id = ? AND i.is_retired AND i.content_hash = ?"""
            values = (entry.image_id, bytes.fromhex(entry.content_hash))
            for path, name in connection.exec_driver_sql(sql, values).fetchall():
                if os.path.join(decode_path(path), decode_path(name)) == entry.path:
                    known.append(entry.image_id)
    if known:
        catalog.commit(Batch(restored=known), encoder_id)


def _remove(folder: Path) -> None:
    """Remove a folder of the trash that holds nothing any more but its manifest, and what a crash left of a copy."""
    for part in folder.glob(".photoseek-*.part"):
        part.unlink()
    if {path.name for path in folder.iterdir()} != {MANIFEST}:
        return  # somebody put something in
    (folder / MANIFEST).unlink()
    folder.rmdir()
    with suppress(OSError):
        sync_folder(str(folder.parent))

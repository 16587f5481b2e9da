"""``photoseek forget``: remove folders and files from a gallery, reversibly or permanently."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.catalog.albums import PURGED
from retrieval.catalog.faces import delete_all_faces
from retrieval.catalog.forgetting import Forgotten, forget
from retrieval.catalog.images import present_hashes
from retrieval.catalog.label_copies import drop_people
from retrieval.catalog.writer import Catalog
from retrieval.errors import IndexUnreachable, UnknownImage
from retrieval.gallery import Gallery
from retrieval.index_keeper import IndexKeeper
from retrieval.paths import is_remote
from retrieval.sources.addresses import spelled
from retrieval.streams import plural, printable
from retrieval.undone import Refused, item

logger = logging.getLogger("photoseek")

UNFINISHED = "forgetting"
"""A file in the gallery that exists while its other files may hold data that the catalog has deleted."""

_PURGE, _FORGET, _FACES = "purge", "forget", "faces"
"""The contents of that file."""


@dataclass
class ForgetReport:
    """What happened to each path.

    Attributes:
        is_log_empty: after a purge, False if another process still reads the gallery, so that SQLite cannot empty its
            log: the purged data leaves the disk when that process ends.
    """

    forgotten: list[Forgotten] = field(default_factory=list)
    is_log_empty: bool = True


def forget_paths(
    gallery: Gallery, paths: Sequence[str | Path], *, purge: bool = False, refused: Refused | None = None
) -> ForgetReport:
    """Remove folders and files (existing or not) from a gallery. The files themselves are not touched.

    Their thumbnails are deleted. Embeddings and labels by people are kept: both return when the same content is
    indexed again, at any path. Paths in a folder that is still indexed are excluded from now on.

    Args:
        purge: instead delete everything that the gallery knows of them: rows, names, embeddings, labels. The database
            and the indexes are rewritten, so that nothing of it is left in their files.
        refused: called with a path of which the gallery holds nothing; without it, an error is raised.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryLocked: another process is writing.
        UnknownImage: the gallery holds nothing of a path; then nothing is changed.
    """
    gallery.bring_up_to_date()
    with gallery.reader() as reader:
        known = reader.roots()
    report = ForgetReport()
    with gallery.writer() as catalog:
        finish_forgetting(gallery, catalog)
        with catalog.transaction() as transaction:
            for path in paths:
                with item(path, refused):
                    found = forget(transaction, _spellings(path), purge=purge)
                    if found is None:
                        raise UnknownImage(
                            f"{path} is not in the gallery", f"it has: {', '.join(known) or 'no folder'}"
                        )
                    report.forgotten.append(found)
            if report.forgotten:
                _mark(gallery.path / UNFINISHED, _PURGE if purge else _FORGET)
        if report.forgotten:
            report.is_log_empty = _clean_files(gallery, catalog, purge=purge)
    return report


def forget_faces(gallery: Gallery) -> tuple[int, bool]:
    """Delete every face, embedding, group and name, and all that people said about them, permanently.

    Runs no longer look for faces. The catalog's file is rewritten, so that nothing is left in it.

    Returns:
        How many faces there were; and False as ``ForgetReport.is_log_empty``.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryLocked: another process is writing.
    """
    gallery.bring_up_to_date()
    with gallery.reader():
        pass
    with gallery.writer() as catalog:
        finish_forgetting(gallery, catalog)
        with catalog.transaction() as transaction:
            count = delete_all_faces(transaction)
            _mark(gallery.path / UNFINISHED, _FACES)
        return count, _clean_of_faces(gallery, catalog)


def finish_forgetting(gallery: Gallery, catalog: Catalog) -> None:
    """Complete an earlier :func:`forget_paths` that was interrupted after its transaction."""
    try:
        begun = (gallery.path / UNFINISHED).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    logger.warning("an earlier photoseek forget was cut off; what was left of its work is done now")
    if begun == _FACES:
        _clean_of_faces(gallery, catalog)
    else:
        _clean_files(gallery, catalog, purge=begun != _FORGET)


def finish_earlier(gallery: Gallery) -> None:
    """:func:`finish_forgetting` before a run of the indexer, which others may share: this they may not."""
    if (gallery.path / UNFINISHED).exists():
        with gallery.writer() as catalog:
            finish_forgetting(gallery, catalog)


def prune(catalog: Catalog, missing: Sequence[str]) -> int:
    """Retire what a gallery has of folders that are missing; how many pictures."""
    retired = 0
    with catalog.transaction() as transaction:
        for folder in missing:
            found = forget(transaction, [folder], purge=False, leave_out=False)
            retired += 0 if found is None else found.images
    return retired


def _mark(file: Path, what: str) -> None:
    """Flush the mark to the disk: a power cut may follow the commit."""
    with file.open("w", encoding="utf-8") as out:
        out.write(what)
        out.flush()
        os.fsync(out.fileno())


def _clean_of_faces(gallery: Gallery, catalog: Catalog) -> bool:
    """Remove deleted faces from the gallery's other files: portraits from the thumbnails, names from
    copies of labels. False as ``Catalog.compact``."""
    is_log_empty = catalog.compact()
    for copy in gallery.label_copies_path.glob("*"):
        drop_people(copy)
    _drop_thumbnails(gallery)
    (gallery.path / UNFINISHED).unlink()
    return is_log_empty


def _clean_files(gallery: Gallery, catalog: Catalog, *, purge: bool) -> bool:
    """Remove data deleted from the catalog from the gallery's other files; False as ``Catalog.compact``."""
    is_log_empty = is_done = True
    if purge:
        is_done = _purge_indexes(gallery)
        _drop_copies(gallery)
        is_log_empty = catalog.compact()
    _drop_thumbnails(gallery)
    if is_done:
        (gallery.path / UNFINISHED).unlink()
    return is_log_empty


def _drop_copies(gallery: Gallery) -> None:
    for copy in gallery.label_copies_path.glob("*"):  # a new one is written by the next command
        copy.unlink()


def _drop_thumbnails(gallery: Gallery) -> None:
    """Remove thumbnails of pictures that the gallery no longer has, and all portraits, which are made again."""
    from retrieval.rendering.thumbnail_store import ThumbnailStore

    with gallery.reader() as reader:
        shown = present_hashes(reader)
    thumbnails = ThumbnailStore(gallery.path, 0)
    thumbnails.keep_only(shown)
    thumbnails.close()


LOG_LINES = [
    "another photoseek process reads this gallery (serve, daemon, a search): until it exits, the",
    "file catalog.sqlite-wal may still contain the deleted data; stop it (photoseek daemon stop)",
]
"""What to say if the log could not be emptied."""


def report_lines(report: ForgetReport, *, purge: bool) -> list[str]:
    """Text for people, one line each."""
    lines = []
    for each in report.forgotten:
        path = printable(each.path)
        pictures = plural(each.purged if purge else each.images, "picture")
        lines.append(f"{path}: {pictures} {'permanently deleted from the gallery' if purge else 'forgotten'}")
        lines += [f"    the saved search {printable(name)} named it; it has {PURGED} now" for name in each.searches]
        if each.labelled:
            labelled = plural(each.labelled, "picture")
            lines.append(f"    tags and captions of {labelled} are kept and restored when they are indexed again;")
            lines.append("    to delete them too, run: photoseek forget --purge")
        if each.left_out_of is not None:
            folder, name = os.path.split(path)
            lines.append(f"    {printable(each.left_out_of)} is still indexed, and excludes it from now on;")
            back = path if each.is_folder else f"{folder} --include {name}"
            lines.append(f"    to include it again, run: photoseek index {back}")
    return lines if report.is_log_empty else lines + LOG_LINES


def _purge_indexes(gallery: Gallery) -> bool:
    """Make every index anew without the purged vectors; False if a server that holds one cannot be used now."""
    is_done = True
    with gallery.reader() as reader:
        for encoder in reader.encoders():
            folder = gallery.index_path(encoder.fingerprint)
            if folder.exists():
                for old in folder.iterdir():
                    if old.name != "tuning.json":
                        shutil.rmtree(old) if old.is_dir() else old.unlink()
            keeper = IndexKeeper(folder, reader, encoder)
            try:
                if folder.exists() or keeper.is_in_server:
                    keeper.make_anew()
            except IndexUnreachable as error:
                is_done = False
                logger.warning("%s; the next photoseek index deletes there what was purged", error.message)
            finally:
                keeper.close()
    return is_done


def _spellings(path: str | Path) -> list[str]:
    """Names by which the catalog may know a path: all links resolved, all except its own, none."""
    if is_remote(address := spelled(path)):
        return [address]
    given = os.path.abspath(Path(path).expanduser())
    folder, name = os.path.split(given)
    return list(dict.fromkeys((os.path.realpath(given), os.path.join(os.path.realpath(folder), name), given)))

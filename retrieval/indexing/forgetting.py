"""``photoseek forget``: remove folders and files from a gallery, reversibly or permanently."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.catalog.forgetting import Forgotten, forget
from retrieval.catalog.writer import Catalog
from retrieval.errors import UnknownImage
from retrieval.gallery import Gallery
from retrieval.streams import plural, printable
from retrieval.sync import IndexKeeper
from retrieval.undone import Refused, item

logger = logging.getLogger("photoseek")

UNFINISHED = "forgetting"
"""A file of the gallery that is there while its other files may hold what the catalog has let go of."""

_PURGE, _FORGET = "purge", "forget"
"""What that file says."""


@dataclass
class ForgetReport:
    """What became of each path.

    Attributes:
        is_log_empty: after a purge, False if another process still reads the gallery, which keeps SQLite from emptying
            its log: what was purged leaves the disk when that process ends.
    """

    forgotten: list[Forgotten] = field(default_factory=list)
    is_log_empty: bool = True


def forget_paths(
    gallery: Gallery, paths: Sequence[str | Path], *, purge: bool = False, refused: Refused | None = None
) -> ForgetReport:
    """Take folders and files (there or not) out of a gallery. The files themselves are not touched.

    Their thumbnails are deleted. Embeddings are kept, and so is what people said about the pictures: both come back
    when the same content is indexed again, wherever it lies. What lies in a folder that is still indexed is left out
    of it from now on.

    Args:
        purge: delete everything that the gallery knows of them instead: rows, names, embeddings, labels. The database
            and the indexes are written anew, so that nothing of it is left in their files.
        refused: told of a path that the gallery holds nothing of; without it, that is raised.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryLocked: another process is writing.
        UnknownImage: the gallery holds nothing of a path; nothing is changed then.
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


def finish_forgetting(gallery: Gallery, catalog: Catalog) -> None:
    """Do what an earlier :func:`forget_paths` did not come to, if it was cut off behind its transaction."""
    try:
        begun = (gallery.path / UNFINISHED).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    _clean_files(gallery, catalog, purge=begun != _FORGET)
    logger.warning("an earlier photoseek forget was cut off; what was left of its work is done now")


def _mark(file: Path, what: str) -> None:
    """Written through to the disk: a power cut may follow the commit."""
    with file.open("w", encoding="utf-8") as out:
        out.write(what)
        out.flush()
        os.fsync(out.fileno())


def _clean_files(gallery: Gallery, catalog: Catalog, *, purge: bool) -> bool:
    """Take what the catalog has let go of out of the gallery's other files; False as ``Catalog.compact``."""
    from retrieval.rendering.thumbnail_store import ThumbnailStore

    is_log_empty = True
    if purge:
        _purge_indexes(gallery)
        is_log_empty = catalog.compact()
    thumbnails = ThumbnailStore(gallery.path, 0)
    thumbnails.keep_only(gallery.catalog_path)
    thumbnails.close()
    (gallery.path / UNFINISHED).unlink()
    return is_log_empty


def report_lines(report: ForgetReport, *, purge: bool) -> list[str]:
    """What to tell a person, a line each."""
    lines = []
    for each in report.forgotten:
        path = printable(each.path)
        pictures = plural(each.purged if purge else each.images, "picture")
        lines.append(f"{path}: {pictures} {'permanently deleted from the gallery' if purge else 'forgotten'}")
        if each.labelled:
            labelled = plural(each.labelled, "picture")
            lines.append(f"    tags and captions of {labelled} are kept and restored when they are indexed again;")
            lines.append("    to delete them too, run: photoseek forget --purge")
        if each.left_out_of is not None:
            folder, name = os.path.split(path)
            lines.append(f"    {printable(each.left_out_of)} is still indexed, and excludes it from now on;")
            back = path if each.is_folder else f"{folder} --include {name}"
            lines.append(f"    to include it again, run: photoseek index {back}")
    if not report.is_log_empty:
        lines.append("another photoseek process reads this gallery (serve, daemon, a search): until it exits, the")
        lines.append("file catalog.sqlite-wal may still contain the deleted data; stop it (photoseek daemon stop)")
    return lines


def _purge_indexes(gallery: Gallery) -> None:
    """Save every index anew without the vectors that were purged: what replaces them is written beside them first."""
    with gallery.reader() as reader:
        for encoder in reader.encoders():
            folder = gallery.index_path(encoder.fingerprint)
            if folder.exists():
                for old in folder.iterdir():
                    if old.name != "tuning.json":
                        shutil.rmtree(old) if old.is_dir() else old.unlink()
                IndexKeeper(folder, reader, encoder).finish()


def _spellings(path: str | Path) -> list[str]:
    """Under which names the catalog may know a path: all links resolved, all but its own, none."""
    given = os.path.abspath(Path(path).expanduser())
    folder, name = os.path.split(given)
    return list(dict.fromkeys((os.path.realpath(given), os.path.join(os.path.realpath(folder), name), given)))

"""Take over what XMP says about the pictures of a gallery: from sidecars beside them, else from inside JPEGs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.catalog.reader import CatalogReader
from retrieval.filters import Filter
from retrieval.folding import fold
from retrieval.gallery import Gallery
from retrieval.indexing.scan import describe_os_error
from retrieval.labels.labelling import add_rows, find_images
from retrieval.labels.reading import XMP, ImageLabels, labels_of
from retrieval.labels.xmp import UnreadableXmp, Xmp, read_embedded, read_sidecar

_AT_ONCE = 500


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        pictures: looked at.
        sidecars, embedded: pictures that had XMP beside them, or inside.
        changed: pictures of which XMP now says something else than before.
        problems: path of a sidecar, picture or folder -> why its XMP could not be used; what it had said is kept.
    """

    pictures: int = 0
    sidecars: int = 0
    embedded: int = 0
    changed: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def import_xmp(
    gallery: Gallery,
    targets: Sequence[str | Path | int] = (),
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportReport:
    """Make the tags and captions of source ``xmp`` what XMP says now; those of the user are never touched.

    A sidecar is ``photo.jpg.xmp`` or ``photo.xmp`` (in any case, the first wins) in the picture's folder. Where there
    is one, XMP inside the picture is not looked at: programs that write sidecars do not keep the other up to date. No
    picture is decoded. Where a folder or a file is out of reach, what was known is kept.

    Args:
        targets: pictures, folders or ids (see ``labelling.find_images``); default: the whole gallery.

    Raises:
        UnknownImage: the gallery holds nothing of a target.
        GalleryNotFound, GalleryLocked: there is no gallery, or another process writes to it.
    """
    report = ImportReport()
    with gallery.reader() as reader, gallery.writer() as catalog:
        ids = find_images(reader, targets) if targets else reader.select(Filter()).tolist()
        folders = _Folders()
        for known in _in_blocks(reader, ids):
            changes: list[tuple[ImageLabels, Xmp]] = []
            for labels in known:
                said = _look(labels.image.path, folders, report)
                if said is not None and said != _as_known(labels):
                    changes.append((labels, said))
            report.pictures += len(known)
            if changes:  # a run without changes writes nothing
                with catalog.transaction() as connection:
                    gone = [(labels.image.id, XMP) for labels, _ in changes]
                    for table in ("tags", "captions"):
                        connection.exec_driver_sql(f"DELETE FROM {table} WHERE image_id = ? AND source = ?", gone)
                    add_rows(connection, "tags", [(x.image.id, tag, XMP) for x, said in changes for tag in said.tags])
                    add_rows(connection, "captions", [(x.image.id, s.caption, XMP) for x, s in changes if s.caption])
            report.changed += len(changes)
            on_progress(report.pictures, len(ids))
    return report


class _Folders:
    """Names of sidecars by folder; each folder is listed once and the last one kept: ids mostly come by folder."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._names: dict[str, str] | OSError = {}

    def sidecar(self, picture: str) -> str | None:
        """The path of a picture's sidecar, None if there is none.

        Raises:
            _FolderOutOfReach: the folder cannot be listed, which says nothing about its sidecars.
        """
        folder, name = os.path.split(picture)
        if folder != self._path:
            self._path, self._names = folder, _sidecars_in(folder)
        if isinstance(self._names, OSError):
            raise _FolderOutOfReach(folder) from self._names
        for wanted in (f"{name}.xmp", f"{os.path.splitext(name)[0]}.xmp"):  # noqa: PTH122 - names need not be text
            if found := self._names.get(fold(wanted)):
                return os.path.join(folder, found)
        return None


def _sidecars_in(folder: str) -> dict[str, str] | OSError:
    """Folded name -> name."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name[-4:].lower() == ".xmp")
    except OSError as error:
        return error
    return {fold(name): name for name in names}


class _FolderOutOfReach(Exception):
    """Its argument is the folder."""


def _look(picture: str, folders: _Folders, report: ImportReport) -> Xmp | None:
    """What XMP says about a picture now; None where that cannot be found out."""
    source = picture
    try:
        sidecar = folders.sidecar(picture)
        if sidecar is not None:
            source = sidecar
            said = read_sidecar(sidecar)
            report.sidecars += 1
        else:
            said = read_embedded(picture)
            report.embedded += said != Xmp()
        return said
    except UnreadableXmp as error:
        report.problems[source] = str(error)
    except OSError as error:
        report.problems[source] = describe_os_error(error)
    except _FolderOutOfReach as error:
        report.problems[str(error)] = "the folder is out of reach"
    return None


def _as_known(labels: ImageLabels) -> Xmp:
    caption = next((said.text for said in labels.captions if said.source == XMP), None)
    return Xmp(tuple(sorted(said.text for said in labels.tags if said.source == XMP)), caption)


def _in_blocks(reader: CatalogReader, ids: Sequence[int]) -> Iterator[list[ImageLabels]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield labels_of(reader, ids[start : start + _AT_ONCE])

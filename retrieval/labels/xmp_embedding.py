"""Write the gallery's labels by people into the pictures themselves, and take them out again, byte for byte.

The picture in the file is not touched: only its packet of XMP is replaced. What it replaces is kept in the catalog
before the file is, so that undoing it gives the original file, which its hash proves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from retrieval.catalog.embedded_xmp import earlier, forget_earlier, note_earlier, set_bytes
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import FileChanged, ImageRecord
from retrieval.catalog.writer import Catalog
from retrieval.filters import Filter
from retrieval.gallery import Gallery
from retrieval.labels.labelling import find_images
from retrieval.labels.pairing import FolderOutOfReach, Sidecars
from retrieval.labels.reading import ImageLabels, labels_of
from retrieval.labels.sidecars import import_xmp
from retrieval.labels.xmp import UnreadableXmp, Xmp
from retrieval.labels.xmp_packets import FORMATS, Edit, applied, inverse, packet_edits, packet_in
from retrieval.labels.xmp_writing import Outcome, WriteReport, Written, edited, said_by_people
from retrieval.pictures.images import content_hash
from retrieval.regular_files import (
    MAX_FILE_BYTES,
    change_time,
    describe_os_error,
    digest_of,
    open_regular,
    replacing,
    sync_folder,
)
from retrieval.sources.reading import why_not_written
from retrieval.undone import Refused

_AT_ONCE = 500


def embed_xmp(
    gallery: Gallery,
    targets: Sequence[str | Path | int] = (),
    *,
    dry_run: bool = False,
    undo: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    refused: Refused | None = None,
) -> WriteReport:
    """Write what people say in the gallery into the XMP of JPEG, PNG and WebP files; other formats are counted.

    A file is replaced atomically, with its times, permissions and extended attributes, if it still is the one that was
    indexed. It stays the same picture of the gallery, with its embeddings, text and labels. A picture with a sidecar
    is left alone, since programs read the sidecar first.

    Args:
        targets, refused: pictures, folders or ids (see ``labelling.find_images``); default: the whole gallery.
        dry_run: change nothing.
        undo: restore the files as they were before photoseek first wrote into them. Files that another program has
            changed since are not known any more, and are left alone.

    Raises:
        UnknownImage: the gallery holds nothing of a target.
        GalleryNotFound, GalleryLocked: there is no gallery, or another process writes to it.
    """
    report, touched = WriteReport(), []
    with ExitStack() as stack:
        reader = stack.enter_context(gallery.reader())
        catalog = None if dry_run else stack.enter_context(gallery.writer())
        ids = find_images(reader, targets, refused) if targets else reader.select(Filter()).tolist()
        work = _Undoing(reader, catalog) if undo else _Embedding(reader, catalog, report)
        for start in range(0, len(ids), _AT_ONCE):
            for labels in labels_of(reader, ids[start : start + _AT_ONCE]):
                report.pictures += 1
                done = _tried(work, labels, report)
                if done is not None:  # also "same": a run may have been killed before it imported
                    touched.append(labels.image.id)
                    if done.outcome != "same":
                        report.written.append(done)
            on_progress(report.pictures, len(ids))
    if touched and not dry_run:
        import_xmp(gallery, touched)
    return report


def _tried(work: _Work, labels: ImageLabels, report: WriteReport) -> Written | None:
    picture = labels.image.path
    if (why := why_not_written(picture)) is not None:
        if said_by_people(labels) != Xmp():
            report.problems[picture] = why
        return None
    try:
        return work.one(work.settled(labels))
    except UnreadableXmp as error:
        report.problems[picture] = str(error)
    except FileChanged:
        report.problems[picture] = "changed since it was indexed"
    except OSError as error:
        report.problems[picture] = describe_os_error(error) if error.strerror else str(error)
    except FolderOutOfReach as error:
        report.problems[str(error)] = "the folder is out of reach"
    return None


class _Work:
    """One run: what happens to a picture.

    Args:
        catalog: None in a dry run.
    """

    def __init__(self, reader: CatalogReader, catalog: Catalog | None) -> None:
        self._reader, self._catalog = reader, catalog

    def one(self, labels: ImageLabels) -> Written | None:
        raise NotImplementedError

    def settled(self, labels: ImageLabels) -> ImageLabels:
        """With the file's present bytes, if a run was killed after it had replaced the file and before it told the
        catalog: its hash is one that was noted for this picture."""
        image = labels.image
        if image.on_disk() != "changed":
            return labels
        with open_regular(image.path) as file:
            digest, found = digest_of(file), os.fstat(file.fileno())
        known = earlier(self._reader, digest)
        is_next = known is not None and known.content_hash == image.content_hash
        if not is_next and digest not in [before for _, before, _ in self._chain(image.content_hash)]:
            return labels
        changed = change_time(found)
        if self._catalog is not None:
            with self._catalog.transaction() as transaction:
                set_bytes(transaction, image, digest, found.st_size, found.st_mtime_ns, changed)
        now = replace(
            image, content_hash=digest, size=found.st_size, mtime_ns=found.st_mtime_ns, ctime_ns=changed
        )  # fmt: skip
        return replace(labels, image=now)

    def _chain(self, digest: bytes) -> Iterator[tuple[bytes, bytes, list[Edit]]]:
        """(hash, earlier hash, edits) of each time that photoseek wrote into a file, the last first."""
        seen = {digest}
        while (found := earlier(self._reader, digest)) is not None and found.content_hash not in seen:
            yield digest, found.content_hash, [Edit(*each) for each in found.replaced]
            digest = found.content_hash
            seen.add(digest)

    def _put(self, catalog: Catalog, image: ImageRecord, made: bytes, digest: bytes) -> None:
        """Replace the file, and tell the catalog."""
        _replace(image, made)
        found = os.stat(image.path)
        with catalog.transaction() as transaction:
            set_bytes(transaction, image, digest, found.st_size, found.st_mtime_ns, change_time(found))


class _Embedding(_Work):
    def __init__(self, reader: CatalogReader, catalog: Catalog | None, report: WriteReport) -> None:
        super().__init__(reader, catalog)
        self._report, self._folders = report, Sidecars()

    def one(self, labels: ImageLabels) -> Written | None:
        image, wanted = labels.image, said_by_people(labels)
        if image.format not in FORMATS:
            if wanted != Xmp():
                self._report.refused[image.format] += 1
            return None
        if wanted == Xmp() and earlier(self._reader, image.content_hash) is None:
            return None
        if self._folders.find(image.path) is not None:
            raise UnreadableXmp("it has a sidecar, which other programs read first; write that, without --embed")
        data = _content(image)
        made, what = edited(packet_in(data, image.format), wanted, image.path)
        if made is None:
            return Written(image.path, image.path, "same")
        edits = packet_edits(data, image.format, made)
        new, back = applied(data, edits), inverse(data, edits)
        if applied(new, back) != data:
            raise UnreadableXmp("the change could not be undone exactly")
        if self._catalog is not None:
            digest = content_hash(new)
            with self._catalog.transaction() as transaction:  # before the file is written: it must be undoable
                note_earlier(transaction, digest, image.content_hash, back)
            self._put(self._catalog, image, new, digest)
        return Written(image.path, image.path, "changed" if made else "removed", what)


class _Undoing(_Work):
    def one(self, labels: ImageLabels) -> Written | None:
        image = labels.image
        chain = list(self._chain(image.content_hash))
        if not chain:
            return None
        data = _content(image)
        for _, digest, edits in chain:
            data = applied(data, edits)
            if content_hash(data) != digest:
                raise UnreadableXmp("its earlier bytes are damaged in the catalog; the file is left as it is")
        if self._catalog is not None:
            self._put(self._catalog, image, data, chain[-1][1])
            with self._catalog.transaction() as transaction:
                forget_earlier(transaction, [digest for digest, _, _ in chain])
        outcome: Outcome = "removed"
        return Written(image.path, image.path, outcome, "the original file")


def _content(image: ImageRecord) -> bytes:
    """The whole file, if it is the one that was indexed and may be replaced.

    Raises:
        OSError: it is not, or it has further names, which would keep the old content.
    """
    if os.path.islink(image.path):  # noqa: PTH114 - names need not be valid text
        raise OSError("it is a link; write to what it points to")
    with image.open() as file:
        found = os.fstat(file.fileno())
        if found.st_nlink > 1:
            raise OSError("it has further names (hard links), which would keep the old content")
        if found.st_size > MAX_FILE_BYTES:
            raise OSError(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        return file.read()


def _replace(image: ImageRecord, data: bytes) -> None:
    """Replace a picture's file by one with the same times, permissions, owner and extended attributes."""
    place = Path(image.path)
    with replacing(place) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        before = os.stat(place)
        if hasattr(os, "chown"):
            with suppress(OSError):
                os.chown(file.name, before.st_uid, before.st_gid)
        shutil.copystat(place, file.name)
        if image.on_disk() != "same":
            raise FileChanged(f"{image.path} changed since it was indexed")
    sync_folder(place.parent)

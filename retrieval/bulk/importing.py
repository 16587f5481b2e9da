"""Embeddings made elsewhere become those of files on this machine.

An embedding is a fact about the bytes of a file and about a model. So it is imported only if

- the file is there: an entry without a file could be neither shown nor checked. Others are counted; the same command
  imports them later;
- it is the same file: an own export is compared by size and time, or else by the hash of its content;
- the model is the same: an own export names its fingerprint; for others, the embeddings of a few files are made anew
  and compared, because a folder of numbers does not say what made it.

What the gallery has for a file already stays. An interrupted import is continued by the same command.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.bulk.layouts import Layout, Rows, layout_of, rows_of
from retrieval.catalog.batch import Batch, IndexedImage, KnownFile, Metadata
from retrieval.catalog.records import pack_vector
from retrieval.encoders.choice import choose_for_indexing
from retrieval.errors import EncoderMismatch, QueryError, SettingsError, UnreadableImage
from retrieval.index_keeper import IndexKeeper
from retrieval.indexing.described import metadata_of
from retrieval.paths import is_below
from retrieval.pictures.formats import is_video_name
from retrieval.pictures.images import content_hash, read_picture
from retrieval.pictures.picture_file import MAX_FILE_BYTES, encode_file
from retrieval.regular_files import change_time, read_regular

if TYPE_CHECKING:
    from indexes.base import Vectors
    from retrieval.catalog.writer import Catalog
    from retrieval.encoders.base import Encoder
    from retrieval.gallery import Gallery

_SAMPLE = 16
_ALIKE = 0.98
"""The least median cosine of the sample: another precision or resizing gives 0.99 and more, another model below 0.5."""

_COMMIT_IMAGES = 2048
_PLAIN_METADATA = (
    "format", "width", "height", "camera", "lens", "latitude", "longitude", "colour", "taken_instant",
    "taken_precision", "iso", "aperture", "exposure", "focal_length",
)  # fmt: skip


@dataclass
class ImportReport:
    """What became of the rows.

    Attributes:
        imported: they are in the gallery now.
        known: the gallery had an embedding of the file already, by the same model.
        missing: there is no such file below the folder of pictures.
        changed: the file is another one than when it was exported.
        videos: their frames are not in an export: ``photoseek index`` embeds them.
        unusable: unreadable files, and vectors that are none.
        index: the kind of vector index, and why.
    """

    model: str = ""
    imported: int = 0
    known: int = 0
    missing: int = 0
    changed: int = 0
    videos: int = 0
    unusable: int = 0
    index: str = ""
    interrupted: bool = False

    @property
    def rows(self) -> int:
        """All rows that were looked at."""
        return self.imported + self.known + self.missing + self.changed + self.videos + self.unusable


def import_embeddings(
    gallery: Gallery,
    folder: Path,
    pictures: Path,
    *,
    encoder: Encoder | None = None,
    model: str | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> ImportReport:
    """Import the embeddings in ``folder`` of the files below ``pictures``, which becomes a folder of the gallery.

    Paths in ``folder`` that are relative are below ``pictures``; so are those below a folder of the gallery that
    photoseek exported, wherever that was.

    Args:
        encoder, model: by which the embeddings were made, as an object or by name; default: that of the gallery, or of
            an own export.

    Raises:
        SettingsError: no embeddings, or no folder of pictures.
        EncoderMismatch: they were made by another model.
        EncoderError: the model is not installed.
        GalleryLocked: another process is writing to the gallery.
    """
    layout = layout_of(folder)
    if not pictures.is_dir():
        raise SettingsError(f"{pictures} is not a folder", "give the folder that holds the pictures")
    root = os.path.realpath(pictures)
    gallery.bring_up_to_date()
    if encoder is None:
        encoder = choose_for_indexing(gallery, model or layout.model or None)
    report = ImportReport(model=encoder.spec.name)
    _check_model(layout, encoder, root)
    with gallery.writer() as catalog:
        encoder_id = catalog.register_encoder(encoder.spec)
        catalog.folder_id(root, is_root=True)
        taking = _Import(catalog, encoder, encoder_id, root, layout, report)
        for shard in layout.shards:
            for rows in rows_of(shard, is_own=layout.is_own):
                if stop():
                    report.interrupted = True
                    break
                taking.take(rows)
                on_progress(report.rows)
        taking.commit()
        with gallery.reader() as reader:
            row = next(each for each in reader.encoders() if each.id == encoder_id)
            keeper = IndexKeeper(gallery.index_path(row.fingerprint), reader, row)
            report.index = keeper.finish()
            keeper.close()
    return report


class _Import:
    """The files of one import, batch by batch."""

    def __init__(
        self, catalog: Catalog, encoder: Encoder, encoder_id: int, root: str, layout: Layout, report: ImportReport
    ) -> None:
        self._catalog, self._encoder, self._encoder_id = catalog, encoder, encoder_id
        self._root, self._layout, self._report = root, layout, report
        self._batch = Batch()
        self._folder: tuple[str, int, dict[str, KnownFile]] = ("", 0, {})

    def take(self, rows: Rows) -> None:
        """Import some rows; everything is committed by :meth:`commit` at the latest."""
        if rows.vectors.shape[1] != self._encoder.spec.dim:
            raise _other_model(
                self._encoder, f"they have {rows.vectors.shape[1]} numbers, not {self._encoder.spec.dim}"
            )
        sound = np.isfinite(rows.vectors.sum(axis=1))  # NaN marks what is no vector
        for at, path in enumerate(rows.paths):
            columns = {name: values[at] for name, values in rows.columns.items()}
            if not sound[at]:
                self._report.unusable += 1
                continue
            image = self._image(path, rows.vectors[at], columns)
            if image is not None:
                self._batch.indexed.append(image)
                self._report.imported += 1
        if len(self._batch) >= _COMMIT_IMAGES:
            self.commit()

    def commit(self) -> None:
        """Write what was taken."""
        if len(self._batch):
            batch, self._batch = self._batch, Batch()
            self._catalog.commit(batch, self._encoder_id)

    def _image(self, given: str, vector: Vectors, columns: dict[str, Any]) -> IndexedImage | None:
        """The row of a file; None if it cannot be imported, which is counted."""
        report = self._report
        path = _place_of(given, self._root, self._layout.folders)
        if path is None:
            report.missing += 1
            return None
        if columns.get("duration_s") is not None or is_video_name(os.path.basename(path)):
            report.videos += 1
            return None
        try:
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError
        except OSError:
            report.missing += 1
            return None
        folder_id, known = self._known_in(os.path.dirname(path))
        name = os.path.basename(path)
        before = known.get(name)
        if before is not None and before[1:3] == (found.st_size, found.st_mtime_ns) and not before[3] and before[4]:
            report.known += 1
            return None
        try:
            described = self._described(path, found, columns)
        except (OSError, UnreadableImage):
            report.unusable += 1
            return None
        if described is None:
            report.changed += 1
            return None
        digest, metadata = described
        size, mtime_ns = found.st_size, found.st_mtime_ns
        packed = pack_vector(vector)
        return IndexedImage(folder_id, name, size, mtime_ns, digest, metadata, packed, ctime_ns=change_time(found))

    def _described(self, path: str, found: os.stat_result, columns: dict[str, Any]) -> tuple[bytes, Metadata] | None:
        """Hash and metadata of a file, from an own export without reading it; None if it has changed since."""
        own = columns.get("content_hash")
        if own is not None and (columns["size"], columns["mtime_ns"]) == (found.st_size, found.st_mtime_ns):
            return own, _metadata(columns)
        data = read_regular(Path(path), MAX_FILE_BYTES)
        digest = content_hash(data)
        if own is not None:
            return (digest, _metadata(columns)) if digest == own else None
        return digest, metadata_of(read_picture(data, self._encoder.spec.preprocessing), data)

    def _known_in(self, folder: str) -> tuple[int, dict[str, KnownFile]]:
        if self._folder[0] != folder:
            folder_id = self._catalog.folder_id(folder)
            self._folder = (folder, folder_id, self._catalog.known_files(folder_id, self._encoder_id))
        return self._folder[1:]


def _place_of(given: str, root: str, folders: tuple[str, ...]) -> str | None:
    """Where a row's file is on this machine: below ``root``, or nowhere."""
    if not given or "\0" in given:
        return None
    if given.startswith(os.sep):
        base = next((each for each in (root, *folders) if is_below(given, each)), None)
        if base is None:
            return None
        given = os.path.relpath(given, base)
    path = os.path.normpath(os.path.join(root, given))
    return path if is_below(path, root) else None


def _metadata(columns: dict[str, Any]) -> Metadata:
    taken = None if columns["taken_at"] is None else datetime.fromisoformat(columns["taken_at"])
    offset = None if taken is None or taken.utcoffset() is None else taken.utcoffset()
    return Metadata(
        **{name: columns[name] for name in _PLAIN_METADATA},
        taken_at=None if taken is None else taken.replace(tzinfo=None).isoformat(timespec="seconds"),
        taken_offset_minutes=None if offset is None else int(offset.total_seconds() // 60),
    )


def _check_model(layout: Layout, encoder: Encoder, root: str) -> None:
    """Raise EncoderMismatch unless the embeddings are those of ``encoder``."""
    if layout.is_own:
        if layout.fingerprint != encoder.spec.fingerprint:
            raise _other_model(encoder, f"they are by {layout.model} {layout.fingerprint[:12]}")
        return
    cosines: list[float] = []
    for path, vector in _some_files(layout, root):
        if len(vector) != encoder.spec.dim:
            raise _other_model(encoder, f"they have {len(vector)} numbers, not {encoder.spec.dim}")
        try:
            cosines.append(float(encode_file(encoder, Path(path)) @ vector))
        except (QueryError, UnreadableImage):
            continue
        if len(cosines) == _SAMPLE:
            break
    if cosines and float(np.median(cosines)) < _ALIKE:
        raise _other_model(
            encoder, f"the median cosine of the compared files ({len(cosines)}) is {np.median(cosines):.2f}"
        )


def _some_files(layout: Layout, root: str) -> Iterator[tuple[str, Vectors]]:
    """The first rows of each shard whose files are there."""
    for shard in layout.shards:
        for rows in rows_of(shard, is_own=False):
            found = 0
            for given, vector in zip(rows.paths, rows.vectors, strict=True):
                path = _place_of(given, root, ())
                if path is not None and os.path.isfile(path) and np.isfinite(vector).all():  # noqa: PTH113
                    yield path, vector
                    found += 1
                    if found >= _SAMPLE:
                        break
            break


def _other_model(encoder: Encoder, why: str) -> EncoderMismatch:
    return EncoderMismatch(
        f"these embeddings were not made by {encoder.spec.name}: {why}", "name their model with --model"
    )

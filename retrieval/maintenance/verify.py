"""Check everything in a gallery, and repair what can be repaired.

The catalog is authoritative: an index or a thumbnail that disagrees with it is rebuilt. A damaged embedding is deleted,
and the next run of ``photoseek index`` computes it again. From a damaged catalog every readable row is copied to a new
one, and the damaged one is kept beside it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from retrieval.catalog.orders import present_ids
from retrieval.catalog.salvage import salvage
from retrieval.catalog.stored import damaged_images
from retrieval.catalog.whole_file import exchange, faults_of, file_moment, remove_database
from retrieval.errors import GalleryError, GalleryNotFound, GalleryOutdated, GalleryTooNew, IndexUnreachable
from retrieval.index_keeper import IndexKeeper
from retrieval.streams import plural
from retrieval.sync import open_index, store_of

if TYPE_CHECKING:
    from retrieval.catalog.encoders import EncoderRow
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.records import ImageRecord
    from retrieval.gallery import Gallery

State = Literal["sound", "damaged", "repaired", "note"]

_AT_ONCE = 1000
_REQUESTS = 16
"""To object stores, at the same time."""

_CACHES = ("thumbnails.sqlite", "text-cache.sqlite")
_INDEX_AGAIN = "run: photoseek index"


@dataclass(frozen=True)
class Finding:
    """The result of checking one part.

    Attributes:
        part: ``catalog``, ``embeddings``, ``index``, ``thumbnails.sqlite``, ``text-cache.sqlite`` or ``files``.
        state: ``damaged`` remains to be repaired; a ``note`` is not a fault of the gallery.
        message: one line.
    """

    part: str
    state: State
    message: str


def verify(gallery: Gallery, *, repair: bool = False, files: bool = True) -> Iterator[Finding]:
    """Check the parts of a gallery one by one; each check reads its part once.

    Args:
        repair: repair damage; no other process may write meanwhile.
        files: also compare every picture with its file, by size and times.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryOutdated, GalleryTooNew: it was written by another version of photoseek.
        GalleryLocked: it is to be repaired, and another process is writing it.
    """
    if not gallery.exists():
        raise GalleryNotFound(f"there is no gallery at {gallery.path}", "name another one with --gallery")
    gallery.refuse_links()
    _check_version(gallery)
    catalog = _check_catalog(gallery, repair)
    yield catalog
    yield from _check_caches(gallery, repair)
    if catalog.state == "damaged":
        yield Finding("embeddings", "note", "not checked, because the catalog is damaged")
        return
    with gallery.reader() as reader:
        encoders = reader.encoders()
    for row in encoders:
        yield _check_embeddings(gallery, row, repair)
        with gallery.reader() as reader:
            is_kept = gallery.index_path(row.fingerprint).exists() or "://" in (reader.index_spec() or "")
        if is_kept:
            yield _check_index(gallery, row, repair)
    if files:
        with gallery.reader() as reader:
            yield _compare_files(reader)


def _check_version(gallery: Gallery) -> None:
    try:
        with gallery.reader(upgrades=False):
            pass
    except (GalleryOutdated, GalleryTooNew):
        raise
    except GalleryError:
        pass  # the checks below report damage


def _check_catalog(gallery: Gallery, repair: bool) -> Finding:
    if (address := gallery.server()) is not None:
        with gallery.reader() as reader:
            told = (
                f"{plural(reader.count(), 'picture')} in {address}; PostgreSQL checks its pages and references itself"
            )
        return Finding("catalog", "sound", told)
    faults = faults_of(gallery.catalog_path) or _unnamed_change(gallery)
    if not faults:
        return Finding("catalog", "sound", "every page and every reference is sound")
    if not repair:
        return Finding("catalog", "damaged", f"{faults[0]}; run: photoseek verify --repair, or restore a backup")
    with gallery.locked():
        for left in gallery.path.glob(".salvaged-*.sqlite"):
            remove_database(left)
        made = gallery.path / f".salvaged-{file_moment()}.sqlite"
        try:
            tables = salvage(gallery.catalog_path, made)
        except GalleryError as error:
            remove_database(made)
            return Finding("catalog", "damaged", f"{error.message}; {error.hint}")
        kept = exchange(gallery.catalog_path, made, "damaged")[0]
    pictures = next(each.rows for each in tables if each.table == "images")
    partial = [each.table for each in tables if each.is_partial or each.unfit]
    lost = f"; parts of these tables are lost: {', '.join(partial)}" if partial else "; nothing is lost"
    told = f"{plural(pictures, 'picture')} in a new catalog{lost}; the damaged one is {kept}; {_INDEX_AGAIN}"
    return Finding("catalog", "repaired", told)


def _unnamed_change(gallery: Gallery) -> list[str]:
    """A page of the table of changes may be exchanged with another's in a way that SQLite does not notice."""
    with gallery.reader() as reader:
        return [] if reader.revision() is not None else ["its last change has no name"]


def _check_caches(gallery: Gallery, repair: bool) -> Iterator[Finding]:
    for name in _CACHES:
        path = gallery.path / name
        if not path.exists():
            continue
        if not (faults := faults_of(path)):
            yield Finding(name, "sound", "every page is sound")
        elif repair:
            remove_database(path)
            yield Finding(name, "repaired", "removed; it is made again when it is needed")
        else:
            yield Finding(name, "damaged", f"{faults[0]}; it can be made again: photoseek verify --repair")


def _check_embeddings(gallery: Gallery, row: EncoderRow, repair: bool) -> Finding:
    with gallery.reader() as reader:
        damaged = damaged_images(reader, row, most=None)
        count = reader.count(row.id)
    if not damaged:
        return Finding("embeddings", "sound", f"{row.name}: {count:,}, each whole and of length 1")
    found = f"{row.name}: {plural(len(damaged), 'embedding')} or record damaged"
    if not repair:
        return Finding("embeddings", "damaged", f"{found}; {_INDEX_AGAIN}")
    with gallery.writer() as catalog:
        catalog.drop_embeddings(row.id, damaged)
    return Finding("embeddings", "repaired", f"{found}, removed; {_INDEX_AGAIN} FOLDER, which computes them again")


def _check_index(gallery: Gallery, row: EncoderRow, repair: bool) -> Finding:
    folder = gallery.index_path(row.fingerprint)
    with gallery.reader() as reader:
        try:
            fault = _fault_of_index(folder, reader, row)
        except IndexUnreachable as error:
            return Finding("index", "note", f"{row.name}: not checked, because {error.message}; {error.hint}")
    if fault is None:
        return Finding("index", "sound", f"{row.name}: every checksum fits, and it holds the catalog's pictures")
    if not repair:
        return Finding("index", "damaged", f"{row.name}: {fault}; it can be made again: photoseek verify --repair")
    with gallery.locked(), gallery.reader() as reader:
        shutil.rmtree(folder, ignore_errors=True)
        keeper = IndexKeeper(folder, reader, row)
        kind = keeper.make_anew()
        keeper.close()
    return Finding("index", "repaired", f"{row.name}: {fault}; made again from the catalog, {kind}")


def _fault_of_index(folder: Path, reader: CatalogReader, row: EncoderRow) -> str | None:
    from indexes.base import held_by
    from retrieval.errors import SnapshotCorrupt, SnapshotStale

    try:
        loaded = store_of(folder, reader, row).open(verify=True)
    except (SnapshotCorrupt, SnapshotStale) as error:
        return error.message
    if loaded is None:
        return None  # nothing is saved; searches read the catalog
    loaded[0].close()
    index = open_index(folder, reader, row).index  # as searches do: every byte of it was just checked
    try:
        wanted = missing = 0
        for piece in reader.changes(0, row):
            wanted += len(piece.ids)
            missing += len(piece.ids) - len(held_by(index, piece.ids))
        extra = len(index) - (wanted - missing)
    finally:
        index.close()
    if missing or extra:
        return f"{plural(missing, 'picture')} missing, {extra:,} that the catalog does not have"
    return None


def _compare_files(reader: CatalogReader) -> Finding:
    ids = present_ids(reader).tolist()
    states: Counter[str] = Counter()
    for start in range(0, len(ids), _AT_ONCE):
        with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="photoseek-verify") as pool:
            states.update(pool.map(_state_of, reader.records(ids[start : start + _AT_ONCE])))
    if states["unknown"]:
        told = f"{states['same']:,} as indexed, {states['unknown']:,} in stores that did not answer"
        return Finding("files", "note", f"{told}; check the network and the keys")
    if states["missing"] or states["changed"]:
        told = f"{states['same']:,} as indexed, {states['changed']:,} changed, {states['missing']:,} missing"
        return Finding("files", "note", f"{told}; {_INDEX_AGAIN}")
    return Finding("files", "sound", f"{plural(states['same'], 'picture')} as indexed")


def _state_of(record: ImageRecord) -> str:
    try:
        return record.on_disk(asks=True)
    except OSError:
        return "unknown"

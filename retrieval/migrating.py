"""Moves a gallery's catalog to another database, and its vectors to another index.

The catalog is copied beside the old one, which is only read; compared with it; and only then named as the gallery's,
in one step: by writing ``catalog.toml``, or by renaming it. Until that moment the gallery is the old one, whatever ends
the process. The vector indexes stay valid: the copy has the identity and the changes of the original.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexes.base import Vectors
from retrieval.catalog.encoders import EncoderRow
from retrieval.catalog.postgres.address import FILE, CatalogAddress, name_address, write_address
from retrieval.catalog.postgres.reader import ServerReader
from retrieval.catalog.postgres.travelling import NewInServer, ServerSide, drop_notes_in_server
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.stored import sampled_vectors
from retrieval.catalog.travelling import copy, differences
from retrieval.catalog.travelling_file import FileSide, NewFile, drop_notes, notes
from retrieval.catalog.whole_file import free_name, set_aside
from retrieval.errors import GalleryError, GalleryNotFound
from retrieval.gallery import Gallery
from retrieval.index_keeper import IndexKeeper
from retrieval.indexing.wishes import checked_spec
from retrieval.regular_files import sync_folder
from retrieval.sync import leave_stores, open_index

WHY = "before-migrate"
MOST_SEARCHES = 1000
_HITS = 10
_SEARCHES_AT_ONCE = 100
_AGAIN = "the gallery is as it was; run the same command again"

Tell = Callable[[str, int, int], None]


@dataclass
class Moved:
    """What a move has done.

    Attributes:
        rows: table -> how many rows were copied and compared; empty if the catalog was there already.
        vectors, searches: how many were compared through the readers of both catalogs.
        altered: texts in which characters were replaced that PostgreSQL does not have.
        kept: where the old catalog is: a file, or an address; None if it was there already.
        index: which kind of index there is now, of each model; empty if it was not asked for.
    """

    rows: dict[str, int] = field(default_factory=dict)
    vectors: int = 0
    searches: int = 0
    altered: int = 0
    kept: Path | CatalogAddress | None = None
    note: Path | None = None
    index: list[str] = field(default_factory=list)


def migrate(
    gallery: Gallery, to: CatalogAddress | None, index_spec: str | None, tell: Tell, stop: Callable[[], bool]
) -> Moved:
    """Move the catalog of a gallery; what was begun by a process that ended is continued.

    Args:
        to: the new place; None: a SQLite file in the gallery's folder.
        index_spec: kind of vector index from then on, as for ``index``; None: it stays.
        tell: is told what is done, how much of it, and how much there is to do.
        stop: asked between blocks of rows.

    Raises:
        GalleryNotFound: there is no gallery.
        GalleryLocked: another process is writing it, or what is at the new place.
        GalleryError: something else is there; or the copy is not the same as the original, which goes on.
        CatalogUnreachable: a server does not answer.
        IndexUnreachable: the server of the index does not; the catalog is moved then.
        Stopped: ``stop`` said so.
    """
    if not gallery.exists():
        raise GalleryNotFound(f"there is no gallery at {gallery.path}", "name another one with --gallery")
    gallery.bring_up_to_date()
    _check_spec(gallery, index_spec)
    if to is not None:
        name_address(to)
    moved = Moved()
    with gallery.locked():
        _end_earlier(gallery)
        if gallery.server() != to:
            _move(gallery, to, moved, tell, stop)
    if index_spec is not None:
        moved.index = _move_vectors(gallery, index_spec)
    return moved


def _check_spec(gallery: Gallery, index_spec: str | None) -> None:
    """Raise SpecError, or IndexUnreachable, before anything is changed."""
    if index_spec is not None:
        with gallery.reader() as reader:
            for encoder in reader.encoders():
                checked_spec(index_spec, encoder.dim)


def _end_earlier(gallery: Gallery) -> None:
    """Bring the folder into order after a move that was killed while it named the new catalog."""
    address, path = gallery.server(), gallery.catalog_path
    if address is None:
        drop_notes(path)
    else:
        drop_notes_in_server(address)
        if notes(path):  # a copy that was about to become the gallery's
            path.replace(_unfinished(gallery))
        elif path.exists():  # the old one, which was to be kept
            set_aside(path, WHY)


def _unfinished(gallery: Gallery) -> Path:
    return gallery.path / "moving.sqlite"


def _move(gallery: Gallery, to: CatalogAddress | None, moved: Moved, tell: Tell, stop: Callable[[], bool]) -> None:
    old = gallery.server()
    with ExitStack() as stack:
        source = FileSide(gallery.catalog_path) if old is None else ServerSide(old)
        stack.callback(source.close)
        content = source.content()
        target = NewFile(_unfinished(gallery), content) if to is None else NewInServer(to, content, str(gallery.path))
        stack.callback(target.close)
        moved.rows = copy(source, target, lambda *said: tell(f"copied: {said[0]}", *said[1:]), stop)
        if not target.is_finished:
            found = differences(source, target, lambda *said: tell(f"compared: {said[0]}", *said[1:]))
            if found:
                raise GalleryError(f"the copy is not what it was copied from: {'; '.join(found)[:300]}", _AGAIN)
            if isinstance(target, NewFile):
                target.finish(source.last_numbers())
            else:
                target.finish(source.last_numbers(), socket.gethostname() if old is None else None)
        moved.altered = source.altered if isinstance(source, FileSide) else 0
        moved.vectors, moved.searches = _compared(gallery, old, to, tell)
        if source.content() != content:
            raise GalleryError(f"the gallery {gallery.path} was changed meanwhile", _AGAIN)
        if isinstance(target, NewFile):
            target.settle()
    _switch(gallery, to, moved)


def _switch(gallery: Gallery, to: CatalogAddress | None, moved: Moved) -> None:
    old, path = gallery.server(), gallery.catalog_path
    note = gallery.path / FILE
    if to is None:
        aside = free_name(note, WHY)
        _unfinished(gallery).replace(path)
        sync_folder(gallery.path)
        note.replace(aside)  # from here on
        sync_folder(gallery.path)
        moved.kept, moved.note = old, aside
        drop_notes(path)
        return
    if old is not None:
        moved.note = shutil.copyfile(note, free_name(note, WHY))
        moved.kept = old
    write_address(gallery.path, to)  # from here on
    if old is None:
        moved.kept = set_aside(path, WHY)
    drop_notes_in_server(to)


@contextmanager
def _reader(gallery: Gallery, address: CatalogAddress | None, path: Path) -> Iterator[CatalogReader]:
    reader = CatalogReader(path) if address is None else ServerReader(address, gallery.path)
    try:
        yield reader
    finally:
        reader.close()


def _compared(gallery: Gallery, old: CatalogAddress | None, to: CatalogAddress | None, tell: Tell) -> tuple[int, int]:
    """Ask both catalogs the same through their readers; how many vectors and searches were compared."""
    with (
        _reader(gallery, old, gallery.catalog_path) as before,
        _reader(gallery, to, _unfinished(gallery)) as after,
    ):
        encoder = before.active_encoder()
        if encoder is None:
            return 0, 0
        (ids, vectors), (new_ids, new) = (sampled_vectors(each, encoder, MOST_SEARCHES) for each in (before, after))
        if not np.array_equal(ids, new_ids) or vectors.tobytes() != new.tobytes():
            raise GalleryError("the copy has other vectors", _AGAIN)
        # One after the other: an index that is not saved is in memory.
        answers = [_answers(gallery, each, encoder, vectors, tell) for each in (before, after)]
        if answers[0] != answers[1]:
            raise GalleryError("searches in the copy have other answers", _AGAIN)
    return len(ids), len(ids)


def _answers(
    gallery: Gallery, reader: CatalogReader, encoder: EncoderRow, vectors: Vectors, tell: Tell
) -> list[object]:
    """Ids and scores of the nearest pictures, and what is known of them."""
    found: list[object] = []
    index = open_index(gallery.index_path(encoder.fingerprint), reader, encoder).index
    try:
        for start in range(0, len(vectors), _SEARCHES_AT_ONCE):
            hits = index.search(vectors[start : start + _SEARCHES_AT_ONCE], _HITS)
            shown = sorted({int(id_) for id_ in hits.ids.ravel() if id_ >= 0})
            found += [hits.ids.tolist(), hits.scores.tobytes(), reader.records(shown)]
            tell("searches compared", start + len(hits.ids), len(vectors))
    finally:
        index.close()
    return found


def _move_vectors(gallery: Gallery, index_spec: str) -> list[str]:
    """Build the indexes of all models at another place; the kinds of them."""
    made = []
    with gallery.writer() as catalog, gallery.reader() as reader:
        before = reader.index_spec()
        for encoder in reader.encoders():
            catalog.set_index_spec(checked_spec(index_spec, encoder.dim))
            keeper = IndexKeeper(gallery.index_path(encoder.fingerprint), reader, encoder)
            try:
                made.append(f"{encoder.name}: {keeper.finish()}")
            finally:
                keeper.close()
        leave_stores(before, gallery.index_path, reader)
    return made

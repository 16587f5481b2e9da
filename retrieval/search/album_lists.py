"""Albums as lists: their pictures as hits, and the albums themselves for people and programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from retrieval.catalog.albums import AlbumRow, album_named, pictures_in
from retrieval.search.hits import Hit, Skipped
from retrieval.search.saved_search import resolved, search_of
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.filters import Filter
    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine


def album_hits(engine: QueryEngine, name: str, k: int) -> list[Hit]:
    """The pictures of an album as hits: in the people's order or best first; those of a filter are newest first.

    Files that are missing or changed are skipped, counted and reported, as in a search.

    Args:
        k: how many at most.

    Raises:
        QueryError: there is no such album; and as ``SavedSearch.found``.
    """
    album = album_named(engine.reader, name)
    search = search_of(album)
    if search is not None and not search.terms():
        from retrieval.search.pages import Listing, browse

        return list(browse(engine, search.where(), Listing(), k).hits)
    ids = pictures_in(engine.reader, album.id, for_list=True) if search is None else list(search.found(engine))
    skipped = Skipped()
    hits: list[Hit] = []
    for record in engine.reader.records(ids):
        state = engine.look(record)
        skipped.add(record.id, state)
        if state == "same":
            hits.append(Hit(len(hits) + 1, math.nan, record))
        if len(hits) == k:
            break
    skipped.warn()
    return hits


def album_values(reader: CatalogReader, albums: Sequence[AlbumRow]) -> list[dict[str, Any]]:
    """Albums as plain values; the pictures of a saved search are not counted, because that would mean running it."""
    covers = {record.id: record.path for record in reader.records([a.cover for a in albums if a.cover is not None])}
    found = []
    for album in albums:
        search = search_of(album)
        found.append(
            {
                "id": album.id,
                "name": album.name,
                "kind": "pictures" if search is None else "search",
                "pictures": album.pictures if search is None else None,
                "cover": covers.get(album.cover or 0),
                "cover_id": album.cover if album.cover in covers else None,
                "search": None if search is None else search.words(),
                "created_at": album.created_at,
                "deleted_at": album.deleted_at,
            }
        )
    return found


def write_albums(reader: CatalogReader, albums: Sequence[AlbumRow], out: IO[str], *, as_json: bool = False) -> None:
    """A line for each album: its number of pictures, or its search."""
    for each in album_values(reader, albums):
        if as_json:
            out.write(json.dumps(each) + "\n")
            continue
        what = plural(each["pictures"], "picture") if each["search"] is None else f"search: {printable(each['search'])}"
        out.write(f"{printable(each['name'])}\t{what}\n")


def resolved_in(gallery: Gallery, where: Filter | None, model: str = "") -> Filter | None:
    """The same as ``resolved``, without an open engine; one is opened only if an album is a saved search."""
    if where is None or not (where.album or where.no_album):
        return where
    with gallery.reader() as reader:
        if not _is_live(reader, where):
            return where
    from retrieval.search.engine import QueryEngine

    with QueryEngine(gallery, model=model or None) as engine:
        return resolved(engine, where)


def _is_live(reader: CatalogReader, where: Filter) -> bool:
    return any(album_named(reader, str(name)).recipe is not None for name in (*where.album, *where.no_album))

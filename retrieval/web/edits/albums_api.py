"""Albums made, filled, ordered, renamed and deleted over HTTP; ``facets/api.py`` lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Request

from retrieval.catalog.albums import AlbumRow, album_with_id, set_deleted
from retrieval.catalog.changes import Change, Snapshot, album_states
from retrieval.catalog.records import utc_now
from retrieval.labels import albums
from retrieval.web import app_state
from retrieval.web.edits.api import LISTS, pictures_of, present_of
from retrieval.web.edits.models import AlbumBody, AlbumChanged, AlbumPatch, Pictures
from retrieval.web.edits.saving import saved_search_of
from retrieval.web.edits.writing import REFUSED, may_write
from retrieval.web.search.models import MOST_ID, SearchBody

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

router = APIRouter(tags=["edits"], dependencies=[Depends(may_write)])

AlbumId = Annotated[int, Path(ge=1, le=MOST_ID, description="`id` of an album in the answer of GET /albums.")]
_SAID = {**LISTS, **REFUSED}


@router.post("/albums", status_code=201, responses=_SAID)
async def create(request: Request, asked: AlbumBody) -> AlbumChanged:
    """A new album, with or without pictures; or a saved search, which stays live."""
    if asked.search is not None:
        return await _saved(request, asked.name, asked.search)
    is_empty = not asked.ids and asked.results_of is None
    ids = [] if is_empty else await pictures_of(request, asked)

    def written(transaction: Transaction) -> tuple[AlbumRow, list[int], Change]:
        present = present_of(transaction, ids)
        album, change = _made(transaction, albums.insert_album(transaction, asked.name, present))
        return album, present, change

    album, present, change = await app_state.writing(request).run(written)
    return _answer(request, album, ids, present, len(present), change)


async def _saved(request: Request, name: str, asked: SearchBody) -> AlbumChanged:
    search = saved_search_of(asked)
    # A search that fails is not stored.
    texts = [str(term.value) for term in search.terms() if term.kind == "text"]
    found = await app_state.engine_thread(request).run(search.found, texts)

    def written(transaction: Transaction) -> tuple[AlbumRow, Change]:
        return _made(transaction, albums.insert_album(transaction, name, recipe=search.to_text()))

    album, change = await app_state.writing(request).run(written)
    return _answer(request, album, found, found, len(found), change)


def _made(transaction: Transaction, album_id: int) -> tuple[AlbumRow, Change]:
    """A new album, and the change that taking it back needs."""
    state = album_states(transaction, [album_id])[album_id]
    change = Change(albums=((state._replace(deleted_at=utc_now()), state),))
    return album_with_id(transaction, album_id), change


@router.post("/albums/{album_id}/add", responses=_SAID)
async def add(request: Request, album_id: AlbumId, asked: Pictures) -> AlbumChanged:
    """Put pictures at the end of an album; those that are in it keep their place."""
    return await _filled(request, album_id, asked, albums.append)


@router.post("/albums/{album_id}/remove", responses=_SAID)
async def remove(request: Request, album_id: AlbumId, asked: Pictures) -> AlbumChanged:
    """Take pictures out of an album; they stay in the gallery."""
    return await _filled(request, album_id, asked, albums.take_out)


@router.patch("/albums/{album_id}", responses=_SAID)
async def change(request: Request, album_id: AlbumId, asked: AlbumPatch) -> AlbumChanged:
    """Rename an album, choose its cover, or put some of its pictures first."""

    def do(transaction: Transaction, album: AlbumRow) -> int:
        if asked.name is not None:
            albums.rename(transaction, album, asked.name)
        if asked.cover is not None:
            albums.set_cover(transaction, album, asked.cover)
        if asked.first is not None:
            albums.put_first(transaction, album, list(dict.fromkeys(asked.first)))
        return 0

    return await _changed(request, album_id, (), do)


@router.delete("/albums/{album_id}", responses=_SAID)
async def delete(request: Request, album_id: AlbumId) -> AlbumChanged:
    """Delete an album, never its pictures."""

    def written(transaction: Transaction) -> tuple[AlbumRow, Change]:
        album = album_with_id(transaction, album_id)
        before = Snapshot(transaction, albums=[album_id])
        set_deleted(transaction, album_id, deleted=True)
        return album, before.change()

    album, made = await app_state.writing(request).run(written)
    return _answer(request, album, (), (), 0, made)


async def _filled(
    request: Request,
    album_id: int,
    asked: Pictures,
    put: Callable[[Transaction, AlbumRow, Sequence[int]], int],
) -> AlbumChanged:
    ids = await pictures_of(request, asked)
    return await _changed(
        request, album_id, ids, lambda transaction, album: put(transaction, album, present_of(transaction, ids))
    )


async def _changed(
    request: Request, album_id: int, ids: Sequence[int], do: Callable[[Transaction, AlbumRow], int]
) -> AlbumChanged:
    def written(transaction: Transaction) -> tuple[AlbumRow, list[int], int, Change]:
        present = present_of(transaction, ids)
        album = album_with_id(transaction, album_id)
        before = Snapshot(transaction, ["memberships"], present, [album_id])
        changed = do(transaction, album)
        return album_with_id(transaction, album_id), present, changed, before.change()

    album, present, changed, made = await app_state.writing(request).run(written)
    return _answer(request, album, ids, present, changed, made)


def _answer(
    request: Request, album: AlbumRow, ids: Sequence[int], present: Sequence[int], changed: int, made: Change
) -> AlbumChanged:
    return AlbumChanged(
        id=album.id,
        name=album.name,
        pictures=len(present),
        changed=changed,
        unknown=len(ids) - len(present),
        undo=app_state.undos(request).keep("album", made),
    )

"""``/labels``, ``/selection``, ``/undo``: what people say about one picture or many, and taking it back."""

from __future__ import annotations

from functools import partial
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request

from retrieval.catalog.changes import Change, Snapshot, TakenBack, take_back
from retrieval.catalog.images import known_ids
from retrieval.catalog.person_changes import PeopleChange
from retrieval.catalog.person_changes import take_back as take_people_back
from retrieval.duplicates.undo import undo_trash
from retrieval.errors import UnknownImage
from retrieval.gallery import Gallery
from retrieval.labels.labelling import LabelEdit, apply_edit
from retrieval.paths import as_text
from retrieval.search.ranking import MOST_LISTED
from retrieval.web import app_state
from retrieval.web.edits.models import MOST_PICTURES, Edited, LabelBody, Pictures, Selected, Undone
from retrieval.web.edits.undo import Trashed
from retrieval.web.edits.writing import REFUSED, may_write
from retrieval.web.search.models import ListFields, SearchBody
from retrieval.web.search.question import question_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retrieval.catalog.transaction import Transaction
    from retrieval.search.ranked import Content

router = APIRouter(tags=["edits"])

_MOST_TOLD = 100
LISTS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A value or a search that is none, or nothing to change."},
    404: {"description": "None of these pictures is in the gallery, or no album has this id."},
    410: {"description": "An uploaded picture of the search was forgotten."},
    413: {"description": "Too many pictures for one change."},
    422: {"description": "Not what is accepted here."},
    503: {"description": "Nothing is indexed yet, or the server has too much to do."},
}


@router.post("/labels", responses={**LISTS, **REFUSED}, dependencies=[Depends(may_write)])
async def edit(request: Request, asked: LabelBody) -> Edited:
    """Add and remove tags; set or remove a caption and a rating; favourites; hide pictures, or show them again.

    The answer's `undo` takes exactly that back, for a while: see `POST /undo/{token}`.
    """
    wanted = LabelEdit(
        tuple(asked.tags), tuple(asked.without_tags), asked.caption, asked.without_caption, asked.rating,
        asked.without_rating, asked.favourite, asked.hidden,
    )  # fmt: skip
    ids = await pictures_of(request, asked)

    def written(transaction: Transaction) -> tuple[list[int], Change]:
        present = present_of(transaction, ids)
        before = Snapshot(transaction, wanted.kinds, present)
        apply_edit(transaction, present, wanted)
        return present, before.change()

    present, change = await app_state.writing(request).run(written)
    undo = app_state.undos(request).keep("labels", change)
    return Edited(
        pictures=len(present), changed=len(change.pictures), unknown=len(ids) - len(present), undo=undo
    )  # fmt: skip


@router.post("/selection", responses=LISTS)
async def selection(request: Request, asked: SearchBody) -> Selected:
    """The ids of everything that a search lists, so that all of it can be selected."""
    content = await _listed(request, asked)
    return Selected(
        ids=content.ids.tolist(), total=len(content.ids), total_is_capped=content.is_capped
    )  # fmt: skip


@router.post(
    "/undo/{token}",
    responses={410: {"description": "It was taken back already, or too much happened since."}, **REFUSED},
    dependencies=[Depends(may_write)],
)
async def undo(
    request: Request, token: Annotated[str, Path(min_length=1, max_length=64, description="`undo` of an answer.")]
) -> Undone:
    """Put everything back exactly as it was before a change.

    What was changed by somebody else since is not overwritten: it stays as it is, and the answer says so. The answer
    has a token of its own, which makes the change again.
    """
    undos, writing = app_state.undos(request), app_state.writing(request)
    what, change = undos.take(token)
    try:
        if isinstance(change, Trashed):
            back = await writing.with_gallery(partial(_out_of_trash, change))
            app_state.duplicates(request).forget()
            return back
        if isinstance(change, PeopleChange):
            people = await writing.run(lambda transaction: take_people_back(transaction, change))
            return _people_undone(what, change, people, undos.keep(what, people) if people else None)
        found = await writing.run(lambda transaction: take_back(transaction, change))
    except BaseException:
        undos.give_back(token, what, change)
        raise
    return _undone(what, found, undos.keep(what, found.change))


def _undone(what: str, found: TakenBack, token: str | None) -> Undone:
    return Undone(
        what=what,
        pictures=len(found.change.pictures),
        conflicts=found.pictures[:_MOST_TOLD],
        conflicts_total=len(found.pictures),
        albums=found.albums,
        people=[],
        left=[],
        undo=token,
    )


def _people_undone(what: str, change: PeopleChange, found: PeopleChange | None, token: str | None) -> Undone:
    names = [person.name or str(person.id) for person in (change.after.persons or change.before.persons)]
    return Undone(
        what=what,
        pictures=0,
        conflicts=[],
        conflicts_total=0,
        albums=[],
        people=names[:_MOST_TOLD] if found is None else [],
        left=[],
        undo=token,
    )


def _out_of_trash(trashed: Trashed, gallery: Gallery) -> Undone:
    outcomes = undo_trash(gallery, only=trashed.folders)
    left = [f"{as_text(each.path)}: {as_text(each.detail)}" for each in outcomes if not each.done]
    return Undone(
        what="trash",
        pictures=sum(each.done and FilePath(each.path).suffix.lower() != ".xmp" for each in outcomes),
        conflicts=[],
        conflicts_total=0,
        albums=[],
        people=[],
        left=left[:_MOST_TOLD],
        undo=None,
    )


async def pictures_of(request: Request, asked: Pictures) -> list[int]:
    """The ids that a request means, each once.

    Raises:
        HTTPException: 422, no picture; 413, too many.
    """
    ids = dict.fromkeys(asked.ids)
    if asked.results_of is not None:
        ids |= dict.fromkeys((await _listed(request, asked.results_of)).ids.tolist())
    for left_out in asked.but:
        ids.pop(left_out, None)
    if not ids:
        raise HTTPException(422, "no picture is named\ngive ids, or results_of with a search that finds some")
    if len(ids) > MOST_PICTURES:
        raise HTTPException(413, f"{len(ids):,} pictures are too many at once\nchange {MOST_PICTURES:,} at a time")
    return list(ids)


def present_of(transaction: Transaction, ids: Sequence[int]) -> list[int]:
    """Those of ``ids`` that the gallery holds, in the same order.

    Raises:
        UnknownImage: it holds none of them.
    """
    known = known_ids(transaction, ids, present=True)
    present = [id_ for id_ in ids if id_ in known]
    if ids and not present:
        raise UnknownImage(f"there is no image {ids[0]} in this gallery", "use the ids of hits")
    return present


async def _listed(request: Request, asked: SearchBody) -> Content:
    lists, engine_thread = app_state.lists(request), app_state.engine_thread(request)
    fields = ListFields.model_validate({name: getattr(asked, name) for name in ListFields.model_fields})
    ranked = await lists.find(engine_thread, question_of(asked, fields, asked.terms))
    return await lists.read(
        ranked, engine_thread, app_state.readers(request), MOST_LISTED, lambda _reader, content: content
    )  # fmt: skip

"""``/people`` and ``/faces``: who is in the pictures, small pictures of faces, and what people say about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from retrieval.catalog.faces import Box, PlacedFace, face_boxes, face_look, face_numbered, faces_in
from retrieval.catalog.persons import all_persons, hidden_persons, person_with_id
from retrieval.catalog.reader import CatalogReader
from retrieval.catalog.records import ImageRecord
from retrieval.errors import QueryError, UnknownPerson
from retrieval.labels import people_edits
from retrieval.rendering.portraits import SIDE, portrait_key
from retrieval.web import app_state
from retrieval.web.edits.writing import REFUSED, may_write
from retrieval.web.people.models import (
    FaceList,
    FaceName,
    Faces,
    Others,
    People,
    PersonChanged,
    PersonPatch,
    face_out,
    person_out,
)
from retrieval.web.pictures.api import SMALL, ImageId, get_and_head, record_of, small_picture
from retrieval.web.search.models import MOST_ID

if TYPE_CHECKING:
    from retrieval.catalog.access import Rows
    from retrieval.catalog.transaction import Transaction
    from retrieval.labels.people_edits import OfFaces, PeopleEdit

router = APIRouter(tags=["people"])

PersonId = Annotated[int, Path(ge=1, le=MOST_ID, description="`id` of a person in the answer of GET /people.")]
FaceId = Annotated[int, Path(ge=1, le=MOST_ID, description="`id` of a face in the answer of GET /images/{id}/faces.")]
_SAID: dict[int | str, dict[str, Any]] = {
    400: {"description": "A name that is none or that another person has; faces of somebody else."},
    404: {"description": "No such person or face."},
    422: {"description": "Not what is accepted here."},
    **REFUSED,
}
_WRITES: dict[str, Any] = {"responses": _SAID, "dependencies": [Depends(may_write)]}


@router.get("/people", summary="The people in the pictures")
async def people(
    request: Request,
    hidden: Annotated[bool, Query(description="Also those that are hidden.")] = False,
    most: Annotated[int, Query(ge=1, le=10_000, description="How many.")] = 1000,
) -> People:
    """Named persons, then groups of faces that look like one person. `person` of a search takes a name or an id."""
    home = request.url.path.rpartition("/")[0]

    def read(reader: CatalogReader) -> People:
        found = all_persons(reader, hidden=hidden)
        shown = found[:most]
        portraits = _portraits(reader, [each.face_id for each in shown if each.face_id is not None], home)
        return People(
            total=len(found),
            looks_for_faces=reader.finds_faces(),
            people=[person_out(each, portraits) for each in shown],
        )

    return await app_state.readers(request).run(read)


@router.get("/images/{id}/faces", summary="The faces in a picture")
async def faces(request: Request, id: ImageId) -> Faces:
    """Where they are, and whose."""
    home = request.url.path.rpartition("/images/")[0]

    def read(reader: CatalogReader) -> Faces:
        image = record_of(reader, id)
        looked, failed = face_look(reader, image.content_hash)
        hidden = hidden_persons(reader)
        found = [face for face in faces_in(reader, [id]) if face.person_id not in hidden]
        portraits = _portraits(reader, [face.id for face in found], home)
        return Faces(looked=looked, failed=failed, faces=[face_out(face, portraits[face.id]) for face in found])

    return await app_state.readers(request).run(read)


@get_and_head("/faces/{id}", "A small picture of a face", SMALL, router)
async def face(
    request: Request,
    id: FaceId,
    v: Annotated[
        str | None, Query(max_length=64, description="As in `portrait`: the answer may then be kept forever.")
    ] = None,
) -> Response:
    """The face and a little around it, as WebP of at most 192 pixels a side, never enlarged.

    404: there is no such face, or its file is gone. 410: the file has changed since it was indexed.
    """

    def find(reader: CatalogReader) -> tuple[ImageRecord, Box]:
        found = _face(reader, id)
        return record_of(reader, found.image_id), found.box

    return await small_picture(request, find, SIDE, v)


@router.patch("/people/{person_id}", **_WRITES)
async def change(request: Request, person_id: PersonId, asked: PersonPatch) -> PersonChanged:
    """Name or rename a person or a group; or hide it, or show it again."""

    def do(transaction: Transaction) -> PeopleEdit:
        person = person_with_id(transaction, person_id)
        if asked.name is not None:
            return people_edits.name(transaction, person, asked.name)
        return people_edits.hide(transaction, person, hidden=bool(asked.hidden))

    return await _made(request, do)


@router.post("/people/{person_id}/merge", **_WRITES)
async def merge(request: Request, person_id: PersonId, asked: Others) -> PersonChanged:
    """Say that others are the same person, which keeps its name, or else gets the first of theirs."""

    def do(transaction: Transaction) -> PeopleEdit:
        return people_edits.merge(
            transaction, [person_with_id(transaction, each) for each in (person_id, *asked.others)]
        )

    return await _made(request, do)


@router.post("/people/{person_id}/split", **_WRITES)
async def split(request: Request, person_id: PersonId, asked: FaceList) -> PersonChanged:
    """Give faces of a person to a new person without a name."""
    return await _by_faces(request, person_id, asked, people_edits.split, own=True)


@router.post("/people/{person_id}/confirm", **_WRITES)
async def confirm(request: Request, person_id: PersonId, asked: FaceList) -> PersonChanged:
    """Say that faces are this person, whoever they are taken for now."""
    return await _by_faces(request, person_id, asked, people_edits.confirm, own=False)


@router.post("/people/{person_id}/reject", **_WRITES)
async def reject(request: Request, person_id: PersonId, asked: FaceList) -> PersonChanged:
    """Say that faces that are taken for this person are somebody else; grouping does not put them there again."""
    return await _by_faces(request, person_id, asked, people_edits.reject, own=True)


@router.post("/faces/{face_id}/name", **_WRITES)
async def name_face(request: Request, face_id: FaceId, asked: FaceName) -> PersonChanged:
    """Say whose a face is. A group without a name gets a name that nobody has; otherwise this face alone becomes the
    person of that name, who is made if there is none."""

    def do(transaction: Transaction) -> PeopleEdit:
        return people_edits.name_face(transaction, _face(transaction, face_id), asked.name)

    return await _made(request, do)


async def _by_faces(request: Request, person_id: int, asked: FaceList, edit: OfFaces, *, own: bool) -> PersonChanged:
    """Make an edit of a person by faces; with ``own`` only by faces that are taken for the person."""

    def do(transaction: Transaction) -> PeopleEdit:
        person = person_with_id(transaction, person_id)
        chosen = [_face(transaction, each) for each in dict.fromkeys(asked.faces)]
        others = [face for face in chosen if own and face.person_id != person_id]
        if others:
            raise QueryError(f"the face {others[0].id} is not taken for {person.text()}", "ask for the faces again")
        return edit(transaction, person, [face.id for face in chosen])

    return await _made(request, do)


async def _made(request: Request, do: Callable[[Transaction], PeopleEdit]) -> PersonChanged:
    def written(transaction: Transaction) -> tuple[PeopleEdit, str | None]:
        edit = do(transaction)
        return edit, person_with_id(transaction, edit.id).name

    edit, name = await app_state.writing(request).run(written)
    undo = app_state.undos(request).keep("people", edit.change)
    return PersonChanged(id=edit.id, name=name, faces=edit.faces, undo=undo)


def _face(rows: Rows, face_id: int) -> PlacedFace:
    found = face_numbered(rows, face_id)
    if found is None:
        raise UnknownPerson(f"there is no face with the id {face_id}", "ask for the faces of the picture again")
    return found


def _version(content_hash: bytes, box: Box) -> str:
    return portrait_key(content_hash, box).hex()[:16]


def _portraits(reader: CatalogReader, ids: Sequence[int], home: str) -> dict[int, str]:
    """Face id -> address of its portrait."""
    found = face_boxes(reader, ids)
    return {id_: f"{home}/faces/{id_}?v={_version(*place)}" for id_, place in found.items()}

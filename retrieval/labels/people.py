"""What people say about persons: names, which face is whom, and which groups are one person. All can be undone.

Grouping (``faces/grouping.py``) never contradicts any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from retrieval.catalog.access import Rows
from retrieval.catalog.faces import PlacedFace, face_numbered, faces_in
from retrieval.catalog.person_changes import MOST_STEPS, undo_step
from retrieval.catalog.persons import Person, is_number, person_named
from retrieval.errors import QueryError
from retrieval.labels import people_edits
from retrieval.labels.labelling import find_images
from retrieval.labels.people_edits import OfFaces, PeopleEdit
from retrieval.undone import Refused, item

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction
    from retrieval.gallery import Gallery

T = TypeVar("T")

_FACE = "face:"

Target = str | Path | int
"""``face:12``, or pictures as in ``labelling.find_images``."""


def name_person(gallery: Gallery, who: str, name: str) -> PeopleEdit:
    """Give a person or a group without a name a name; or say whose a face is, with ``face:12``, see
    :func:`~retrieval.labels.people_edits.name_face`.

    Raises:
        QueryError: there is no such person or face, the name is invalid, or another person has it.
    """

    def edit(transaction: Transaction) -> PeopleEdit:
        if who.startswith(_FACE):
            return people_edits.name_face(transaction, _numbered(transaction, who), name)
        return people_edits.name(transaction, person_named(transaction, who), name)

    return _edited(gallery, edit)


def merge_persons(gallery: Gallery, who: str, others: Sequence[str]) -> PeopleEdit:
    """Make several persons one, which keeps the first one's name, or else gets the first of their names.

    Raises:
        QueryError: there is no such person, or one is named twice.
    """
    return _edited(
        gallery,
        lambda transaction: people_edits.merge(
            transaction, [person_named(transaction, each) for each in (who, *others)]
        ),
    )


def split_person(gallery: Gallery, who: str, targets: Sequence[Target], refused: Refused | None = None) -> PeopleEdit:
    """Give a person's faces in these pictures to a new person without a name, which is not the same as the first.

    Raises:
        QueryError: there is no such person, or it is in none of the pictures.
        UnknownImage: the gallery does not hold a picture.
    """
    return _edited_faces(gallery, who, targets, refused, _own, people_edits.split)


def confirm_faces(gallery: Gallery, who: str, targets: Sequence[Target], refused: Refused | None = None) -> PeopleEdit:
    """Say that faces are a person: those taken for the person in a picture, or else the only face there.

    Raises:
        QueryError: there is no such person; a picture without a face; one with several faces, none of them the person.
        UnknownImage: the gallery does not hold a picture.
    """
    return _edited_faces(gallery, who, targets, refused, _meant, people_edits.confirm)


def reject_faces(gallery: Gallery, who: str, targets: Sequence[Target], refused: Refused | None = None) -> PeopleEdit:
    """Say that faces are not a person: those taken for the person in these pictures.

    Raises:
        QueryError: there is no such person, or it is in none of the pictures.
        UnknownImage: the gallery does not hold a picture.
    """
    return _edited_faces(gallery, who, targets, refused, _own, people_edits.reject)


def hide_person(gallery: Gallery, who: str, *, hidden: bool = True) -> PeopleEdit:
    """Leave a person out of lists and of the web page, or show it again; searches by name still find it.

    Raises:
        QueryError: there is no such person.
    """
    return _edited(
        gallery, lambda transaction: people_edits.hide(transaction, person_named(transaction, who), hidden=hidden)
    )


def undo_people(gallery: Gallery) -> str:
    """Undo the last edit, and the one before it when called again; what it was, in words.

    Raises:
        QueryError: there is nothing to undo.
    """
    what = _edited(gallery, undo_step)
    if what is None:
        raise QueryError("there is nothing to undo", f"the last {MOST_STEPS} edits of people can be undone")
    return what


def _edited(gallery: Gallery, edit: Callable[[Transaction], T]) -> T:
    """Make an edit in a transaction of its own, also while a run of the indexer writes (see ``Gallery.labeller``)."""
    gallery.bring_up_to_date()
    with gallery.labeller() as catalog, catalog.transaction() as transaction:
        return edit(transaction)


def _edited_faces(
    gallery: Gallery,
    who: str,
    targets: Sequence[Target],
    refused: Refused | None,
    choose: Callable[[Person, Target, Sequence[PlacedFace]], Sequence[PlacedFace]],
    edit: OfFaces,
) -> PeopleEdit:
    """Make an edit of a person by the faces that ``choose`` picks in pictures."""
    gallery.bring_up_to_date()
    found: list[tuple[Target, list[int]]] = []  # with the ids of their images; faces are read when they are changed
    with gallery.reader() as reader:
        for target in targets:
            if isinstance(target, str) and target.startswith(_FACE):
                found.append((target, []))
                continue
            with item(target, refused):
                found.append((target, find_images(reader, [target])))

    def made(transaction: Transaction) -> PeopleEdit:
        person = person_named(transaction, who)
        chosen: dict[int, None] = {}
        for target, images in found:
            with item(target, refused):
                is_face = isinstance(target, str) and target.startswith(_FACE)
                faces = [_numbered(transaction, str(target))] if is_face else faces_in(transaction, images)
                chosen.update(dict.fromkeys(face.id for face in choose(person, target, faces)))
        if not chosen:
            raise QueryError("no face was named", "name pictures, or faces as face:N")
        return edit(transaction, person, list(chosen))

    return _edited(gallery, made)


def _numbered(rows: Rows, target: str) -> PlacedFace:
    number = target.removeprefix(_FACE)
    face = face_numbered(rows, int(number)) if is_number(number) else None
    if face is None:
        raise QueryError(f"there is no {target}", "list faces by: photoseek people show WHO")
    return face


def _own(person: Person, target: Target, faces: Sequence[PlacedFace]) -> list[PlacedFace]:
    found = [face for face in faces if face.person_id == person.id]
    if not found:
        raise QueryError(f"{target} has no face of {person.text()}", _there(faces))
    return found


def _meant(person: Person, target: Target, faces: Sequence[PlacedFace]) -> list[PlacedFace]:
    own = [face for face in faces if face.person_id == person.id]
    if own or len(faces) == 1:
        return own or list(faces)
    raise QueryError(f"it is not clear which face of {target} is {person.text()}", _there(faces))


def _there(faces: Sequence[PlacedFace]) -> str:
    if not faces:
        return "no face was found there"
    known = (f"face:{face.id} ({face.name or face.person_id or 'nobody known'})" for face in faces[:8])
    return f"its faces, from left to right: {', '.join(known)}"

"""What people say about persons: names, which face is whom, and which groups are one person. All can be undone.

Grouping (``faces/grouping.py``) never contradicts any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog import persons
from retrieval.catalog.faces import PlacedFace, face_numbered, faces_in, set_persons
from retrieval.catalog.persons import Person, is_number, person_named
from retrieval.errors import QueryError
from retrieval.labels.labelling import find_images
from retrieval.tag_text import clean_person
from retrieval.undone import Refused, item

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader
    from retrieval.catalog.transaction import Transaction
    from retrieval.gallery import Gallery

Target = str | Path | int
"""``face:12``, or pictures as in ``labelling.find_images``."""


@dataclass(frozen=True)
class PeopleEdit:
    """The result of an edit: the person as text, and how many faces it concerned."""

    person: str
    faces: int


def name_person(gallery: Gallery, who: str, name: str) -> PeopleEdit:
    """Give a person or a group without a name a name.

    Raises:
        QueryError: there is no such person, the name is invalid, or another person has it.
    """
    name = clean_person(name)
    if is_number(name.removeprefix("#")):
        raise QueryError(f"the name {name!r} is a number", "groups of faces have numbers; give a name with a letter")

    def edit(transaction: Transaction, step: int, person: Person) -> PeopleEdit:
        taken = persons.id_named(transaction, name)
        if taken not in (None, person.id):
            hint = f"if both are one person, run: photoseek people merge {name!r} {person.text()!r}"
            raise QueryError(f"there is a person {name!r} already", hint)
        persons.set_name(transaction, person.id, name)
        return PeopleEdit(name, person.faces)

    return _edit(gallery, who, f"named {who} {name}", lambda rows, person: [], edit)


def merge_persons(gallery: Gallery, who: str, others: Sequence[str]) -> PeopleEdit:
    """Make several persons one, which keeps the first one's name, or else gets the first of their names.

    Raises:
        QueryError: there is no such person, or one is named twice.
    """
    _opened(gallery)
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        merged = [person_named(transaction, each) for each in (who, *others)]
        if len({person.id for person in merged}) < max(len(merged), 2):
            raise QueryError("one person was named twice", "name at least two different persons")
        faces = [face for person in merged for face in persons.faces_about(transaction, person.id)]
        words = " and ".join(person.text() for person in merged)
        persons.note_step(transaction, f"merged {words}", [person.id for person in merged], faces)
        kept, name = merged[0], next((person.name for person in merged if person.name is not None), None)
        for person in merged[1:]:
            persons.move_all(transaction, person.id, kept.id)
        persons.set_name(transaction, kept.id, name)
        return PeopleEdit(name or str(kept.id), sum(person.faces for person in merged))


def split_person(gallery: Gallery, who: str, targets: Sequence[Target], refused: Refused | None = None) -> PeopleEdit:
    """Give a person's faces in these pictures to a new person without a name, which is not the same as the first.

    Raises:
        QueryError: there is no such person, or it is in none of the pictures.
        UnknownImage: the gallery does not hold a picture.
    """
    with gallery.reader() as reader:
        chosen = _faces_of(reader, person_named(reader, who), targets, refused)

    def edit(transaction: Transaction, step: int, person: Person) -> PeopleEdit:
        new = persons.insert_person(transaction)
        persons.note_new(transaction, step, new)
        for face_id in chosen:
            persons.set_verdict(transaction, face_id, person.id, is_person=False)
            persons.set_verdict(transaction, face_id, new, is_person=True)
        set_persons(transaction, [(face_id, new) for face_id in chosen])
        return PeopleEdit(str(new), len(chosen))

    return _edit(gallery, who, f"split {who}", lambda rows, person: chosen, edit)


def confirm_faces(gallery: Gallery, who: str, targets: Sequence[Target], refused: Refused | None = None) -> PeopleEdit:
    """Say that faces are a person: those taken for the person in a picture, or else the only face there.

    Raises:
        QueryError: there is no such person; a picture without a face; one with several faces, none of them the person.
        UnknownImage: the gallery does not hold a picture.
    """
    with gallery.reader() as reader:
        person = person_named(reader, who)
        chosen = _chosen(reader, targets, refused, lambda target, faces: _meant(person, target, faces))

    def edit(transaction: Transaction, step: int, person: Person) -> PeopleEdit:
        for face_id in chosen:
            persons.set_verdict(transaction, face_id, person.id, is_person=True)
        set_persons(transaction, [(face_id, person.id) for face_id in chosen])
        return PeopleEdit(person.text(), len(chosen))

    return _edit(gallery, who, f"confirmed {who}", lambda rows, person: chosen, edit)


def reject_faces(gallery: Gallery, who: str, targets: Sequence[Target], refused: Refused | None = None) -> PeopleEdit:
    """Say that faces are not a person: those taken for the person in these pictures.

    Raises:
        QueryError: there is no such person, or it is in none of the pictures.
        UnknownImage: the gallery does not hold a picture.
    """
    with gallery.reader() as reader:
        chosen = _faces_of(reader, person_named(reader, who), targets, refused)

    def edit(transaction: Transaction, step: int, person: Person) -> PeopleEdit:
        for face_id in chosen:
            persons.set_verdict(transaction, face_id, person.id, is_person=False)
        set_persons(transaction, [(face_id, None) for face_id in chosen])
        return PeopleEdit(person.text(), len(chosen))

    return _edit(gallery, who, f"rejected {who}", lambda rows, person: chosen, edit)


def hide_person(gallery: Gallery, who: str, *, hidden: bool = True) -> PeopleEdit:
    """Leave a person out of lists and of the web page, or show it again; searches by name still find it.

    Raises:
        QueryError: there is no such person.
    """

    def edit(transaction: Transaction, step: int, person: Person) -> PeopleEdit:
        persons.set_hidden(transaction, person.id, is_hidden=hidden)
        return PeopleEdit(person.text(), person.faces)

    return _edit(gallery, who, f"{'hid' if hidden else 'showed'} {who}", lambda rows, person: [], edit)


def undo_people(gallery: Gallery) -> str:
    """Undo the last edit, and the one before it when called again; what it was, in words.

    Raises:
        QueryError: there is nothing to undo.
    """
    _opened(gallery)
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        what = persons.undo_step(transaction)
    if what is None:
        raise QueryError("there is nothing to undo", f"the last {persons.MOST_STEPS} edits of people can be undone")
    return what


_Edit = Callable[["Transaction", int, Person], PeopleEdit]


def _edit(
    gallery: Gallery,
    who: str,
    what: str,
    faces: Callable[[Transaction, Person], Sequence[int]],
    edit: _Edit,
) -> PeopleEdit:
    """Run an edit of one person in a transaction, after recording what it changes."""
    _opened(gallery)
    with gallery.writer() as catalog, catalog.transaction() as transaction:
        person = person_named(transaction, who)
        step = persons.note_step(transaction, what, [person.id], faces(transaction, person))
        return edit(transaction, step, person)


def _opened(gallery: Gallery) -> None:
    """Raise GalleryNotFound if there is no gallery: a writer would create one."""
    gallery.bring_up_to_date()
    with gallery.reader():
        pass


def _faces_of(reader: CatalogReader, person: Person, targets: Sequence[Target], refused: Refused | None) -> list[int]:
    """The person's faces in these pictures."""

    def own(target: Target, faces: Sequence[PlacedFace]) -> list[PlacedFace]:
        found = [face for face in faces if face.person_id == person.id]
        if not found:
            raise QueryError(f"{target} has no face of {person.text()}", _there(faces))
        return found

    return _chosen(reader, targets, refused, own)


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


def _chosen(
    reader: CatalogReader,
    targets: Sequence[Target],
    refused: Refused | None,
    choose: Callable[[Target, Sequence[PlacedFace]], Sequence[PlacedFace]],
) -> list[int]:
    """The ids of the faces that ``choose`` picks from those of each target, each once."""
    found: dict[int, None] = {}
    for target in targets:
        with item(target, refused):
            if isinstance(target, str) and target.startswith("face:"):
                number = target.removeprefix("face:")
                face = face_numbered(reader, int(number)) if is_number(number) else None
                if face is None:
                    raise QueryError(f"there is no {target}", "list faces by: photoseek people show WHO")
                faces = [face]
            else:
                faces = faces_in(reader, find_images(reader, [target]))
            found.update(dict.fromkeys(face.id for face in choose(target, faces)))
    if not found:
        raise QueryError("no face was named", "name pictures, or faces as face:N")
    return list(found)

"""Edits of people in a transaction: names, which face is whom, and which groups are one person.

``people.py`` makes them for the command line and the library, ``web/people`` over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.catalog import persons
from retrieval.catalog.faces import PlacedFace, set_persons
from retrieval.catalog.person_changes import PeopleChange, noted, read_state
from retrieval.catalog.persons import Person, is_number
from retrieval.errors import QueryError
from retrieval.tag_text import clean_person

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


@dataclass(frozen=True)
class PeopleEdit:
    """The result of an edit: the person as text and by id, how many faces it concerned, and what it changed."""

    person: str
    id: int
    faces: int
    change: PeopleChange


def name(transaction: Transaction, person: Person, new: str) -> PeopleEdit:
    """Give a person or a group without a name a name.

    Raises:
        QueryError: the name is invalid, or another person has it.
    """
    new = _cleaned(new)
    taken = persons.id_named(transaction, new)
    if taken not in (None, person.id):
        hint = f"if both are one person, run: photoseek people merge {new!r} {person.text()!r}"
        raise QueryError(f"there is a person {new!r} already", hint)
    before = read_state(transaction, [person.id], [])
    persons.set_name(transaction, person.id, new)
    return PeopleEdit(new, person.id, person.faces, noted(transaction, f"named {person.text()} {new}", before))


def name_face(transaction: Transaction, face: PlacedFace, new: str) -> PeopleEdit:
    """Say whose a face is, by name. A group without a name gets a name that nobody has; otherwise this face alone
    becomes the person of that name, who is made if there is none.

    Raises:
        QueryError: the name is invalid.
    """
    new = _cleaned(new)
    named = persons.id_named(transaction, new)
    if named is not None:
        return confirm(transaction, persons.person_with_id(transaction, named), [face.id])
    if face.person_id is not None and face.name is None:
        return name(transaction, persons.person_with_id(transaction, face.person_id), new)
    before = read_state(transaction, [], [face.id])
    made = persons.insert_person(transaction, new)
    _say(transaction, [face.id], made)
    return PeopleEdit(new, made, 1, noted(transaction, f"named a face {new}", before, [made]))


def merge(transaction: Transaction, merged: Sequence[Person]) -> PeopleEdit:
    """Make several persons one: the first, with the first of their names.

    Raises:
        QueryError: there are fewer than two different persons.
    """
    if len({person.id for person in merged}) < max(len(merged), 2):
        raise QueryError("one person was named twice", "name at least two different persons")
    faces = [face for person in merged for face in persons.faces_about(transaction, person.id)]
    before = read_state(transaction, [person.id for person in merged], faces)
    kept, new = merged[0], next((person.name for person in merged if person.name is not None), None)
    for person in merged[1:]:
        persons.move_all(transaction, person.id, kept.id)
    persons.set_name(transaction, kept.id, new)
    change = noted(transaction, f"merged {' and '.join(person.text() for person in merged)}", before)
    return PeopleEdit(new or str(kept.id), kept.id, sum(person.faces for person in merged), change)


def split(transaction: Transaction, person: Person, faces: Sequence[int]) -> PeopleEdit:
    """Give faces of a person to a new person without a name, which is not the same as the first."""
    before = read_state(transaction, [person.id], faces)
    new = persons.insert_person(transaction)
    _deny(transaction, faces, person.id)
    _say(transaction, faces, new)
    change = noted(transaction, f"split {person.text()}", before, [new])
    return PeopleEdit(str(new), new, len(faces), change)


def confirm(transaction: Transaction, person: Person, faces: Sequence[int]) -> PeopleEdit:
    """Say that faces are a person, whoever they are taken for now."""
    before = read_state(transaction, [person.id], faces)
    _say(transaction, faces, person.id)
    change = noted(transaction, f"confirmed {person.text()}", before)
    return PeopleEdit(person.text(), person.id, len(faces), change)


def reject(transaction: Transaction, person: Person, faces: Sequence[int]) -> PeopleEdit:
    """Say that faces that are taken for a person are somebody else."""
    before = read_state(transaction, [person.id], faces)
    _deny(transaction, faces, person.id)
    set_persons(transaction, [(face_id, None) for face_id in faces])
    change = noted(transaction, f"rejected {person.text()}", before)
    return PeopleEdit(person.text(), person.id, len(faces), change)


OfFaces = Callable[["Transaction", Person, Sequence[int]], PeopleEdit]
"""An edit of a person by some faces: :func:`split`, :func:`confirm`, :func:`reject`."""


def hide(transaction: Transaction, person: Person, *, hidden: bool = True) -> PeopleEdit:
    """Leave a person out of lists and of the web page, or show it again; searches by name still find it."""
    before = read_state(transaction, [person.id], [])
    persons.set_hidden(transaction, person.id, is_hidden=hidden)
    what = f"{'hid' if hidden else 'showed'} {person.text()}"
    return PeopleEdit(person.text(), person.id, person.faces, noted(transaction, what, before))


def _cleaned(text: str) -> str:
    found = clean_person(text)
    if is_number(found.removeprefix("#")):
        raise QueryError(f"the name {found!r} is a number", "groups of faces have numbers; give a name with a letter")
    return found


def _deny(transaction: Transaction, faces: Sequence[int], person_id: int) -> None:
    for face_id in faces:
        persons.set_verdict(transaction, face_id, person_id, is_person=False)


def _say(transaction: Transaction, faces: Sequence[int], person_id: int) -> None:
    for face_id in faces:
        persons.set_verdict(transaction, face_id, person_id, is_person=True)
    set_persons(transaction, [(face_id, person_id) for face_id in faces])

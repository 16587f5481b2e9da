"""Persons, and the faces in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrieval.web.client.connection import Connection
from retrieval.web.people.models import Faces, People, PersonChanged
from retrieval.web.wire import in_url


class Persons(Connection):
    """Methods on people. Persons and faces are named by their ids; ``person="Anna"`` or an id filters a search.

    A name that another person has, and faces of somebody else, raise QueryError; what does not exist,
    UnknownPerson. :meth:`undo` takes every change back.
    """

    def people(self, *, hidden: bool = False, most: int = 1000) -> People:
        """Named persons, then groups of faces that look like one person, each by the number of pictures.

        Args:
            hidden: also those that are hidden.
            most: how many, 10,000 at most.
        """
        return self._read(People, "GET", "/people", params=in_url({"hidden": hidden, "most": most}))

    def faces(self, id: int) -> Faces:
        """Where the faces in a picture are, and whose."""
        return self._read(Faces, "GET", f"/images/{int(id)}/faces")

    def face(self, face: int) -> bytes:
        """A face and a little around it, as WebP of at most 192 pixels a side."""
        return self._answer("GET", f"/faces/{int(face)}").content

    def name_person(self, person: int, name: str) -> PersonChanged:
        """Name or rename a person or a group."""
        return self._changed("PATCH", person, "", name=name)

    def hide_person(self, person: int, *, hidden: bool = True) -> PersonChanged:
        """Leave a person out of lists and of the page, or show it again; searches by name still find it."""
        return self._changed("PATCH", person, "", hidden=hidden)

    def merge_persons(self, person: int, others: Sequence[int]) -> PersonChanged:
        """Say that others are the same person, which keeps its name, or else gets the first of theirs."""
        return self._changed("POST", person, "/merge", others=[int(one) for one in others])

    def split_person(self, person: int, faces: Sequence[int]) -> PersonChanged:
        """Give faces of a person to a new person without a name, whose id is in the answer."""
        return self._changed("POST", person, "/split", faces=[int(one) for one in faces])

    def confirm_faces(self, person: int, faces: Sequence[int]) -> PersonChanged:
        """Say that faces are this person, whoever they are taken for now."""
        return self._changed("POST", person, "/confirm", faces=[int(one) for one in faces])

    def reject_faces(self, person: int, faces: Sequence[int]) -> PersonChanged:
        """Say that faces that are taken for this person are somebody else."""
        return self._changed("POST", person, "/reject", faces=[int(one) for one in faces])

    def name_face(self, face: int, name: str) -> PersonChanged:
        """Say whose a face is: it alone becomes the person of that name, who is made if there is none; but a group
        without a name gets a name that nobody has."""
        return self._read(PersonChanged, "POST", f"/faces/{int(face)}/name", json={"name": name})

    def _changed(self, method: str, person: int, what: str, **asked: Any) -> PersonChanged:
        return self._read(PersonChanged, method, f"/people/{int(person)}{what}", json=asked)

"""Request and response models of persons and faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from retrieval.catalog.faces import PlacedFace
from retrieval.catalog.persons import Person
from retrieval.web.search.models import MOST_ID

MOST_FACES = 10_000
"""Of one change."""

Id = Annotated[int, Field(ge=1, le=MOST_ID)]
Name = Annotated[str, Field(min_length=1, max_length=500)]


class PersonOut(BaseModel):
    """A person, or a group of faces without a name."""

    id: int = Field(description="The number of the group; it stays when the person gets a name.")
    name: str | None = Field(description="null: a group of faces without a name.")
    pictures: int
    faces: int
    confirmed: int = Field(description="How many of the faces somebody has confirmed.")
    hidden: bool
    portrait: str | None = Field(description="Address of a small picture of the face; null if there is none.")


class People(BaseModel):
    """Persons, those with a name first, each part by the number of pictures."""

    total: int
    looks_for_faces: bool = Field(description="Whether runs look for faces in this gallery.")
    people: list[PersonOut]


class FaceOut(BaseModel):
    """A face in a picture."""

    id: int
    box: tuple[float, float, float, float] = Field(
        description="x and y of the upper left corner, width and height: fractions of the upright picture's sides"
    )
    score: float = Field(description="of the detector, about 1 for a clear face")
    person: int | None = Field(description="`id` of the person; null: nobody known")
    name: str | None = Field(description="of the person")
    confirmed: bool
    portrait: str = Field(description="Address of a small picture of the face.")


class Faces(BaseModel):
    """The faces in a picture, from left to right. Faces of hidden persons are left out."""

    looked: bool = Field(description="Whether faces were looked for in this picture.")
    failed: str | None = Field(description="Why that was not possible; null if it was.")
    faces: list[FaceOut]


class PersonPatch(BaseModel):
    """Changes of a person; one of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = None
    hidden: bool | None = Field(None, description="Left out of lists and of the page; searches by name still find it.")

    @model_validator(mode="after")
    def _asks(self) -> PersonPatch:
        if (self.name is None) == (self.hidden is None):
            raise ValueError("give either name or hidden")
        return self


class FaceName(BaseModel):
    """Whose a face is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name


class Others(BaseModel):
    """Persons that are the same as another one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    others: list[Id] = Field(min_length=1, max_length=1000)


class FaceList(BaseModel):
    """Faces, by their ids."""

    model_config = ConfigDict(extra="forbid", strict=True)

    faces: list[Id] = Field(min_length=1, max_length=MOST_FACES)


class PersonChanged(BaseModel):
    """What a change did."""

    id: int = Field(description="Of the person: of a split, the new one; of a merge, the one that remains.")
    name: str | None
    faces: int = Field(description="How many it was for.")
    undo: str | None = Field(description="For POST /undo/{token}, for a while; null if nothing changed.")


def person_out(person: Person, portraits: Mapping[int, str]) -> PersonOut:
    """A person as it is sent.

    Args:
        portraits: face id -> address.
    """
    return PersonOut(
        id=person.id,
        name=person.name,
        pictures=person.pictures,
        faces=person.faces,
        confirmed=person.confirmed,
        hidden=person.is_hidden,
        portrait=None if person.face_id is None else portraits.get(person.face_id),
    )


def face_out(face: PlacedFace, portrait: str) -> FaceOut:
    """A face as it is sent."""
    return FaceOut(
        id=face.id,
        box=face.box,
        score=round(face.score, 3),
        person=face.person_id,
        name=face.name,
        confirmed=face.is_confirmed,
        portrait=portrait,
    )

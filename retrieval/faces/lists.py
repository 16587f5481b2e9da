"""Persons and their pictures as lists, for people and programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from retrieval.catalog.faces import PlacedFace
from retrieval.catalog.persons import Person
from retrieval.paths import as_text
from retrieval.streams import plural, printable

if TYPE_CHECKING:
    from retrieval.catalog.reader import CatalogReader


def person_values(person: Person) -> dict[str, Any]:
    """A person as plain values."""
    return person._asdict()


def write_persons(persons: Sequence[Person], out: IO[str], *, as_json: bool = False) -> None:
    """A line for each person: number, name, and the number of pictures."""
    for person in persons:
        if as_json:
            out.write(json.dumps(person_values(person)) + "\n")
            continue
        name = printable(person.name) if person.name is not None else "-"
        confirmed = f", {person.confirmed:,} confirmed" if person.confirmed else ""
        hidden = ", hidden" if person.is_hidden else ""
        out.write(f"{person.id}\t{name}\t{plural(person.pictures, 'picture')}{confirmed}{hidden}\n")


def face_values(face: PlacedFace, path: str) -> dict[str, Any]:
    """A face as plain values; ``box`` is x, y, width and height as fractions of the upright picture's sides."""
    return {
        "face": face.id,
        "path": as_text(path),
        "image_id": face.image_id,
        "box": [round(side, 4) for side in face.box],
        "score": round(face.score, 3),
        "confirmed": face.is_confirmed,
    }


def write_faces_of(reader: CatalogReader, faces: Sequence[PlacedFace], out: IO[str], *, as_json: bool = False) -> None:
    """A line for each face: path, face, and whether it is confirmed."""
    records = {record.id: record.path for record in reader.records(list({face.image_id for face in faces}))}
    for face in faces:
        path = records.get(face.image_id)
        if path is None:  # a damaged record
            continue
        if as_json:
            out.write(json.dumps(face_values(face, path)) + "\n")
        else:
            confirmed = "\tconfirmed" if face.is_confirmed else ""
            out.write(f"{printable(path)}\tface:{face.id}{confirmed}\n")

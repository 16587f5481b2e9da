"""What people said about persons, as rows of a copy of labels, and the way back.

Faces are told by their content and their place in it: a copy holds no embeddings. Faces that grouping alone gave to
these persons are in it too, so that a name finds its group in a gallery made anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.catalog.access import Rows
from retrieval.catalog.faces import Box, face_at, insert_said_face, set_persons
from retrieval.catalog.persons import insert_person, set_hidden, set_name, set_verdict

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

TABLES = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, name_key TEXT, is_hidden INTEGER NOT NULL);
CREATE TABLE people_faces (hash BLOB NOT NULL, x REAL NOT NULL, y REAL NOT NULL, width REAL NOT NULL,
    height REAL NOT NULL, person_id INTEGER NOT NULL, is_person INTEGER);
"""
"""``is_person``: what people said; NULL: grouping gave the face to the person."""

_PEOPLE = """SELECT id, name, name_key, is_hidden FROM persons
    WHERE name IS NOT NULL OR is_hidden OR id IN (SELECT person_id FROM face_verdicts) ORDER BY id"""
_FACES = """SELECT c.content_hash, c.x, c.y, c.width, c.height, v.person_id, v.is_person
    FROM face_verdicts AS v JOIN faces AS c ON c.id = v.face_id
    UNION ALL SELECT c.content_hash, c.x, c.y, c.width, c.height, p.id, NULL
    FROM persons AS p JOIN faces AS c ON c.person_id = p.id
    WHERE (p.name IS NOT NULL OR p.is_hidden OR p.id IN (SELECT person_id FROM face_verdicts))
    AND NOT EXISTS (SELECT 1 FROM face_verdicts AS v WHERE v.face_id = c.id AND v.person_id = p.id)
    ORDER BY 1, 2, 3, 6"""

Contents = dict[str, list[tuple[Any, ...]]]
"""Table of a copy -> its rows."""


def people_of(rows: Rows) -> Contents:
    """Everything that people said about persons, of a catalog."""
    return {
        "people": [tuple(row) for row in rows.rows(_PEOPLE)],
        "people_faces": [tuple(row) for row in rows.rows(_FACES)],
    }


def put_people_back(transaction: Transaction, contents: Contents) -> int:
    """Add what the catalog lacks of a copy: persons, names, and what was said of faces. How much that was.

    Nothing that somebody said in the catalog is changed. A person is the one of the same name there; or else the group
    without a name that most of its faces are in; or else a new one. A face that the catalog lacks waits for the
    networks, which will find it at its place.
    """
    of_person: dict[int, list[tuple[int, int | None]]] = defaultdict(list)
    for digest, x, y, width, height, person_id, is_person in contents["people_faces"]:
        box: Box = (x, y, width, height)
        face_id = face_at(transaction, digest, box)
        of_person[person_id].append(
            (insert_said_face(transaction, digest, box) if face_id is None else face_id, is_person)
        )
    added, taken = 0, set[int]()
    for id_, name, name_key, is_hidden in contents["people"]:
        faces = of_person[id_]
        target, is_named = _target(transaction, name_key, faces, taken)
        if target is None and name is None and not any(is_person != 0 for _, is_person in faces):
            continue  # who a face is not: that group is no more
        if target is None:
            target = insert_person(transaction, name)
            added += name is not None
        elif name is not None and not is_named:
            set_name(transaction, target, name)
            added += 1
        if is_hidden and not is_named:
            set_hidden(transaction, target, is_hidden=True)
        taken.add(target)
        added += _said_again(transaction, target, faces)
    return added


def _target(
    rows: Rows, name_key: str | None, faces: Sequence[tuple[int, int | None]], taken: set[int]
) -> tuple[int | None, bool]:
    """The catalog's person that is one of the copy, and whether it has the name already."""
    if name_key is not None:
        found = rows.rows("SELECT id FROM persons WHERE name_key = :key", {"key": name_key})
        if found:
            return int(found[0][0]), True
    sql = """SELECT p.id FROM faces AS c JOIN persons AS p ON p.id = c.person_id
             WHERE c.id = :face AND p.name IS NULL AND (NOT EXISTS
             (SELECT 1 FROM face_verdicts AS v WHERE v.person_id = p.id AND v.is_person) OR :unnamed)"""
    groups: Counter[int] = Counter()
    for face_id, is_person in faces:
        if is_person != 0:
            found = rows.rows(sql, {"face": face_id, "unnamed": name_key is None})
            groups.update(row[0] for row in found if row[0] not in taken)
    return (groups.most_common(1)[0][0], False) if groups else (None, False)


def _said_again(transaction: Transaction, person_id: int, faces: Sequence[tuple[int, int | None]]) -> int:
    """Say of faces what the catalog lacks; how often it did."""
    added = 0
    for face_id, is_person in faces:
        values = {"face": face_id, "person": person_id}
        now = transaction.rows("SELECT person_id FROM faces WHERE id = :face", values)[0][0]
        said = transaction.rows("SELECT person_id, is_person FROM face_verdicts WHERE face_id = :face", values)
        if any(person == person_id for person, _ in said):
            continue
        is_sure = any(sure for _, sure in said)
        if is_person is None:
            if now is None and not is_sure:
                set_persons(transaction, [(face_id, person_id)])
        elif not is_person:
            set_verdict(transaction, face_id, person_id, is_person=False)
            if now == person_id and not is_sure:
                set_persons(transaction, [(face_id, None)])
            added += 1
        elif not is_sure:
            set_verdict(transaction, face_id, person_id, is_person=True)
            set_persons(transaction, [(face_id, person_id)])
            added += 1
    return added

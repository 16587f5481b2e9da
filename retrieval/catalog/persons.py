"""The tables of persons: their names, what people say about faces, and the steps by which that can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.catalog.access import Rows
from retrieval.catalog.records import utc_now
from retrieval.errors import QueryError, UnknownPerson
from retrieval.folding import fold

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction


class Person(NamedTuple):
    """A person, or a group of faces that has no name yet.

    Args:
        name: given by people; None: none yet.
        pictures: present images with the person.
        faces: in them.
        confirmed: how many of these faces a person has confirmed.
        is_hidden: left out of lists, at somebody's request.
        face_id: the face that stands for the person: a confirmed one if there is one, with the highest score.
    """

    id: int
    name: str | None
    pictures: int
    faces: int
    confirmed: int
    is_hidden: bool
    face_id: int | None

    def text(self) -> str:
        """The name, or the number of a group without one."""
        return self.name or str(self.id)


_IS_CONFIRMED = """EXISTS (SELECT 1 FROM face_verdicts AS v
    WHERE v.face_id = c.id AND v.person_id = c.person_id AND v.is_person)"""

_PERSON = f"""SELECT p.id, p.name, count(DISTINCT i.id), count(DISTINCT CASE WHEN i.id > 0 THEN c.id END),
    count(DISTINCT CASE WHEN i.id > 0 AND {_IS_CONFIRMED} THEN c.id END), p.is_hidden,
    (SELECT c.id FROM faces AS c WHERE c.person_id = p.id ORDER BY {_IS_CONFIRMED} DESC, c.score DESC, c.id LIMIT 1)
    FROM persons AS p LEFT JOIN faces AS c ON c.person_id = p.id
    LEFT JOIN images AS i ON i.content_hash = c.content_hash AND NOT i.is_retired"""


# Reading


def all_persons(rows: Rows, *, hidden: bool = False) -> list[Person]:
    """Those with a name first, each part by the number of pictures; groups without a name and pictures are left out.

    Args:
        hidden: also hidden ones.
    """
    where = "" if hidden else " WHERE NOT p.is_hidden"
    sql = f"{_PERSON}{where} GROUP BY p.id ORDER BY p.name IS NULL, 3 DESC, p.id"
    found = [_person(row) for row in rows.rows(sql)]
    return [person for person in found if person.name is not None or person.pictures]


def person_named(rows: Rows, who: str) -> Person:
    """The person with this name, ignoring case, or with this number.

    Raises:
        QueryError: there is none; the hint offers similar names.
    """
    text = who.strip().removeprefix("#")
    where, value = ("p.id = :value", int(text)) if is_number(text) else ("p.name_key = :value", fold(who.strip()))
    found = rows.rows(f"{_PERSON} WHERE {where} GROUP BY p.id", {"value": value})
    if found:
        return _person(found[0])
    names = {fold(row[0]): row[0] for row in rows.rows("SELECT name FROM persons WHERE name IS NOT NULL")}
    near = [names[key] for key in get_close_matches(fold(who), names, n=3, cutoff=0.6)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = "list them: photoseek people" if names else "list the groups of faces: photoseek people"
    raise QueryError(f"there is no person {who!r}", hint)


def person_with_id(rows: Rows, person_id: int) -> Person:
    """The person, or group without a name, with this id.

    Raises:
        UnknownPerson: there is none.
    """
    found = rows.rows(f"{_PERSON} WHERE p.id = :value GROUP BY p.id", {"value": person_id})
    if not found:
        raise UnknownPerson(f"there is no person with the id {person_id}", "it may be part of another one by now")
    return _person(found[0])


def id_named(rows: Rows, name: str) -> int | None:
    """The person with this name, ignoring case; None: there is none."""
    found = rows.rows("SELECT id FROM persons WHERE name_key = :key", {"key": fold(name)})
    return found[0][0] if found else None


def is_number(text: str) -> bool:
    """Whether a text is the number of a group rather than a name."""
    return text.isascii() and text.isdecimal() and len(text) < 16


def person_names(rows: Rows) -> list[str]:
    """The names of persons that are not hidden, those in the most pictures first."""
    return [person.name for person in all_persons(rows) if person.name is not None]


def hidden_persons(rows: Rows) -> set[int]:
    """The ids of persons that are left out of lists."""
    return {row[0] for row in rows.rows("SELECT id FROM persons WHERE is_hidden")}


def faces_about(rows: Rows, person_id: int) -> list[int]:
    """The faces that are taken for a person, and those about which people said that they are this person or not."""
    sql = """SELECT id FROM faces WHERE person_id = :person
             UNION SELECT face_id FROM face_verdicts WHERE person_id = :person ORDER BY 1"""
    return [row[0] for row in rows.rows(sql, {"person": person_id})]


def rejections(rows: Rows) -> list[tuple[int, int]]:
    """(face id, person id) of the faces that are not a person, as people said."""
    return rows.rows("SELECT face_id, person_id FROM face_verdicts WHERE NOT is_person")


def _person(row: Sequence[Any]) -> Person:
    return Person(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6])


# Writing


def insert_person(transaction: Transaction, name: str | None = None) -> int:
    """A new person, with an unused name or none; its id."""
    return transaction.insert(
        "INSERT INTO persons (name, name_key, is_hidden, created_at) VALUES (:name, :key, FALSE, :now)",
        {"name": name, "key": None if name is None else fold(name), "now": utc_now()},
    )


def set_name(transaction: Transaction, person_id: int, name: str | None) -> None:
    """Give a person an unused name, or none."""
    sql = "UPDATE persons SET name = :name, name_key = :key WHERE id = :person"
    transaction.run(sql, {"name": name, "key": None if name is None else fold(name), "person": person_id})


def set_hidden(transaction: Transaction, person_id: int, *, is_hidden: bool) -> None:
    """Leave a person out of lists, or show it again."""
    sql = "UPDATE persons SET is_hidden = :hidden WHERE id = :person"
    transaction.run(sql, {"hidden": is_hidden, "person": person_id})


def set_verdict(transaction: Transaction, face_id: int, person_id: int, *, is_person: bool) -> None:
    """Record that a face is a person, or that it is not; that it is one replaces that it is another one."""
    values = {"face": face_id, "person": person_id, "is": is_person}
    if is_person:
        transaction.run("DELETE FROM face_verdicts WHERE face_id = :face AND is_person", values)
    transaction.run(
        """INSERT INTO face_verdicts (face_id, person_id, is_person) VALUES (:face, :person, :is)
           ON CONFLICT (face_id, person_id) DO UPDATE SET is_person = :is""",
        values,
    )


def move_all(transaction: Transaction, from_id: int, to_id: int) -> None:
    """Give a person all faces of another one, with what people said about them, and delete the other one."""
    values = {"from": from_id, "to": to_id}
    transaction.run("UPDATE faces SET person_id = :to WHERE person_id = :from", values)
    # Of two contrary verdicts about one face, the one about the person that remains counts.
    transaction.run(
        """UPDATE face_verdicts SET person_id = :to WHERE person_id = :from
           AND face_id NOT IN (SELECT face_id FROM face_verdicts WHERE person_id = :to)""",
        values,
    )
    transaction.run("DELETE FROM face_verdicts WHERE person_id = :from", values)
    transaction.run("DELETE FROM persons WHERE id = :from", values)


def dissolve_unnamed(transaction: Transaction) -> None:
    """Release all faces that grouping alone has put into groups without a name, so that they are grouped anew."""
    transaction.run(
        """UPDATE faces SET person_id = NULL, is_grouped = FALSE
           WHERE id NOT IN (SELECT face_id FROM face_verdicts WHERE is_person) AND (person_id IS NULL OR person_id IN
           (SELECT id FROM persons WHERE name IS NULL AND NOT is_hidden))"""
    )
    transaction.run(
        """DELETE FROM persons WHERE name IS NULL AND NOT is_hidden
           AND id NOT IN (SELECT person_id FROM faces WHERE person_id > 0)
           AND id NOT IN (SELECT person_id FROM face_verdicts)"""
    )

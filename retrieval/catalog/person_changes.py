"""What an edit of people did to the rows of persons and faces, and taking exactly that back.

An edit is kept in two ways: the last ones in the table ``person_steps``, undone one after the other (``photoseek people
undo``); and as a value, which whoever made the edit can take back if nobody has changed the same rows since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.records import utc_now

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

MOST_STEPS = 100
"""Edits that ``people undo`` can undo; older ones are final."""


class PersonRow(NamedTuple):
    """A row of ``persons``."""

    id: int
    name: str | None
    key: str | None
    is_hidden: bool
    created_at: str


@dataclass(frozen=True)
class PeopleState:
    """The rows of some persons and faces at one moment.

    Attributes:
        of_persons, of_faces: ids of what was read, whether there are such rows or not.
        persons: their rows.
        faces: (face id, person id).
        said: (face id, person id, is this person) of the faces: what people said about them.
    """

    of_persons: tuple[int, ...]
    of_faces: tuple[int, ...]
    persons: tuple[PersonRow, ...]
    faces: tuple[tuple[int, int | None], ...]
    said: tuple[tuple[int, int, bool], ...]

    @property
    def absent(self) -> list[int]:
        """Ids of persons that are not there."""
        there = {person.id for person in self.persons}
        return [id_ for id_ in self.of_persons if id_ not in there]


@dataclass(frozen=True)
class PeopleChange:
    """An edit: the same rows before and after it.

    Attributes:
        what: the edit, in words.
        step: its row in ``person_steps``; None: it took an edit back, whose step is gone.
    """

    what: str
    before: PeopleState
    after: PeopleState
    step: int | None = None

    def __len__(self) -> int:
        """The number of rows that it holds; 0 if nothing changed."""
        if self.before == self.after:
            return 0
        states = (self.before, self.after)
        return sum(len(state.persons) + len(state.faces) + len(state.said) for state in states)

    @property
    def faces(self) -> set[int]:
        """The ids of the faces that are somebody else's than before, or about which something else is said."""
        given = {*self.before.faces} ^ {*self.after.faces}
        said = {*self.before.said} ^ {*self.after.said}
        return {row[0] for row in given} | {row[0] for row in said}


def read_state(rows: Rows, persons: Iterable[int], faces: Iterable[int]) -> PeopleState:
    """The rows of these persons and faces."""
    ids, face_ids = tuple(dict.fromkeys(persons)), tuple(dict.fromkeys(faces))
    of_persons = "SELECT id, name, name_key, is_hidden, created_at FROM persons WHERE id IN ({})"
    of_faces = "SELECT id, person_id FROM faces WHERE id IN ({})"
    said = "SELECT face_id, person_id, is_person FROM face_verdicts WHERE face_id IN ({})"
    return PeopleState(
        ids,
        face_ids,
        tuple(sorted(PersonRow(row[0], row[1], row[2], bool(row[3]), row[4]) for row in _all(rows, of_persons, ids))),
        tuple(sorted((row[0], row[1]) for row in _all(rows, of_faces, face_ids))),
        tuple(sorted((row[0], row[1], bool(row[2])) for row in _all(rows, said, face_ids))),
    )


def _all(rows: Rows, sql: str, ids: Sequence[int]) -> list[Any]:
    return [row for names, values in id_lists(ids) for row in rows.rows(sql.format(names), values)]


def noted(transaction: Transaction, what: str, before: PeopleState, new: Iterable[int] = ()) -> PeopleChange:
    """Record an edit after it was made, so that ``people undo`` can undo it; the edit as a value.

    Args:
        what: the edit, in words.
        before: the rows before it: of all persons that it changed or deleted, and of all faces that it gave to another
            person, or about which something was said.
        new: persons that it made.
    """
    after = read_state(transaction, (*before.of_persons, *new), before.of_faces)
    before = PeopleState(after.of_persons, before.of_faces, before.persons, before.faces, before.said)
    return PeopleChange(what, before, after, _note(transaction, what, before))


def _note(transaction: Transaction, what: str, before: PeopleState) -> int:
    stored = {
        "persons": before.persons,
        "faces": before.faces,
        "said_of": before.of_faces,
        "said": before.said,
        "new": before.absent,
    }
    step = transaction.insert(
        "INSERT INTO person_steps (what, done_at, before) VALUES (:what, :now, :before)",
        {"what": what, "now": utc_now(), "before": json.dumps(stored)},
    )
    transaction.run("DELETE FROM person_steps WHERE id <= :last", {"last": step - MOST_STEPS})
    return step


def undo_step(transaction: Transaction) -> str | None:
    """Restore what the last step changed, and forget the step; its words. None if there is none.

    Faces that are gone since then stay gone.
    """
    found = transaction.rows("SELECT id, what, before FROM person_steps ORDER BY id DESC LIMIT 1")
    if not found:
        return None
    step, what, text = found[0]
    transaction.run("DELETE FROM person_steps WHERE id = :step", {"step": step})
    stored = json.loads(text)
    persons = tuple(PersonRow(*row) for row in stored["persons"])
    before = PeopleState(
        (*(person.id for person in persons), *stored["new"]),
        tuple(stored["said_of"]),
        persons,
        tuple((face, person) for face, person in stored["faces"]),
        tuple((face, person, bool(is_person)) for face, person, is_person in stored["said"]),
    )
    _restore(transaction, before)
    return str(what)


def take_back(transaction: Transaction, change: PeopleChange) -> PeopleChange | None:
    """Put the rows of an edit back as they were before it; what that did, so that it can be taken back in turn.

    None, and nothing is changed, if somebody has changed one of the rows since. Faces that are gone stay gone.
    """
    now = read_state(transaction, change.after.of_persons, change.after.of_faces)
    there = {face for face, _ in now.faces}
    left = _only(change.after, there)
    if (now.persons, now.faces, now.said) != (left.persons, left.faces, left.said):
        return None
    if _is_taken(transaction, change.before):
        return None
    _restore(transaction, change.before)
    if change.step is not None:
        transaction.run("DELETE FROM person_steps WHERE id = :step", {"step": change.step})
        return PeopleChange(change.what, now, _only(change.before, there))
    return PeopleChange(change.what, now, _only(change.before, there), _note(transaction, change.what, now))


def _only(state: PeopleState, faces: set[int]) -> PeopleState:
    """The same without faces that are gone."""
    return PeopleState(
        state.of_persons,
        tuple(face for face in state.of_faces if face in faces),
        state.persons,
        tuple(row for row in state.faces if row[0] in faces),
        tuple(row for row in state.said if row[0] in faces),
    )


def _is_taken(rows: Rows, state: PeopleState) -> bool:
    """Whether another person has one of the names by now."""
    sql = "SELECT id FROM persons WHERE name_key = :key"
    keys = [person.key for person in state.persons if person.key is not None]
    return any(row[0] not in state.of_persons for key in keys for row in rows.rows(sql, {"key": key}))


def _restore(transaction: Transaction, state: PeopleState) -> None:
    # Names first become free: two persons may have exchanged theirs.
    ids = [{"id": person_id} for person_id in state.of_persons]
    transaction.run("UPDATE persons SET name = NULL, name_key = NULL WHERE id = :id", ids)
    transaction.run(
        """INSERT INTO persons (id, name, name_key, is_hidden, created_at)
           VALUES (:id, :name, :key, :is_hidden, :created_at)
           ON CONFLICT (id) DO UPDATE SET name = :name, name_key = :key, is_hidden = :is_hidden""",
        [person._asdict() for person in state.persons],
    )
    transaction.run("DELETE FROM face_verdicts WHERE face_id = :face", [{"face": face} for face in state.of_faces])
    transaction.run(
        "UPDATE faces SET person_id = :person WHERE id = :face",
        [{"face": face, "person": person} for face, person in state.faces],
    )
    transaction.run(
        """INSERT INTO face_verdicts (face_id, person_id, is_person)
           SELECT :face, :person, :is WHERE EXISTS (SELECT 1 FROM faces WHERE id = :face)
           AND EXISTS (SELECT 1 FROM persons WHERE id = :person)""",
        [{"face": face, "person": person, "is": is_person} for face, person, is_person in state.said],
    )
    absent = [{"id": person_id} for person_id in state.absent]
    transaction.run("UPDATE faces SET person_id = NULL, is_grouped = FALSE WHERE person_id = :id", absent)
    transaction.run("DELETE FROM persons WHERE id = :id", absent)

"""The tables of faces: where they are in pictures, their embeddings, and which person each belongs to.

Faces belong to a content, not to a picture: one that is moved, copied, or forgotten and indexed again keeps them, and
what people said about them. ``faces.person_id`` is who a face is taken for: what people say decides it, otherwise
grouping does. What people say is kept in a table of its own, see ``persons.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.access import Rows, id_lists
from retrieval.catalog.images import Waiting, waiting

if TYPE_CHECKING:
    from retrieval.catalog.transaction import Transaction

Box = tuple[float, float, float, float]
"""x and y of the upper left corner, width and height, as fractions of the upright picture's width and height."""

_SAME = 0.5  # of intersection over union: boxes of one face, found by two versions of the networks
_AT_ONCE = 20_000


class SeenFace(NamedTuple):
    """A face that the networks found.

    Args:
        box: where.
        score: of the detector.
        embedding: (dim,) float32 with unit length; stored as float16.
    """

    box: Box
    score: float
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class PictureFaces:
    """The faces found in a picture.

    Attributes:
        model: name and version of the networks.
        looked_at: UTC, ISO 8601.
        faces: those with the highest score first.
        reason: why it could not be looked at; None if it was.
    """

    model: str
    looked_at: str
    faces: tuple[SeenFace, ...] = ()
    reason: str | None = None


class PlacedFace(NamedTuple):
    """A face in a picture, and who it is taken for.

    Args:
        person_id, name: of the person; None if it belongs to no group, or to one without a name.
        is_confirmed: a person has said so.
    """

    id: int
    image_id: int
    box: Box
    score: float
    person_id: int | None
    name: str | None
    is_confirmed: bool


class FaceCounts(NamedTuple):
    """Counts of present pictures: looked at, with faces, impossible to look at, and not yet tried; of faces in them;
    of groups of faces, and of those with a name."""

    looked: int
    with_faces: int
    failed: int
    waiting: int
    faces: int
    groups: int
    named: int


class FaceVectors(NamedTuple):
    """Embeddings of faces.

    Args:
        ids: (n,) int64.
        persons: (n,) int64; 0 for faces without a person.
        is_grouped: (n,) whether grouping has considered them.
        vectors: (n, dim) float32 with unit length.
    """

    ids: NDArray[np.int64]
    persons: NDArray[np.int64]
    is_grouped: NDArray[np.bool_]
    vectors: NDArray[np.float32]


# Reading


def unlooked(rows: Rows, model: str, *, retry_failures: bool = False) -> list[Waiting]:
    """The contents that this model has not looked at yet, see :func:`~retrieval.catalog.images.waiting`."""
    return waiting(rows, "face_looks", model, retry_failures=retry_failures)


def has_ungrouped(rows: Rows) -> bool:
    """Whether grouping has faces to consider."""
    sql = "SELECT 1 FROM faces WHERE NOT is_grouped AND person_id IS NULL AND embedding IS NOT NULL LIMIT 1"
    return bool(rows.rows(sql))


def faces_in(rows: Rows, ids: Sequence[int]) -> list[PlacedFace]:
    """The faces in images, by image and from left to right."""
    return [
        _placed(row)
        for names, values in id_lists(ids)
        for row in rows.rows(f"{_FACE} WHERE i.id IN ({names}) ORDER BY i.id, c.x, c.id", values)
    ]


def faces_of(rows: Rows, person_id: int) -> list[PlacedFace]:
    """The faces of a person in present images: confirmed ones first, then by image; one row for each image."""
    sql = f"{_FACE} WHERE c.person_id = :person AND NOT i.is_retired ORDER BY 10 DESC, i.id, c.id"
    return [_placed(row) for row in rows.rows(sql, {"person": person_id})]


def face_numbered(rows: Rows, face_id: int) -> PlacedFace | None:
    """A face by its id, in any of the images that have it."""
    found = rows.rows(f"{_FACE} WHERE c.id = :face ORDER BY i.is_retired, i.id LIMIT 1", {"face": face_id})
    return _placed(found[0]) if found else None


def face_boxes(rows: Rows, ids: Sequence[int]) -> dict[int, tuple[bytes, Box]]:
    """Face id -> the content that it is in, and where."""
    sql = "SELECT id, content_hash, x, y, width, height FROM faces WHERE id IN ({})"
    found = [row for names, values in id_lists(ids) for row in rows.rows(sql.format(names), values)]
    return {row[0]: (row[1], (row[2], row[3], row[4], row[5])) for row in found}


def face_look(rows: Rows, content_hash: bytes) -> tuple[bool, str | None]:
    """Whether faces were looked for in a content, and why that was not possible."""
    found = rows.rows("SELECT reason FROM face_looks WHERE content_hash = :hash", {"hash": content_hash})
    return (True, found[0][0]) if found else (False, None)


def face_counts(rows: Rows) -> FaceCounts:
    """How many present pictures were looked at, and what was found."""
    sql = """SELECT count(*), count(t.id), count(CASE WHEN t.faces > 0 THEN 1 END), count(t.reason) FROM images AS i
             LEFT JOIN face_looks AS t ON t.content_hash = i.content_hash
             WHERE NOT i.is_retired AND i.duration_s IS NULL"""
    present, tried, with_faces, failed = rows.rows(sql)[0]
    faces = rows.rows("""SELECT count(*) FROM images AS i JOIN faces AS c ON c.content_hash = i.content_hash
                         WHERE NOT i.is_retired""")[0][0]
    groups, named = rows.rows(
        "SELECT count(*), count(name) FROM persons WHERE id IN (SELECT person_id FROM faces) OR name IS NOT NULL"
    )[0]
    return FaceCounts(tried - failed, with_faces, failed, present - tried, faces, groups, named)


def person_pairs(rows: Rows) -> list[tuple[int, str]]:
    """(image id, name) of the named persons in images, each pair once; retired images included, hidden persons not."""
    return rows.rows(
        """SELECT DISTINCT i.id, p.name FROM persons AS p JOIN faces AS c ON c.person_id = p.id
           JOIN images AS i ON i.content_hash = c.content_hash WHERE p.name IS NOT NULL AND NOT p.is_hidden"""
    )


def face_vectors(rows: Rows, dim: int) -> FaceVectors:
    """The embeddings of all faces, by id; damaged ones are left out."""
    blocks = list(_vectors(rows, dim))
    columns = [np.concatenate(column) for column in zip(*blocks, strict=True)]
    return FaceVectors(*columns)


def _vectors(rows: Rows, dim: int) -> Iterator[FaceVectors]:
    last, count = 0, _AT_ONCE
    sql = """SELECT id, coalesce(person_id, 0), is_grouped, embedding FROM faces
             WHERE id > :last ORDER BY id LIMIT :count"""
    while count == _AT_ONCE:
        found = rows.rows(sql, {"last": last, "count": _AT_ONCE})
        count, last = len(found), found[-1][0] if found else last
        sound = [row for row in found if isinstance(row[3], bytes) and len(row[3]) == 2 * dim]
        vectors = np.frombuffer(b"".join(row[3] for row in sound), "<f2").reshape(-1, dim).astype(np.float32)
        is_finite = np.isfinite(vectors).all(1)
        yield FaceVectors(
            np.array([row[0] for row in sound], np.int64)[is_finite],
            np.array([row[1] for row in sound], np.int64)[is_finite],
            np.array([row[2] for row in sound], np.bool_)[is_finite],
            vectors[is_finite],
        )


_FACE = """SELECT c.id, i.id, c.x, c.y, c.width, c.height, c.score, c.person_id, p.name,
    EXISTS (SELECT 1 FROM face_verdicts AS v WHERE v.face_id = c.id AND v.person_id = c.person_id AND v.is_person)
    FROM faces AS c JOIN images AS i ON i.content_hash = c.content_hash LEFT JOIN persons AS p ON p.id = c.person_id"""


def _placed(row: Sequence[object]) -> PlacedFace:
    id_, image_id, x, y, width, height, score, person_id, name, is_confirmed = row
    return PlacedFace(id_, image_id, (x, y, width, height), score, person_id, name, bool(is_confirmed))  # type: ignore[arg-type]


# Writing


def write_faces(transaction: Transaction, seen: Iterable[tuple[bytes, PictureFaces]]) -> None:
    """Write the faces of contents. Of those known before, what people said is kept, if they are at the same place;
    faces that people confirmed stay even if they were not found again."""
    for content_hash, found in seen:
        transaction.run(
            """INSERT INTO face_looks (content_hash, model, looked_at, faces, reason)
               VALUES (:hash, :model, :at, :faces, :reason) ON CONFLICT (content_hash) DO UPDATE SET
               model = excluded.model, looked_at = excluded.looked_at, faces = excluded.faces,
               reason = excluded.reason""",
            {
                "hash": content_hash,
                "model": found.model,
                "at": found.looked_at,
                "faces": len(found.faces),
                "reason": found.reason,
            },
        )
        if found.reason is None:
            _replace(transaction, content_hash, found.faces)


def _replace(transaction: Transaction, content_hash: bytes, faces: Sequence[SeenFace]) -> None:
    sql = "SELECT id, x, y, width, height FROM faces WHERE content_hash = :hash"
    known = {row[0]: tuple(row[1:]) for row in transaction.rows(sql, {"hash": content_hash})}
    for face in faces:
        same = max(known, key=lambda each: _overlap(known[each], face.box), default=None)
        values = {
            **dict(zip(("x", "y", "width", "height"), face.box, strict=True)),
            "score": face.score,
            "embedding": np.asarray(face.embedding, "<f2").tobytes(),
        }
        if same is not None and _overlap(known[same], face.box) >= _SAME:
            del known[same]
            transaction.run(
                """UPDATE faces SET x = :x, y = :y, width = :width, height = :height, score = :score,
                   embedding = :embedding, is_grouped = person_id IS NOT NULL WHERE id = :id""",
                {**values, "id": same},
            )
        else:
            transaction.run(
                """INSERT INTO faces (content_hash, x, y, width, height, score, embedding, is_grouped)
                   VALUES (:hash, :x, :y, :width, :height, :score, :embedding, FALSE)""",
                {**values, "hash": content_hash},
            )
    gone = [{"id": id_} for id_ in known]
    said = "id IN (SELECT face_id FROM face_verdicts)"
    transaction.run(f"UPDATE faces SET embedding = NULL WHERE id = :id AND {said}", gone)
    transaction.run(f"DELETE FROM faces WHERE id = :id AND NOT {said}", gone)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    return common / max(a[2] * a[3] + b[2] * b[3] - common, 1e-12)


def face_at(rows: Rows, content_hash: bytes, box: Box) -> int | None:
    """The face of a content that is at this place; None if there is none."""
    sql = "SELECT id, x, y, width, height FROM faces WHERE content_hash = :hash ORDER BY id"
    known = {row[0]: tuple(row[1:]) for row in rows.rows(sql, {"hash": content_hash})}
    same = max(known, key=lambda each: _overlap(known[each], box), default=None)
    return same if same is not None and _overlap(known[same], box) >= _SAME else None


def insert_said_face(transaction: Transaction, content_hash: bytes, box: Box) -> int:
    """A face that only people see: its embedding comes when the networks find it at the same place. Its id."""
    return transaction.insert(
        """INSERT INTO faces (content_hash, x, y, width, height, score, embedding, is_grouped)
           VALUES (:hash, :x, :y, :width, :height, 0, NULL, FALSE)""",
        {"hash": content_hash, **dict(zip(("x", "y", "width", "height"), box, strict=True))},
    )


def set_persons(transaction: Transaction, pairs: Iterable[tuple[int, int | None]]) -> None:
    """Who faces are taken for: (face id, person id), None for nobody."""
    sql = "UPDATE faces SET person_id = :person, is_grouped = TRUE WHERE id = :face"
    transaction.run(sql, [{"face": int(face), "person": person} for face, person in pairs])


def set_grouped(transaction: Transaction, pairs: Iterable[tuple[int, int | None]]) -> None:
    """What grouping decides: (face id, person id), None for nobody. What people said since it read the faces stays,
    and a face whose person is part of another one by now is grouped by the next run."""
    transaction.run(
        """UPDATE faces SET person_id = :person, is_grouped = TRUE WHERE id = :face AND person_id IS NULL
           AND (coalesce(:person, 0) = 0 OR :person IN (SELECT id FROM persons))
           AND NOT EXISTS (SELECT 1 FROM face_verdicts AS v
               WHERE v.face_id = :face AND v.person_id = :person AND NOT v.is_person)""",
        [{"face": int(face), "person": person} for face, person in pairs],
    )


def move_faces(transaction: Transaction, old: bytes, new: bytes) -> None:
    """The faces of a content are those of another, which shows the same, if no image has the first any more.

    If one has, the other content is looked at by the next run: a face in two contents would be two faces.
    """
    if transaction.rows("SELECT 1 FROM images WHERE content_hash = :old", {"old": old}):
        return
    if transaction.rows("SELECT 1 FROM face_looks WHERE content_hash = :new", {"new": new}):
        return
    for table in ("face_looks", "faces"):
        transaction.run(f"UPDATE {table} SET content_hash = :new WHERE content_hash = :old", {"new": new, "old": old})


def forget_unshown_faces(transaction: Transaction) -> None:
    """For a purge: delete the faces of contents that no image has any more, and persons that have no face left."""
    for table in ("faces", "face_looks"):
        gone = transaction.run(
            f"""DELETE FROM {table} WHERE NOT EXISTS
                (SELECT 1 FROM images AS i WHERE i.content_hash = {table}.content_hash)"""
        )
        if gone and table == "faces":
            transaction.run("DELETE FROM persons WHERE id NOT IN (SELECT person_id FROM faces WHERE person_id > 0)")
            transaction.run("DELETE FROM person_steps")  # they name faces and persons


def delete_all_faces(transaction: Transaction) -> int:
    """Delete every face, embedding, person and verdict, overwriting them in the file; how many faces there were.

    Runs no longer look for faces. ``Catalog.compact`` removes what was written to the log.
    """
    transaction.overwrite_deleted()
    count = int(transaction.rows("SELECT count(*) FROM faces")[0][0])
    for table in ("face_verdicts", "faces", "face_looks", "persons", "person_steps"):
        transaction.run(f"DELETE FROM {table}")
    transaction.run("UPDATE state SET finds_faces = NULL")
    return count

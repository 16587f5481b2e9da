"""The tables of faces and persons, as a part of the schema."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)


def face_tables(metadata: MetaData) -> None:
    """Add them to the tables of a catalog; see ``faces.py`` and ``persons.py``."""
    Table(  # contents in which faces were looked for
        "face_looks",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("content_hash", LargeBinary(32), nullable=False, unique=True),
        Column("model", String, nullable=False),  # name and version of the networks
        Column("looked_at", String, nullable=False),  # UTC, ISO 8601
        Column("faces", Integer, nullable=False),  # how many were found
        Column("reason", String),  # why it could not be looked at; NULL: it was
    )
    Table(
        "persons",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),  # given by people; NULL: a group without a name
        Column("name_key", String),  # the name after folding.fold
        Column("is_hidden", Boolean, nullable=False),  # left out of lists, at somebody's request
        Column("created_at", String, nullable=False),  # UTC, ISO 8601
        Index("persons_by_name", "name_key", unique=True),
        sqlite_autoincrement=True,  # steps that can be undone refer to the id, so it is never reused
    )
    Table(
        "faces",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("content_hash", LargeBinary(32), nullable=False),
        Column("x", Float, nullable=False),  # fractions of the upright picture's width and height
        Column("y", Float, nullable=False),
        Column("width", Float, nullable=False),
        Column("height", Float, nullable=False),
        Column("score", Float, nullable=False),  # of the detector
        Column("embedding", LargeBinary),  # float16 with unit length; NULL: only people see a face there
        Column("person_id", Integer, ForeignKey("persons.id", ondelete="SET NULL")),  # by verdict or by grouping
        Column("is_grouped", Boolean, nullable=False),  # grouping has considered it
        Index("faces_by_content", "content_hash"),
        Index("faces_by_person", "person_id"),
        sqlite_autoincrement=True,
    )
    Table(  # what people say about a face: it is this person, or it is not
        "face_verdicts",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("face_id", Integer, ForeignKey("faces.id", ondelete="CASCADE"), nullable=False),
        Column("person_id", Integer, ForeignKey("persons.id", ondelete="CASCADE"), nullable=False),
        Column("is_person", Boolean, nullable=False),
        Index("face_verdicts_by_face", "face_id", "person_id", unique=True),
        Index("face_verdicts_by_person", "person_id"),
    )
    Table(  # the last edits of persons, to be undone
        "person_steps",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("what", String, nullable=False),
        Column("done_at", String, nullable=False),  # UTC, ISO 8601
        Column("before", Text, nullable=False),  # JSON: the rows as they were
        sqlite_autoincrement=True,
    )

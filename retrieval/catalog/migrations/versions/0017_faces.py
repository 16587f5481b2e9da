"""Faces, persons, and what people say about them; off unless a gallery's runs are asked to look for faces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("state", sa.Column("finds_faces", sa.Boolean()))
    op.create_table(
        "face_looks",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("looked_at", sa.String(), nullable=False),
        sa.Column("faces", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String()),
    )
    op.create_table(
        "persons",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String()),
        sa.Column("name_key", sa.String()),
        sa.Column("is_hidden", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("persons_by_name", "persons", ["name_key"], unique=True)
    op.create_table(
        "faces",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        *(sa.Column(side, sa.Float(), nullable=False) for side in ("x", "y", "width", "height")),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("embedding", sa.BLOB()),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("persons.id", ondelete="SET NULL")),
        sa.Column("is_grouped", sa.Boolean(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("faces_by_content", "faces", ["content_hash"])
    op.create_index("faces_by_person", "faces", ["person_id"])
    op.create_table(
        "face_verdicts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("face_id", sa.Integer(), sa.ForeignKey("faces.id", ondelete="CASCADE"), nullable=False),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("persons.id", ondelete="CASCADE"), nullable=False),
        sa.Column("is_person", sa.Boolean(), nullable=False),
    )
    op.create_index("face_verdicts_by_face", "face_verdicts", ["face_id", "person_id"], unique=True)
    op.create_index("face_verdicts_by_person", "face_verdicts", ["person_id"])
    op.create_table(
        "person_steps",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("done_at", sa.String(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )

"""The first catalog: folders, images, encoders, embeddings, failures, runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "encoders",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("fingerprint", sa.String(), nullable=False, unique=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("licence", sa.String(), nullable=False),
        sa.Column("added_at", sa.String(), nullable=False),
    )
    op.create_table(
        "state",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("active_encoder_id", sa.Integer(), sa.ForeignKey("encoders.id")),
        sa.Column("index_spec", sa.String()),
    )
    op.create_table(
        "folders",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("path", sa.Text(), nullable=False, unique=True),
        sa.Column("is_root", sa.Boolean(), nullable=False),
        sa.Column("is_mount", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("folder_id", sa.Integer(), sa.ForeignKey("folders.id"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.String()),
        sa.Column("taken_offset_minutes", sa.Integer()),
        sa.Column("camera", sa.String()),
        sa.Column("lens", sa.String()),
        sa.Column("latitude", sa.Float()),
        sa.Column("longitude", sa.Float()),
        sa.Column("added_at", sa.String(), nullable=False),
        sa.Column("is_retired", sa.Boolean(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.UniqueConstraint("folder_id", "name"),
        sqlite_autoincrement=True,
    )
    op.create_index("images_by_hash", "images", ["content_hash"])
    op.create_index("images_by_change", "images", ["change"])
    op.create_table(
        "embeddings",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("encoder_id", sa.Integer(), sa.ForeignKey("encoders.id"), nullable=False),
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id"), nullable=False),
        sa.Column("vector", sa.BLOB(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.UniqueConstraint("encoder_id", "image_id"),
    )
    op.create_index("embeddings_by_change", "embeddings", ["encoder_id", "change"])
    op.create_table(
        "failures",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("folder_id", sa.Integer(), sa.ForeignKey("folders.id"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("is_transient", sa.Boolean(), nullable=False),
        sa.Column("failed_at", sa.String(), nullable=False),
        sa.UniqueConstraint("folder_id", "name"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("encoder_id", sa.Integer(), sa.ForeignKey("encoders.id"), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("finished_at", sa.String()),
        sa.Column("outcome", sa.String()),
        sa.Column("roots", sa.Text(), nullable=False),
        sa.Column("report", sa.Text()),
    )
    op.execute("INSERT INTO state (id, change) VALUES (1, 0)")

"""Tags and captions that people give, tags that a model predicts, and a perceptual hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("images", sa.Column("phash", sa.LargeBinary(8)))
    op.create_table(
        "tags",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.UniqueConstraint("image_id", "tag", "source"),
    )
    op.create_index("tags_by_tag", "tags", ["tag"])
    op.create_table(
        "captions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.UniqueConstraint("image_id", "text", "source"),
    )
    op.create_table(
        "predicted_tags",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("encoder_id", sa.Integer(), sa.ForeignKey("encoders.id", ondelete="CASCADE"), nullable=False),
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.UniqueConstraint("image_id", "encoder_id", "tag"),
    )
    op.create_index("predicted_tags_by_tag", "predicted_tags", ["encoder_id", "tag"])

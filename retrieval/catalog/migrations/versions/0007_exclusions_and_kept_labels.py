"""What is left out for good, labels without a picture, purged pictures, times of change, what walks passed over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("images", sa.Column("ctime_ns", sa.Integer()))
    op.add_column("folders", sa.Column("passed_over", sa.Text()))
    op.create_table(
        "exclusions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("path", sa.Text()),
        sa.Column("pattern", sa.Text()),
        sa.Column("fingerprint", sa.LargeBinary(32)),
    )
    op.create_table(
        "kept_labels",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.UniqueConstraint("content_hash", "kind", "text", "source"),
    )
    op.create_table(
        "purged_images",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("change", sa.Integer(), nullable=False),
    )

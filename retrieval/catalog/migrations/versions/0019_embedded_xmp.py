"""What photoseek's metadata in picture files replaced, so that it can be taken out again exactly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "embedded_xmp",
        sa.Column("content_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("original_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("replaced", sa.Text(), nullable=False),
        sa.Column("written_at", sa.String(), nullable=False),
    )

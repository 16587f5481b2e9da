"""Several indexing runs may share a catalog in a server."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "indexers",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("beat", sa.Float(), nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("key", sa.LargeBinary(16), primary_key=True),
        sa.Column("indexer", sa.Integer(), nullable=False),
    )

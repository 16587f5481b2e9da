"""Names of places: which place lies at which coordinates, and how places are called."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "places",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("region", sa.String()),
        sa.Column("country", sa.String()),
        sa.Column("latitude", sa.Float()),
        sa.Column("longitude", sa.Float()),
    )
    op.create_table(
        "located",
        sa.Column("latitude", sa.Float(), primary_key=True),
        sa.Column("longitude", sa.Float(), primary_key=True),
        sa.Column("place", sa.String(), sa.ForeignKey("places.key")),
        sa.Index("located_by_place", "place"),
    )

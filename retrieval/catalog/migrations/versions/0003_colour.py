"""The average colour of each picture, to be painted where it will be shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("images", sa.Column("colour", sa.Integer()))

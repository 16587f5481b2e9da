"""A catalog that several machines share knows which of them has a folder."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("folders", sa.Column("host", sa.String()))

"""Whether runs of this gallery also read the words in its pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("state", sa.Column("reads_text", sa.Boolean()))

"""Videos of motion photos and of live photos."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("images", sa.Column("motion_offset", sa.Integer()))
    op.add_column("images", sa.Column("motion_bytes", sa.Integer()))
    op.add_column("images", sa.Column("content_id", sa.String()))
    op.add_column("shots", sa.Column("is_clip", sa.Boolean(), nullable=False, server_default="0"))

"""Sensitivity, f-number, exposure time and focal length; known pictures get them when their files are read again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("images", sa.Column("iso", sa.Integer()))
    for name in ("aperture", "exposure", "focal_length"):
        op.add_column("images", sa.Column(name, sa.Float()))

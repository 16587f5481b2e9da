"""The catalog names what it holds now, labels included, so that who remembers answers can tell whether they hold."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("state", sa.Column("version", sa.String()))
    op.get_bind().exec_driver_sql("UPDATE state SET version = :name", {"name": secrets.token_hex(16)})

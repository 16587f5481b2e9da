"""Every change gets a name that no other catalog has, so that a saved index knows whether it is of this one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "revisions",
        sa.Column("change", sa.Integer(), primary_key=True),
        sa.Column("revision", sa.String(), nullable=False),
    )
    op.execute("INSERT INTO revisions (change, revision) SELECT change, lower(hex(randomblob(16))) FROM state")
    # A trigger, so that every statement that raises the change number also names the change.
    op.execute(
        """CREATE TRIGGER name_the_change AFTER UPDATE OF change ON state WHEN new.change <> old.change BEGIN
           INSERT OR REPLACE INTO revisions (change, revision) VALUES (new.change, lower(hex(randomblob(16)))); END"""
    )

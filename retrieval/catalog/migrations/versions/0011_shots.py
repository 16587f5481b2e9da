"""Files of one shot, as RAW and as JPEG; and an index that tells at once whether there are any RAW files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "shots",
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("shot", sa.Integer(), nullable=False),
        sa.Column("is_raw", sa.Boolean(), nullable=False),
    )
    op.create_index("shots_by_shot", "shots", ["shot"])
    op.create_index("raw_images", "images", ["folder_id"], sqlite_where=sa.text("format = 'RAW'"))

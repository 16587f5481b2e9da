"""Videos: how long they are, which frame stands for them, and the embeddings of the other frames; kinds of pictures."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("images", sa.Column("duration_s", sa.Float()))
    op.add_column("images", sa.Column("still_s", sa.Float()))
    op.create_index("videos", "images", ["id"], sqlite_where=sa.text("duration_s IS NOT NULL"))
    op.create_table(
        "moments",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("encoder_id", sa.Integer(), sa.ForeignKey("encoders.id", ondelete="CASCADE"), nullable=False),
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        sa.Column("moment", sa.BigInteger(), nullable=False),
        sa.Column("time_s", sa.Float(), nullable=False),
        sa.Column("vector", sa.BLOB(), nullable=False),
        sa.Column("crc", sa.Integer()),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.UniqueConstraint("encoder_id", "moment"),
    )
    op.create_index("moments_by_image", "moments", ["image_id"])
    op.create_index("moments_by_change", "moments", ["encoder_id", "change"])
    # A trigger, so that after any deletion of a moment indexes drop it. Another encoder may still have it: a replay
    # that finds it there adds it again.
    op.execute(
        """CREATE TRIGGER note_gone_moment AFTER DELETE ON moments BEGIN
           INSERT OR REPLACE INTO purged_images (id, change) VALUES (old.moment, (SELECT change FROM state)); END"""
    )

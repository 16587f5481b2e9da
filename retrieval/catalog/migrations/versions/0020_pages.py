"""Pages: pictures that are documents, by their pixels or by the text in them, which may have been read before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_LETTERS = 200  # as in catalog/texts.py


def upgrade() -> None:
    op.add_column("images", sa.Column("is_page", sa.Boolean()))
    op.execute(
        f"""UPDATE images SET is_page = 1 WHERE duration_s IS NULL AND content_hash IN
            (SELECT content_hash FROM picture_texts WHERE length(folded) >= {_LETTERS})"""
    )

"""What can be read in pictures, by content, and an index of it for searching.

The index is of trigrams, so that parts of words are found, and scripts that have no spaces. Its rows are those of
`picture_texts`; it holds no text itself.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "picture_texts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("content_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("read_at", sa.String(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("reason", sa.String()),
    )
    op.execute(
        """CREATE VIRTUAL TABLE text_index USING fts5 (folded, content = 'picture_texts', content_rowid = 'id',
           tokenize = 'trigram')"""
    )

"""An index of the words of names, folders, tags, captions and places, and triggers that note what it lacks.

What is there already is noted likewise, and indexed at the end of the next transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_NOTED = (  # kind, table, what identifies a row, its text
    ("name", "images", "id", "name"),
    ("folder", "folders", "id", "path"),
    ("caption", "captions", "id", "text"),
    ("tag", "tag_spellings", "tag_key", "tag"),
    ("place", "places", "key", "names"),
)


def upgrade() -> None:
    op.create_table(
        "lexical",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("ref", sa.BLOB(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.UniqueConstraint("kind", "ref"),
    )
    op.create_table(
        "lexical_due",
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("ref", sa.BLOB(), primary_key=True),
    )
    op.execute(
        """CREATE VIRTUAL TABLE lexical_index USING fts5 (words, content = 'lexical', content_rowid = 'id',
           tokenize = 'unicode61 remove_diacritics 0')"""
    )
    op.execute(
        """CREATE TRIGGER lexical_added AFTER INSERT ON lexical BEGIN
           INSERT INTO lexical_index (rowid, words) VALUES (new.id, new.words); END"""
    )
    op.execute(
        """CREATE TRIGGER lexical_deleted AFTER DELETE ON lexical BEGIN
           INSERT INTO lexical_index (lexical_index, rowid, words) VALUES ('delete', old.id, old.words); END"""
    )
    for kind, table, ref, text in _NOTED:
        for event, when, row in (
            ("added", f"INSERT ON {table}", "new"),
            ("deleted", f"DELETE ON {table}", "old"),
            ("changed", f"UPDATE OF {text} ON {table} WHEN old.{text} IS NOT new.{text}", "new"),
        ):
            # Not OR IGNORE: the conflict clause of the statement that fires a trigger would override it.
            op.execute(
                f"""CREATE TRIGGER {table}_{event} AFTER {when} BEGIN
                    INSERT INTO lexical_due (kind, ref) SELECT '{kind}', {row}.{ref} WHERE NOT EXISTS (
                    SELECT 1 FROM lexical_due WHERE kind = '{kind}' AND ref = {row}.{ref}); END"""
            )
        op.execute(f"INSERT INTO lexical_due (kind, ref) SELECT '{kind}', {ref} FROM {table}")

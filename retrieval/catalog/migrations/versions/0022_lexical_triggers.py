"""The triggers of the index of words find what they have noted by its key.

A column of one type that is compared with one of another cannot use its index, unless the other's type is taken off
(SQLite, "Type conversions prior to comparison"). Without that, 200,000 new rows in one
transaction did not end within ten minutes.
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"

_NOTED = (  # kind, table, what identifies a row, its text
    ("name", "images", "id", "name"),
    ("folder", "folders", "id", "path"),
    ("caption", "captions", "id", "text"),
    ("tag", "tag_spellings", "tag_key", "tag"),
    ("place", "places", "key", "names"),
)


def upgrade() -> None:
    for kind, table, ref, text in _NOTED:
        for event, when, row in (
            ("added", f"INSERT ON {table}", "new"),
            ("deleted", f"DELETE ON {table}", "old"),
            ("changed", f"UPDATE OF {text} ON {table} WHEN old.{text} IS NOT new.{text}", "new"),
        ):
            op.execute(f"DROP TRIGGER {table}_{event}")
            op.execute(
                f"""CREATE TRIGGER {table}_{event} AFTER {when} BEGIN
                    INSERT INTO lexical_due (kind, ref) SELECT '{kind}', {row}.{ref} WHERE NOT EXISTS (
                    SELECT 1 FROM lexical_due WHERE kind = '{kind}' AND ref = +{row}.{ref}); END"""
            )

"""Folded names to compare, moments to sort by, where a date comes from, ratings, one spelling for each tag."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from retrieval.catalog.records import instant
from retrieval.folding import fold
from retrieval.paths import decode_path, encode_path

revision = "0004"
down_revision = "0003"

_AT_ONCE = 10_000


def upgrade() -> None:
    for name, kind in (
        ("name_key", sa.Text()),
        ("camera_key", sa.String()),
        ("lens_key", sa.String()),
        ("taken_instant", sa.BigInteger()),
        ("taken_precision", sa.String()),
        ("taken_source", sa.String()),
        ("place_source", sa.String()),
    ):
        op.add_column("images", sa.Column(name, kind))
    op.create_table(
        "ratings",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("image_id", sa.Integer(), sa.ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.UniqueConstraint("image_id", "rating", "source"),
    )
    op.create_table(
        "tag_spellings",
        sa.Column("tag_key", sa.String(), primary_key=True),
        sa.Column("tag", sa.String(), nullable=False),
    )
    connection = op.get_bind()
    _fold_images(connection)
    _spell_tags(connection)
    # More files can be read than before: earlier failures are tried again.
    connection.exec_driver_sql("UPDATE failures SET is_transient = 1")


def _fold_images(connection: sa.Connection) -> None:
    last = 0
    sql = "SELECT id, name, camera, lens, taken_at, taken_offset_minutes FROM images WHERE id > ? ORDER BY id LIMIT ?"
    while rows := connection.exec_driver_sql(sql, (last, _AT_ONCE)).fetchall():
        last = rows[-1][0]
        connection.exec_driver_sql(
            "UPDATE images SET name_key = ?, camera_key = ?, lens_key = ?, taken_instant = ? WHERE id = ?",
            [
                (
                    encode_path(fold(decode_path(name))),
                    None if camera is None else fold(camera),
                    None if lens is None else fold(lens),
                    None if taken is None else instant(taken, offset),
                    id_,
                )
                for id_, name, camera, lens, taken, offset in rows
            ],
        )


def _spell_tags(connection: sa.Connection) -> None:
    """Of several spellings the most frequent one stays."""
    counts: dict[str, int] = {}
    for table in ("tags", "predicted_tags"):
        for tag, count in connection.exec_driver_sql(f"SELECT tag, count(*) FROM {table} GROUP BY tag").fetchall():
            # What people wrote takes precedence over predictions.
            counts[tag] = counts.get(tag, 0) + count * (1_000_000 if table == "tags" else 1)
    spelt: dict[str, str] = {}
    for tag in sorted(counts, key=lambda tag: (-counts[tag], tag)):
        kept = spelt.setdefault(fold(tag), tag)
        if kept != tag:
            for table in ("tags", "predicted_tags"):
                connection.exec_driver_sql(f"UPDATE OR IGNORE {table} SET tag = ? WHERE tag = ?", (kept, tag))
                connection.exec_driver_sql(f"DELETE FROM {table} WHERE tag = ?", (tag,))
    if spelt:
        connection.exec_driver_sql("INSERT INTO tag_spellings (tag_key, tag) VALUES (?, ?)", list(spelt.items()))
